"""Throwaway PostgreSQL and MariaDB servers for tests, and clusters of them.

``obtain("postgresql")`` gives the one server of its kind that a whole test run shares, however many processes the run
has. ``private("mysql")`` gives a server of one's own, ``pair("mysql")`` a primary with replicas, and ``galera()`` a
Galera cluster; ``haproxy(...)`` and ``pgbouncer(...)`` stand before them. Servers are started when they are first asked
for, from the programs installed on this machine, without passwords and reachable from this machine alone; nothing is
left of them when the run has ended, in whatever way.

The environment decides the rest:

* ``DBKIT_TEST_REQUIRE``: kinds, joined by commas, without which tests fail instead of being skipped.
* ``DBKIT_TEST_POSTGRESQL_URL``, ``DBKIT_TEST_MYSQL_URL``: an existing server to use, by an
  administrator's URL.
* ``DBKIT_POSTGRESQL_BIN``, ``DBKIT_MARIADB_HOME``: where the programs are, if not where packages put them: a folder of
  programs, and a folder to which packages were unpacked.
* ``DBKIT_HAPROXY``, ``DBKIT_PGBOUNCER``: these programs themselves.
* ``DBKIT_TEST_SERVERS_GRACE``: seconds for which servers wait for the next test command, 5 by default.
* ``DBKIT_TEST_SERVERS_DIR``: where runs keep their locks; runs of one project with different folders share nothing.
"""

from __future__ import annotations

from dbkit.testing.servers.galera_cluster import GaleraCluster, GaleraNode, NodeStatus, galera
from dbkit.testing.servers.pairs import Member, Pair
from dbkit.testing.servers.proxies import ConnectionPooler, LoadBalancer, haproxy, pgbouncer
from dbkit.testing.servers.require import obtain, or_skip, pair, private, release, require_or_skip, required_kinds
from dbkit.testing.servers.server import PrivateServer, Server

__all__ = [
    "ConnectionPooler",
    "GaleraCluster",
    "GaleraNode",
    "LoadBalancer",
    "Member",
    "NodeStatus",
    "Pair",
    "PrivateServer",
    "Server",
    "galera",
    "haproxy",
    "obtain",
    "or_skip",
    "pair",
    "pgbouncer",
    "private",
    "release",
    "require_or_skip",
    "required_kinds",
]
