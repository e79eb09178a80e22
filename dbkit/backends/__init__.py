"""What dbkit knows of each database product: one room a product, all behind the protocol in ``base``."""
