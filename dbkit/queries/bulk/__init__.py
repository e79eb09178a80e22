"""Many rows: written, changed, read and purged in bounded memory."""
