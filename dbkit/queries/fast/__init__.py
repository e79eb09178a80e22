"""Reading and saving past the unit of work, wherever that is honest."""
