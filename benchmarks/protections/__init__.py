"""What each protection of a block costs, beside the same block without it."""
