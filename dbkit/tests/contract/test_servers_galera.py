"""A Galera cluster: what it promises, what dbkit makes of its errors, and what becomes of it when nodes are lost."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.exceptions import BackendNotAvailable, DBConnectionError, DBDeadlock, DBError, Outcome, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.galera_provider import Galera
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import is_claimed
from dbkit.testing.servers.processes import processes_in
from dbkit.tests.contract.test_servers_run import BOUND_S, RunTestCase

NODES = 3
IN_STEP = {"mysql_wsrep_sync_wait": 7}
"""With it, a node comes to what others have stored before it writes too; a cluster that loses nodes may refuse that."""


class TestGalera(testtools.TestCase):
    """One cluster for all tests; each leaves it whole."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.cluster = servers.or_skip("galera", lambda: stack.enter_context(servers.galera(NODES)))
        cls.name = cls.cluster.create_database()
        engine = sa.create_engine(cls.cluster.nodes[0].url("pymysql", cls.name), poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE kept (id INTEGER PRIMARY KEY, x INTEGER)"))

    def setUp(self):
        super().setUp()
        self.nodes = self.cluster.nodes
        self.cluster.wait_for_size(NODES)
        self.write(0, "DELETE FROM kept", **IN_STEP)
        self.write(0, "INSERT INTO kept VALUES (1, 0)")

    def database(self, number, **settings):
        url = self.nodes[number].url("pymysql", self.name)
        made = dbkit.Database(url, **{"max_retries": 0, "mysql_wsrep_sync_wait": 1, **settings})
        self.addCleanup(made.dispose)
        return made

    def write(self, number, statement, **settings):
        with self.database(number, **settings).writer() as session:
            session.execute(sa.text(statement))

    def value(self, number):
        with self.database(number).reader() as session:
            return session.scalar(sa.text("SELECT x FROM kept WHERE id = 1"))

    def test_all_nodes_are_synced_and_agree(self):
        for status in self.cluster.status():
            self.assertEqual(
                ("Synced", True, NODES, True), (status.state, status.is_primary, status.size, status.serves)
            )

    def test_a_node_is_a_server_of_mysqls_kind(self):
        self.assertEqual(["mysql"] * NODES, [node.kind for node in self.nodes])
        self.assertEqual("mariadb+asyncmy", self.nodes[0].url("asyncmy", self.name, "mariadb").drivername)

    def test_every_node_has_ports_of_its_own(self):
        ports = [port for node in self.nodes for port in (node.port, *node.extra_ports)]
        self.assertEqual(NODES * 4, len(set(ports)))
        self.assertEqual([node.port for node in self.nodes], [url.port for url in self.cluster.urls("pymysql")])

    def test_a_database_is_there_on_every_node_at_once(self):
        name = self.cluster.create_database()
        for node in self.nodes:
            engine = sa.create_engine(node.url("pymysql", name), poolclass=sa.pool.NullPool)
            with engine.connect() as connection:
                self.assertEqual(name, connection.scalar(sa.text("SELECT DATABASE()")))

    def test_what_is_written_on_one_node_is_read_on_another(self):
        for round_ in range(20):
            self.write(round_ % NODES, f"UPDATE kept SET x = {round_ + 1}")
            self.assertEqual(round_ + 1, self.value((round_ + 1) % NODES))

    def test_of_two_writers_of_a_row_the_second_to_commit_is_a_deadlocks_victim(self):
        first, second = self.database(0), self.database(1, **IN_STEP)

        def conflict():
            with first.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = 1"))
                with second.writer() as other:
                    other.execute(sa.text("UPDATE kept SET x = 2"))

        error = self.assertRaises(DBDeadlock, conflict)
        self.assertEqual(1213, error.errno)
        self.assertIs(Outcome.ROLLED_BACK, error.outcome)
        self.assertTrue(error.transient)
        self.assertEqual(2, self.value(0))

    def test_the_loser_of_a_conflict_may_try_again_at_once(self):
        first, second = self.database(0, max_pool_size=1, max_overflow=0, **IN_STEP), self.database(1, **IN_STEP)

        def lose():
            with first.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = x + 10"))
                with second.writer() as other:
                    other.execute(sa.text("UPDATE kept SET x = 5"))

        self.assertRaises(DBDeadlock, lose)
        with first.writer() as session:
            session.execute(sa.text("UPDATE kept SET x = x + 10"))
        self.assertEqual(15, self.value(2))

    def test_the_loss_of_a_node_is_survived_and_it_comes_back_with_what_it_missed(self):
        self.nodes[2].crash()
        self.write(0, "UPDATE kept SET x = 7")  # which waits until the others have noticed
        self.assertEqual([self.nodes[0], self.nodes[1]], list(self.cluster.wait_for_size(NODES - 1)))
        self.assertIsNone(self.cluster.status()[2])
        self.assertEqual(7, self.value(1))
        self.nodes[2].rejoin()
        self.assertEqual(7, self.value(2))

    def test_a_node_that_was_stopped_comes_back_with_what_it_missed(self):
        self.nodes[1].stop()
        self.write(0, "UPDATE kept SET x = 8")
        self.nodes[1].rejoin()
        self.assertEqual(8, self.value(1))

    def test_a_node_that_is_cut_off_refuses_until_it_is_healed_and_has_what_it_missed(self):
        lonely = self.database(1)
        with lonely.reader() as session:
            session.scalar(sa.text("SELECT x FROM kept"))
        self.nodes[1].partition()
        self.addCleanup(self.nodes[1].heal)
        self.assertFalse(self.nodes[1].serves())

        def write():
            with lonely.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = 9"))

        error = self.assertRaises(DBConnectionError, write)
        self.assertEqual(1047, error.errno)
        self.write(0, "UPDATE kept SET x = 10")
        self.assertEqual(10, self.value(2))
        self.nodes[1].heal()
        self.assertEqual(10, self.value(1))

    def test_a_frozen_node_is_left_behind_and_returns(self):
        self.nodes[2].freeze()
        self.assertRaises(UsageError, self.nodes[2].status)
        self.write(0, "UPDATE kept SET x = 12")
        self.cluster.wait_for_size(NODES - 1)
        self.nodes[2].thaw()
        self.cluster.wait_for_size(NODES)
        self.assertEqual(12, self.value(2))

    def test_a_commit_without_a_majority_is_not_made(self):
        minority = self.database(0)
        self.addCleanup(self.cluster.wait_for_size, NODES)

        def commit():
            with minority.writer() as session:
                session.execute(sa.text("UPDATE kept SET x = 13"))

        with minority.reader() as session:
            session.scalar(sa.text("SELECT x FROM kept"))
        for node in self.nodes[1:]:
            node.crash()
        error = self.assertRaises(DBError, commit)
        self.assertIn(error.errno, (1180, 1047))  # what came first: the attempt, or the notice of the loss
        self.nodes[0].bootstrap()
        self.assertEqual(0, self.value(0))
        for node in self.nodes[1:]:
            node.rejoin()


class TestTheEndOfACluster(testtools.TestCase):
    def test_nothing_is_left_after_the_block(self):
        with servers.or_skip("galera", lambda: servers.galera(2)) as cluster:
            folders = [node.folder for node in cluster.nodes]
            ports = [port for node in cluster.nodes for port in (node.port, *node.extra_ports)]
            cluster.nodes[1].freeze()
        self.assertEqual((), cluster.nodes)
        self.assertEqual([], [folder for folder in folders if processes_in(folder) or folder.exists()])
        self.assertEqual([], [port for port in ports if is_claimed(port)])

    def test_a_setting_that_the_nodes_refuse_is_told_with_the_log(self):
        cluster = servers.or_skip("galera", lambda: servers.galera(2, {"binlog_format": "plenty"}))
        error = self.assertRaises(BackendNotAvailable, cluster.__enter__)
        self.assertIn("plenty", str(error))
        self.assertEqual((), cluster.nodes)

    def test_a_cluster_of_one_node_is_refused(self):
        servers.or_skip("galera", servers.galera)
        self.assertIn("private", str(self.assertRaises(UsageError, servers.galera, 1)))


class TestTheEndOfARun(RunTestCase):
    def cluster(self, worker):
        servers.or_skip("galera", servers.galera)
        return worker.ask("[facts(node) for node in kept.setdefault('galera', servers.galera(2).__enter__()).nodes]")

    def test_a_killed_worker_leaves_nothing_of_its_cluster(self):
        worker = self.worker()
        owned = self.cluster(worker)
        worker.ask("kept['galera'].nodes[1].freeze()")
        worker.kill()
        self.assert_nothing_is_left(*owned)

    def test_a_worker_killed_while_a_cluster_is_formed_leaves_nothing(self):
        servers.or_skip("galera", servers.galera)
        worker = self.worker()
        worker.tell("bool(servers.galera(3).__enter__())")
        # The template, and the first two nodes.
        wait_until(lambda: len(self.node_folders()) >= 3, BOUND_S, "the beginning of a node")
        folders = self.node_folders()
        worker.kill()
        self.assert_nothing_is_left()
        self.assertEqual([], [folder for folder in folders if folder.exists()])

    def node_folders(self):
        return [Path(os.readlink(entry)) for entry in self.run_files.folder.glob("galera-*")]

    def test_a_killed_supervisor_leaves_nothing_of_its_cluster(self):
        worker = self.worker()
        owned = self.cluster(worker)
        os.kill(self.supervisor_of(owned[0]), signal.SIGKILL)
        self.assert_nothing_is_left(*owned)


class TestTheAbsenceOfGalera(testtools.TestCase):
    def test_the_missing_package_is_named(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        home = Path(folder.name)
        for program in ("mariadbd", "mariadb-install-db"):
            path = home / "usr/sbin" / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o755)
        error = self.assertRaises(BackendNotAvailable, Galera().find, {"DBKIT_MARIADB_HOME": str(home)})
        self.assertIn("install the package galera-4", str(error))
        error = self.assertRaises(BackendNotAvailable, Galera().find, {"DBKIT_MARIADB_HOME": "/nowhere"})
        self.assertIn("install the package mariadb-server", str(error))
