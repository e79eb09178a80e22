"""A primary and its replicas: how they follow, fall behind, fail over and come back."""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
import testtools

import dbkit
from dbkit.clock import SYSTEM_CLOCK
from dbkit.exceptions import DBError, DBReadOnly, UsageError
from dbkit.testing import servers
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.processes import is_halted, processes_in

BOUND_S = 60
LONG_S = 600
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


class PairTestCase(testtools.TestCase):
    """A pair with a database in which one table of numbers stands."""

    kind: str
    replicas = 1

    def setUp(self):
        super().setUp()
        servers.require_or_skip(self.kind)
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.pair = stack.enter_context(servers.or_skip(self.kind, lambda: servers.pair(self.kind, self.replicas)))
        self.database = self.pair.primary.create_database()
        self.run_on(self.pair.primary, "CREATE TABLE numbers (x INTEGER)")
        self.pair.catch_up()

    def engine(self, server, database=None):
        url = server.url(DRIVERS[self.kind], database or self.database)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        self.addCleanup(engine.dispose)
        return engine

    def run_on(self, server, statement):
        with self.engine(server).begin() as connection:
            connection.execute(sa.text(statement))

    def write(self, number):
        self.run_on(self.pair.primary, f"INSERT INTO numbers VALUES ({number})")

    def numbers(self, server):
        with self.engine(server).connect() as connection:
            return list(connection.scalars(sa.text("SELECT x FROM numbers ORDER BY x")))

    def has_received_all(self):
        """Wait until the replica holds what the primary has written, shown or not."""
        replication = provider_of(self.kind).replication
        primary = replication.position(self.pair.primary.endpoint)
        last = int(primary.rpartition("-")[2])
        wait_until(
            lambda: replication.progress(self.pair.replica.endpoint) >= last, BOUND_S, "the receipt by the replica"
        )


class Cases:
    """What holds for every product."""

    def test_what_is_written_on_the_primary_is_read_on_the_replica(self):
        self.write(1)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_a_paused_replica_is_stale_until_it_goes_on(self):
        self.pair.pause_replay()
        self.write(1)
        self.assertEqual([], self.numbers(self.pair.replica))
        self.assertIn("resume_replay()", str(self.assertRaises(UsageError, self.pair.catch_up)))
        self.pair.resume_replay()
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_a_pause_without_anything_to_replay_is_no_lag(self):
        self.pair.pause_replay()
        self.pair.catch_up()

    def test_a_delayed_replica_shows_a_commit_so_much_later(self):
        self.pair.delay(1)
        begun = SYSTEM_CLOCK.now()
        self.write(1)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))
        self.assertGreaterEqual(SYSTEM_CLOCK.now() - begun, 1)  # a busy machine only makes it longer

    def test_the_end_of_a_delay_ends_a_wait_that_has_begun(self):
        self.pair.delay(LONG_S)
        self.write(1)
        self.has_received_all()
        self.assertEqual([], self.numbers(self.pair.replica))
        self.pair.delay(0)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_a_negative_delay_is_refused(self):
        self.assertRaises(UsageError, self.pair.delay, -1)

    def test_a_replica_refuses_writes_with_a_typed_error(self):
        database = dbkit.Database(self.pair.replica.url(DRIVERS[self.kind], self.database))
        self.addCleanup(database.dispose)

        def write():
            with database.writer() as session:
                session.execute(sa.text("INSERT INTO numbers VALUES (1)"))

        error = self.assertRaises(DBReadOnly, write)
        self.assertEqual(self.refusal, self.code_of(error))

    def test_a_replica_makes_no_databases(self):
        self.assertRaises(DBError, self.pair.replica.create_database)

    def test_the_replica_takes_over_when_the_primary_has_crashed(self):
        self.write(1)
        self.has_received_all()
        old, replica = self.pair.primary, self.pair.replica
        old.crash()
        self.assertIs(replica, self.pair.promote())
        self.assertIs(replica, self.pair.primary)
        self.assertEqual(((), (old,)), (self.pair.replicas, self.pair.former))
        self.write(2)
        self.assertEqual([1, 2], self.numbers(self.pair.primary))
        self.pair.primary.create_database()

    def test_a_promotion_shows_what_was_received_paused_and_delayed_as_it_was(self):
        self.pair.delay(LONG_S)
        self.pair.pause_replay()
        self.write(1)
        self.has_received_all()
        self.pair.primary.crash()
        self.pair.promote()
        self.assertEqual([1], self.numbers(self.pair.primary))

    def test_a_delay_ends_with_the_role_of_a_replica(self):
        self.pair.delay(LONG_S)
        self.pair.promote()
        self.pair.rejoin()
        self.write(1)
        self.pair.catch_up(bound_s=BOUND_S)
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_an_old_primary_that_lives_is_a_split_brain(self):
        old = self.pair.primary
        self.pair.promote()
        self.run_on(old, "INSERT INTO numbers VALUES (1)")
        self.write(2)
        self.assertEqual([1], self.numbers(old))
        self.assertEqual([2], self.numbers(self.pair.primary))

    def test_the_old_primary_rejoins_without_what_it_wrote_alone(self):
        self.write(1)
        self.pair.catch_up()
        old, port = self.pair.primary, self.pair.primary.port
        self.pair.promote()
        self.run_on(old, "INSERT INTO numbers VALUES (2)")
        self.write(3)
        self.pair.rejoin()
        self.assertEqual(((old,), ()), (self.pair.replicas, self.pair.former))
        self.assertEqual(port, old.port)
        self.write(4)
        self.pair.catch_up()
        self.assertEqual([1, 3, 4], self.numbers(old))
        self.assertRaises(sa.exc.DBAPIError, self.run_on, old, "INSERT INTO numbers VALUES (5)")

    def test_a_pair_fails_over_again_and_again(self):
        for number in range(3):
            self.write(number)
            self.pair.catch_up()
            self.pair.primary.crash()
            self.pair.promote()
            self.pair.rejoin()
        self.assertEqual([0, 1, 2], self.numbers(self.pair.primary))
        self.assertEqual([0, 1, 2], self.numbers(self.pair.replica))

    def test_a_promoted_server_takes_writes_after_a_restart_too(self):
        self.pair.promote()
        self.pair.primary.restart()
        self.write(1)
        self.assertEqual([1], self.numbers(self.pair.primary))

    def test_a_frozen_primary_and_a_frozen_replica_go_on(self):
        self.pair.primary.freeze()
        self.assertTrue(all(map(is_halted, processes_in(self.pair.primary.folder))))
        self.pair.primary.thaw()
        self.pair.replica.freeze()
        self.write(1)
        self.pair.replica.thaw()
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_a_replica_that_was_down_catches_up(self):
        for end in (self.pair.replica.stop, self.pair.replica.crash):
            end()
            self.write(1)
            self.pair.replica.start()
            self.pair.catch_up()
        self.assertEqual([1, 1], self.numbers(self.pair.replica))

    def test_a_primary_that_comes_back_is_followed_again(self):
        self.pair.primary.crash()
        self.pair.primary.start()
        self.write(1)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))

    def test_without_a_running_replica_nothing_is_promoted(self):
        self.pair.replica.crash()
        self.assertIn("no replica", str(self.assertRaises(UsageError, self.pair.promote)))

    def test_only_what_is_a_replica_can_be_promoted_and_what_is_primary_cannot_rejoin(self):
        self.assertRaises(UsageError, self.pair.promote, self.pair.primary)
        self.assertRaises(UsageError, self.pair.rejoin, self.pair.primary)

    def test_nothing_is_left_after_the_block(self):
        with servers.pair(self.kind) as pair:
            folders = [member.folder for member in pair.members]
            self.assertEqual(2, len(folders))
        for folder in folders:
            self.assertEqual([], processes_in(folder))
            self.assertFalse(folder.exists())
        self.assertRaises(UsageError, pair.promote)


