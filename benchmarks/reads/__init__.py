"""Reading: many rows that nobody will change, and one by its key, with dbkit and with what others have for it."""
