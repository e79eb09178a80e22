"""What a transaction costs: dbkit beside bare SQLAlchemy, oslo.db and the raw drivers, in one run.

``python -m benchmarks`` prints the tables; ``python -m benchmarks --help`` tells what can be chosen. ``python -m
benchmarks kit`` does the same for the test kit, see :mod:`benchmarks.kit`; ``python -m benchmarks deadline`` tells how
late a deadline is kept, see :mod:`benchmarks.deadline`; ``python -m benchmarks bayer`` and ``reads`` put Django, peewee
and oslo.db beside it, see :mod:`benchmarks.bayer` and :mod:`benchmarks.reads`.
"""
