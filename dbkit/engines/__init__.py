"""From settings to engines: what is asked for, checked, created and listened to."""
