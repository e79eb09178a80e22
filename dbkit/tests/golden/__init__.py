"""Files that say what a part of dbkit holds, whole; a change of the part shows as a change of the file."""
