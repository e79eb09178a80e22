"""Faults between dbkit and real servers, and the proxy that makes them."""
