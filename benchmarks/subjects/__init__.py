"""The libraries that are measured, each in a file of its own."""
