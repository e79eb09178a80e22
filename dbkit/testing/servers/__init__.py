"""Throwaway PostgreSQL and MariaDB servers for tests.

``obtain("postgresql")`` gives the one server of its kind that a whole test run shares, however many processes the run
has. ``private("mysql")`` gives a server of one's own. Servers are started when they are first asked for, from the
programs installed on this machine, without passwords and reachable from this machine alone; nothing is left of them
when the run has ended, in whatever way.
"""

from __future__ import annotations

from dbkit.testing.servers.require import obtain, private, release, require_or_skip, required_kinds
from dbkit.testing.servers.server import PrivateServer, Server

__all__ = ["PrivateServer", "Server", "obtain", "private", "release", "require_or_skip", "required_kinds"]
