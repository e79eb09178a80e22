"""Drivers' errors, recorded from real servers; what provokes them; and stand-ins rebuilt from the records."""
