"""HAProxy and PgBouncer before real servers: where they lead, what they cut, and how dbkit works through them."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.exceptions import BackendNotAvailable, DBConnectionError, DBError, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.haproxy_provider import HAProxy
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.pgbouncer_provider import PgBouncer, users
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.processes import processes_in
from dbkit.tests.contract.test_servers_run import RunTestCase

BOUND_S = 30

# What a process does with the URL of a pooler.
ASYNCPG_WORK = """
import asyncio, sys
import sqlalchemy as sa
import dbkit

async def work(database, rounds):
    async with database.writer() as session:
        await session.execute(sa.text("CREATE TABLE IF NOT EXISTS numbers (x INTEGER)"))
    for number in range(rounds):
        async with database.writer() as session:
            await session.execute(sa.text("INSERT INTO numbers VALUES (:x)"), {"x": number})
            async with database.writer.independent() as other:
                await other.execute(sa.text("SELECT x FROM numbers WHERE x = :x"), {"x": number})
    async with database.reader() as session:
        print(await session.scalar(sa.text("SELECT count(*) FROM numbers")))

async def main(url, rounds, told):
    database = dbkit.Database(url, max_retries=0, transaction_pooling=told == "told")
    try:
        await work(database, rounds)
    finally:
        await database.adispose()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
