"""Reading and writing rows: each function takes where it is to happen, an open block, as its first argument."""
