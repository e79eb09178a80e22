"""Long runs with faults, which count what was lost and doubled: ``python -m dbkit.tests.soak``."""
