"""Databases for tests: built once, copied quickly, emptied exactly.

A :class:`Schema` says how a database is built. :func:`template` names the product or server on which it is wanted.
The first process that needs the template builds it, all others wait for that, and it is kept for the next run as long
as its schema does not change. ``worker_database()`` gives a process one database for all its tests, ``clone()`` one
more.

The environment decides the rest:

* ``DBKIT_TEST_CACHE``: the folder in which templates are kept between runs; by default ``dbkit`` in the user's cache
  folder (``XDG_CACHE_HOME``). SQLite's templates and MySQL's dumps are files there; PostgreSQL's live on their server.
* what :mod:`dbkit.testing.servers` says of servers.
"""

from __future__ import annotations

from dbkit.testing.provision.clone import Clone
from dbkit.testing.provision.schema import EmptySchemaWarning, Schema
from dbkit.testing.provision.template import Template, template

__all__ = ["Clone", "EmptySchemaWarning", "Schema", "Template", "template"]