"""


class ProxyTestCase(testtools.TestCase):
    """What is entered in a test is left at its end."""

    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.enter = stack.enter_context

    def database(self, url, **settings):
        made = dbkit.Database(url, **{"max_retries": 0, **settings})
        self.addCleanup(made.dispose)
        return made

    def scalar(self, database, statement):
        with database.reader() as session:
            return session.scalar(sa.text(statement))


class TestHAProxyBeforeAPair(ProxyTestCase):
    def setUp(self):
        super().setUp()
        servers.require_or_skip("postgresql")
        self.pair = self.enter(servers.pair("postgresql"))
        self.proxy = servers.or_skip("haproxy", lambda: self.enter(servers.haproxy(self.pair.members)))
        self.proxy.wait_until_serving(self.pair.primary)
        self.proxy.wait_until_serving(self.pair.replica, door="reader")

    def port_behind(self, database):
        return int(self.scalar(database, "SELECT inet_server_port()"))

    def test_each_door_leads_to_the_servers_that_play_the_part(self):
        self.assertEqual(self.pair.primary.port, self.port_behind(self.database(self.proxy.url("psycopg"))))
        reader = self.database(self.proxy.url("psycopg", door="reader"))
        self.assertEqual(self.pair.replica.port, self.port_behind(reader))

    def test_it_leads_to_the_new_primary_after_a_fail_over(self):
        database = self.database(self.proxy.url("psycopg"))
        self.port_behind(database)
        self.pair.primary.crash()
        self.assertRaises(DBConnectionError, self.port_behind, database)
        new = self.pair.promote()
        self.proxy.wait_until_serving(new)
        self.assertEqual(new.port, self.port_behind(database))

    def test_a_frozen_server_is_left_and_returned_to(self):
        primary = self.pair.primary
        primary.freeze()
        self.proxy.wait_until_serving()
        primary.thaw()
        self.proxy.wait_until_serving(primary)

    def test_a_frozen_proxy_answers_when_it_is_thawed(self):
        database = self.database(self.proxy.url("psycopg"))
        self.port_behind(database)
        self.proxy.freeze()
        self.proxy.thaw()
        self.assertEqual(self.pair.primary.port, self.port_behind(database))

    def test_a_proxy_that_crashed_refuses_and_leads_on_when_it_is_started(self):
        database = self.database(self.proxy.url("psycopg"))
        self.proxy.crash()
        self.assertRaises(DBConnectionError, self.port_behind, database)
        self.proxy.start()
        self.proxy.wait_until_serving(self.pair.primary)
        self.assertEqual(self.pair.primary.port, self.port_behind(database))

    def test_an_unknown_door_and_a_strange_server_are_refused(self):
        self.assertRaises(UsageError, self.proxy.url, door="back")
        self.assertRaises(UsageError, self.proxy.serving, "back")
        self.assertRaises(UsageError, self.proxy.wait_until_serving, door="back")
        self.assertRaises(UsageError, self.proxy.disable, servers.obtain("postgresql"))

    def test_nothing_is_left_after_the_block(self):
        with servers.haproxy([self.pair.primary]) as proxy:
            folder = proxy.folder
            proxy.wait_until_serving(self.pair.primary)
        self.assertEqual([], processes_in(folder))
        self.assertFalse(folder.exists())


class TestHAProxyBeforeACluster(ProxyTestCase):
    ROUNDS = 3

    def setUp(self):
        super().setUp()
        self.cluster = servers.or_skip("galera", lambda: self.enter(servers.galera(3)))
        self.nodes = self.cluster.nodes
        self.proxy = servers.or_skip("haproxy", lambda: self.enter(servers.haproxy(self.nodes)))
        self.proxy.wait_until_serving(*self.nodes)
        self.writer = self.database(self.proxy.url("pymysql", self.cluster.create_database()))

    def port_behind(self):
        return int(self.scalar(self.writer, "SELECT @@port"))

    def reached(self):
        try:
            return self.port_behind()
        except DBError:
            return None

    def test_writers_move_to_the_next_node_when_theirs_is_lost_cut_off_or_in_maintenance(self):
        self.assertEqual(self.nodes[0].port, self.port_behind())
        self.proxy.disable(self.nodes[0])
        wait_until(lambda: self.reached() == self.nodes[1].port, BOUND_S, "the move off the node in maintenance")
        self.proxy.enable(self.nodes[0])
        self.proxy.wait_until_serving(*self.nodes)
        self.nodes[1].crash()
        self.proxy.disable(self.nodes[2])
        wait_until(lambda: self.reached() == self.nodes[0].port, BOUND_S, "the move off the node that crashed")
        self.proxy.enable(self.nodes[2])
        self.cluster.wait_for_size(2)
        self.nodes[1].rejoin()
        self.nodes[0].partition()
        self.proxy.wait_until_serving(*self.nodes[1:])
        wait_until(lambda: self.reached() == self.nodes[1].port, BOUND_S, "the move off the node that is cut off")
        self.nodes[0].heal()
        self.proxy.wait_until_serving(*self.nodes)

    def test_readers_are_spread_over_all_nodes(self):
        self.proxy.wait_until_serving(*self.nodes, door="reader")  # each door looks at the nodes by itself
        self.assertEqual({node.port for node in self.nodes}, set(self.ports_behind("reader")))
        self.assertEqual({self.nodes[0].port}, set(self.ports_behind("writer")))

    def ports_behind(self, door):
        """Count where new connections through a door lead."""
        engine = sa.create_engine(self.proxy.url("pymysql", door=door), poolclass=sa.pool.NullPool)
        behind = collections.Counter()
        for _ in range(self.ROUNDS * len(self.nodes)):
            with engine.connect() as connection:
                behind[connection.scalar(sa.text("SELECT @@port"))] += 1
        return behind


class TestPgBouncer(ProxyTestCase):
    ROUNDS = 30

    def setUp(self):
        super().setUp()
        self.server = servers.require_or_skip("postgresql")
        self.name = self.server.create_database()

    def bouncer(self, mode="transaction", **settings):
        made = servers.or_skip("pgbouncer", lambda: servers.pgbouncer(self.server, mode, settings))
        return self.enter(made)

    def work(self, database):
        """Run statements that a driver would like to prepare, on two sessions that take turns."""
        with database.writer() as session:
            session.execute(sa.text("CREATE TABLE IF NOT EXISTS numbers (x INTEGER)"))
        for number in range(self.ROUNDS):
            with database.writer() as session:
                session.execute(sa.text("INSERT INTO numbers VALUES (:x)"), {"x": number})
                with database.writer.independent() as other:
                    other.execute(sa.text("SELECT count(*) FROM numbers WHERE x = :x"), {"x": number})
        with database.reader() as session:
            return session.scalar(sa.text("SELECT count(*) FROM numbers"))

    def test_psycopg_works_in_transaction_mode(self):
        # Two sessions of the server for all clients: what one of them leaves there meets the next.
        url = self.bouncer(default_pool_size=2).url("psycopg", self.name)
        self.assertEqual(self.ROUNDS, self.work(self.database(url, transaction_pooling=True)))
        self.assertEqual(self.ROUNDS * 2, self.work(self.database(url, transaction_pooling=True)))

    def test_psycopg_fails_in_transaction_mode_when_dbkit_is_not_told(self):
        url = self.bouncer(default_pool_size=2).url("psycopg", self.name)

        def work_twice():
            for _ in range(2):
                self.work(self.database(url))

        self.assertRaises(DBError, work_twice)

    def asyncpg_process(self, url, told):
        command = [sys.executable, "-c", ASYNCPG_WORK, str(url), str(self.ROUNDS), told]
        return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)

    def test_asyncpg_works_in_transaction_mode(self):
        # In several processes: each counts its names for prepared statements from the beginning.
        url = self.bouncer(default_pool_size=2).url("asyncpg", self.name)
        for rounds in (1, 2):
            done = self.asyncpg_process(url, "told")
            self.assertEqual((str(self.ROUNDS * rounds), 0), (done.stdout.strip(), done.returncode), done.stderr)

    def test_asyncpg_fails_in_transaction_mode_when_dbkit_is_not_told(self):
        url = self.bouncer(default_pool_size=2).url("asyncpg", self.name)
        self.asyncpg_process(url, "not told")
        self.assertIn("42P05", self.asyncpg_process(url, "not told").stderr)

    def test_clients_share_the_servers_sessions(self):
        url = self.bouncer(default_pool_size=1).url("psycopg", self.name)
        seen = {self.scalar(self.database(url, transaction_pooling=True), "SELECT pg_backend_pid()") for _ in range(5)}
        self.assertEqual(1, len(seen))

    def test_databases_are_made_by_the_server_behind_it(self):
        bouncer = self.bouncer()
        name = bouncer.create_database()
        database = self.database(bouncer.url("psycopg", name), transaction_pooling=True)
        self.assertEqual(name, self.scalar(database, "SELECT current_database()"))

    def test_a_crash_ends_the_connections_and_a_start_takes_new_ones(self):
        bouncer = self.bouncer()
        database = self.database(bouncer.url("psycopg", self.name), transaction_pooling=True)
        self.assertEqual(1, self.scalar(database, "SELECT 1"))
        bouncer.crash()
        self.assertRaises(DBConnectionError, self.scalar, database, "SELECT 1")
        bouncer.start()
        self.assertEqual(1, self.scalar(database, "SELECT 1"))

    def test_nothing_is_left_after_the_block(self):
        with servers.or_skip("pgbouncer", lambda: servers.pgbouncer(self.server)) as bouncer:
            folder = bouncer.folder
        self.assertEqual([], processes_in(folder))
        self.assertFalse(folder.exists())

    def test_an_unknown_mode_and_a_strange_server_are_refused(self):
        servers.or_skip("pgbouncer", lambda: servers.pgbouncer(self.server))
        self.assertRaises(UsageError, servers.pgbouncer, self.server, "query")
        self.assertRaises(UsageError, servers.pgbouncer, servers.require_or_skip("mysql"))


class TestTheEndOfARun(RunTestCase):
    """What stands before servers goes with the run as they do."""

    def setUp(self):
        super().setUp()
        server = servers.obtain("postgresql")
        servers.or_skip("haproxy", lambda: servers.haproxy([server]))
        servers.or_skip("pgbouncer", lambda: servers.pgbouncer(server))

    def proxies(self, worker):
        owned = [worker.ask("obtain('postgresql')")]
        worker.ask("kept.update(haproxy=servers.haproxy([kept['postgresql']]).__enter__())")
        worker.ask("kept.update(pgbouncer=servers.pgbouncer(kept['postgresql']).__enter__())")
        owned += [worker.ask("facts(kept['haproxy'])"), worker.ask("facts(kept['pgbouncer'])")]
        [health] = self.run_files.folder.glob("health-*")
        folder = Path(os.readlink(health))
        self.assertEqual(1, len(processes_in(folder)))
        self.addCleanup(lambda: self.assertFalse(folder.exists()))
        return owned

    def test_a_killed_worker_leaves_nothing_of_its_proxies(self):
        worker = self.worker()
        owned = self.proxies(worker)
        worker.ask("kept['haproxy'].freeze()")
        worker.kill()
        self.assert_nothing_is_left(*owned)

    def test_a_killed_supervisor_leaves_nothing_of_its_proxies(self):
        worker = self.worker()
        owned = self.proxies(worker)
        os.kill(self.supervisor_of(owned[0]), signal.SIGKILL)
        self.assert_nothing_is_left(*owned)


class TestConfiguration(testtools.TestCase):
    def test_names_and_passwords_are_quoted_for_pgbouncer(self):
        server = Endpoint("postgresql", "127.0.0.1", 12345, 'we"ird', 'hu"sh')
        self.assertEqual('"we""ird" "hu""sh"\n', users(server))

    def test_a_server_without_a_password_is_entered_so(self):
        self.assertEqual('"dbkit" ""\n', users(Endpoint("postgresql", "127.0.0.1", 12345, "dbkit")))

    def test_a_balancer_of_nothing_or_of_two_kinds_is_refused(self):
        servers.or_skip("haproxy", lambda: provider_of("haproxy").find(os.environ))
        self.assertRaises(UsageError, servers.haproxy, [])
        both = [servers.require_or_skip("postgresql"), servers.require_or_skip("mysql")]
        self.assertIn("one kind", str(self.assertRaises(UsageError, servers.haproxy, both)))


class TestAbsence(testtools.TestCase):
    def test_missing_programs_are_named_with_their_package(self):
        for provider in (HAProxy(), PgBouncer()):
            name = f"DBKIT_{provider.kind.upper()}"
            error = self.assertRaises(BackendNotAvailable, provider.find, {name: "/nowhere/program"})
            self.assertIn(f"install the package {provider.kind}", str(error))
            self.assertIn("/nowhere/program", str(error))
