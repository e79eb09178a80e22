"""The demo: a small cloud inventory, how it is written with dbkit, and the proof that its rows are right.

Copy from :mod:`~dbkit.cmd.demo.context`, :mod:`~dbkit.cmd.demo.models`, :mod:`~dbkit.cmd.demo.statements` and
:mod:`~dbkit.cmd.demo.api`, or :mod:`~dbkit.cmd.demo.aapi` for asyncio: they are an application's data layer. The other
files drive it hard and check what it left in the database.
"""
