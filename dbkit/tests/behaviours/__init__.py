"""What users see, written once and run in both colours on every database."""
