"""What many rows cost: written and read, beside the raw driver, SQLAlchemy Core and the unit of work, in one run."""