class SeveralCases:
    """What holds where two replicas follow."""

    replicas = 2

    def test_the_one_that_has_received_most_takes_over_and_the_other_follows(self):
        behind, ahead = self.pair.replicas
        behind.stop()
        self.write(1)
        self.pair.catch_up(ahead)
        self.pair.primary.crash()
        behind.start()
        self.assertIs(ahead, self.pair.promote())
        self.write(2)
        self.pair.catch_up()
        self.assertEqual([1, 2], self.numbers(behind))

    def test_one_that_was_down_at_the_promotion_rejoins(self):
        down, up = self.pair.replicas
        down.crash()
        old = self.pair.primary
        self.pair.promote()
        self.assertEqual({old, down}, set(self.pair.former))
        self.pair.rejoin(down)
        self.assertEqual(((down,), (old,)), (self.pair.replicas, self.pair.former))
        self.write(1)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(down))

    def test_one_is_paused_while_the_other_follows(self):
        paused, follower = self.pair.replicas
        self.pair.pause_replay(paused)
        self.write(1)
        self.pair.catch_up(follower)
        self.assertEqual([1], self.numbers(follower))
        self.assertEqual([], self.numbers(paused))


class PostgreSQL:
    kind = "postgresql"
    refusal = "25006"

    def code_of(self, error):
        return error.orig.sqlstate


class MariaDB:
    kind = "mysql"
    refusal = 1290

    def code_of(self, error):
        return error.orig.args[0]


class TestPostgreSQLPair(PostgreSQL, Cases, PairTestCase):
    def test_a_delay_may_be_a_part_of_a_second(self):
        self.pair.delay(0.3)
        self.write(1)
        self.pair.catch_up()
        self.assertEqual([1], self.numbers(self.pair.replica))


class TestMariaDBPair(MariaDB, Cases, PairTestCase):
    def test_root_may_write_on_a_replica_and_it_can_be_made_anew(self):
        url = self.pair.replica.url("pymysql", self.database).set(username="root")
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO numbers VALUES (9)"))
        self.write(1)
        self.assertIn("rejoin()", str(self.assertRaises(DBError, self.pair.catch_up)))
        self.pair.rejoin(self.pair.replica)
        self.assertEqual([1], self.numbers(self.pair.replica))


class TestPostgreSQLReplicas(PostgreSQL, SeveralCases, PairTestCase):
    pass


class TestMariaDBReplicas(MariaDB, SeveralCases, PairTestCase):
    pass
