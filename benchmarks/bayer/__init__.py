"""Mike Bayer's comparison for OpenStack of 2014, measured again: dbkit beside what others do today, in one run."""
