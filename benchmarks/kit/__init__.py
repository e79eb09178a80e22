"""What the test kit costs: each way to isolate a test, and test databases, beside oslo.db's fixtures, in one run."""
