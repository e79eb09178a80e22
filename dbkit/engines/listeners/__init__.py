"""What an engine listens to: one file a listener, each with ``install``."""
