"""Optimistic locking: rows are changed if they are as they were seen; counters that nobody reads before."""
