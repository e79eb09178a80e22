"""Faults between a program and its database server, at a named point of the protocol.

.. code-block:: python

    with faults.proxy(servers.obtain("postgresql")) as proxy:
        database = dbkit.Database(proxy.url(database="app"))
        with proxy.cut(faults.after("COMMIT")):     # the server commits, its reply is lost
            ...

The proxy listens on the loopback, in a process of its own that ends with the calling one. It understands the protocols
of PostgreSQL and of MySQL and MariaDB, so that a fault strikes exactly there where it should, each time.

Where: :func:`before` (the message has not reached the server), :func:`after` (the server has done it and has answered,
the reply has not reached the client), :func:`during` (so many bytes of the reply have). What: :meth:`Proxy.cut`,
:meth:`~Proxy.abandon`, :meth:`~Proxy.drop`, :meth:`~Proxy.delay`, :meth:`~Proxy.hold`, :meth:`~Proxy.freeze`.
"""

from __future__ import annotations

from dbkit.testing.faults.fault import Fault
from dbkit.testing.faults.journal import Event, Statement
from dbkit.testing.faults.proxy import Connection, Proxy, proxy
from dbkit.testing.faults.rules import Action, Pattern, Point, Rule, after, before, during

__all__ = [
    "Action",
    "Connection",
    "Event",
    "Fault",
    "Pattern",
    "Point",
    "Proxy",
    "Rule",
    "Statement",
    "after",
    "before",
    "during",
    "proxy",
]
