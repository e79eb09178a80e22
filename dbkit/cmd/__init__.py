"""The ``dbkit`` command."""
