"""The first connection: tried again while the database is out of reach, once and no more when it is there."""

from __future__ import annotations

import socket
from typing import Any

import fixtures
import testtools
from sqlalchemy import event, text
from sqlalchemy.engine import URL

import dbkit
from dbkit.exceptions import DBAccessDenied, DBConnectionError, DBNonExistentDatabase, Outcome
from dbkit.testing import servers
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE_PER_PRODUCT, POSTGRESQL, SERVERS, SPELLINGS
from dbkit.tests.behaviours.estates import OWN_SESSION, Estate
from dbkit.tests.steering import SteeredClock, at_once


def _closed_port():
    """Return a socket that holds a port at which nobody listens."""
    held = socket.socket()
    held.bind((LOOPBACK, 0))
    return held


class StartBehaviour(Behaviour):
    def setUp(self):
        super().setUp()
        self.kind = "mysql" if self.combination.scheme in ("mysql", "mariadb") else "postgresql"
        self.clock = SteeredClock()
        self.log = self.useFixture(fixtures.FakeLogger("dbkit", level=10))

    def open(self, url, **settings):
        made = dbkit.Database(url, clock=self.clock, **{"max_retries": 3, "retry_interval": 7, **settings})
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return made

    async def use(self, database, mode="writer"):
        async with getattr(self.face_of(database), mode)() as session:
            return await session.scalar(text(OWN_SESSION[self.kind]))

    def nowhere(self):
        held = _closed_port()
        self.addCleanup(held.close)
        return URL.create(
            f"{self.combination.scheme}+{self.combination.driver}",
            username="app",
            password="s3cr3t",
            host=LOOPBACK,
            port=held.getsockname()[1],
            database="shop",
        )


@behaviours(SERVERS | SPELLINGS)
class TestStart(StartBehaviour):
    async def test_a_refused_connection_is_tried_again_as_often_as_the_settings_say(self):
        database = self.open(self.nowhere())
        with self.raising(DBConnectionError) as caught:
            await self.use(database)
        self.assertEqual([7.0, 7.0, 7.0], self.clock.slept)
        self.assertTrue(caught.error.transient)
        self.assertIs(Outcome.NOT_STARTED, caught.error.outcome)
        self.assertIsNotNone(caught.error.__cause__)
        for shown in (str(caught.error), self.log.output):
            self.assertNotIn("s3cr3t", shown)
        self.assertEqual(3, self.log.output.count("is out of reach"))

    async def test_a_refused_connection_says_that_it_was_never_made_why_and_where(self):
        url = self.nowhere()
        with self.raising(DBConnectionError) as caught:
            await self.use(self.open(url, max_retries=0))
        said = str(caught.error)
        self.assertTrue(said.startswith("could not connect to the database: "), said)
        self.assertRegex(said, r"(?i)refused|can't connect|connect call failed")
        self.assertIn(f"app:***@{LOOPBACK}:{url.port}/shop", said)
        self.assertNotIn("s3cr3t", said)

    async def test_none_is_made_without_retries(self):
        with self.raising(DBConnectionError):
            await self.use(self.open(self.nowhere(), max_retries=0))
        self.assertEqual([], self.clock.slept)

    async def test_the_next_block_tries_anew(self):
        database = self.open(self.nowhere(), max_retries=1)
        for expected in (1, 2):
            with self.raising(DBConnectionError):
                await self.use(database, "reader")
            self.assertEqual(expected, self.clock.slept.count(7.0))

    async def test_without_a_bound_it_goes_on(self):
        class Enough(Exception):
            pass

        def stop(number):
            if number == 25:
                raise Enough

        self.clock = SteeredClock(on_sleep=stop)
        with self.raising(Enough):
            await self.use(self.open(self.nowhere(), max_retries=-1))
        self.assertEqual(25, len(self.clock.slept))

    async def test_a_database_that_does_not_exist_is_said_at_once(self):
        server = servers.require_or_skip(self.kind)
        url = server.url(self.combination.driver, "no_such_database", self.combination.scheme)
        with self.raising(DBNonExistentDatabase) as caught:
            await self.use(self.open(url))
        self.assertEqual("no_such_database", caught.error.database)
        self.assertEqual([], self.clock.slept)

    @on(MARIADB)
    async def test_a_wrong_password_is_said_at_once(self):
        estate = Estate.lent("mysql", self)
        url = estate.url(self.combination.driver, self.combination.scheme, username="dbkit", password="wr0ng")
        with self.raising(DBAccessDenied) as caught:
            await self.use(self.open(url))
        self.assertEqual([], self.clock.slept)
        self.assertEqual("dbkit", caught.error.user)
        self.assertIn("user dbkit", str(caught.error))
        self.assertNotIn("wr0ng", str(caught.error))

    @on(POSTGRESQL)
    async def test_an_unknown_user_is_said_at_once(self):
        estate = Estate.lent("postgresql", self)
        with self.raising(DBAccessDenied) as caught:
            await self.use(self.open(estate.url(self.combination.driver, username="nobody_of_that_name")))
        self.assertEqual([], self.clock.slept)
        self.assertIn("user nobody_of_that_name", str(caught.error))

    async def test_a_start_that_succeeds_makes_one_connection(self):
        opened = []

        def count(engine):
            event.listen(engine, "do_connect", lambda *args: opened.append(1) and None)

        estate = Estate.lent(self.kind, self)
        url = estate.url(self.combination.driver, self.combination.scheme)
        database = self.open(url, max_retries=10, on_engine_create=[count])
        await self.use(database)
        self.assertEqual((1, 1, []), (len(opened), len(estate.sessions_become(1)), self.clock.slept))

    async def test_later_blocks_are_not_probed(self):
        """A connection that fails in the middle of the work is the caller's business, not a start."""
        estate = Estate.lent(self.kind, self)
        database = self.open(estate.url(self.combination.driver, self.combination.scheme))
        number = await self.use(database)
        estate.end([number])
        with self.raising(DBConnectionError):
            await self.use(database)
        self.assertEqual([], self.clock.slept)


class TestFileThatCannotBeOpened(testtools.TestCase):
    def test_the_error_names_it(self):
        made = dbkit.Database("sqlite:////nowhere/at/all/app.db", max_retries=0)
        error = self.assertRaises(DBNonExistentDatabase, made.writer(lambda: made.session.scalar(text("SELECT 1"))))
        self.assertEqual("/nowhere/at/all/app.db", error.database)
        self.assertIn("the file cannot be opened: database /nowhere/at/all/app.db", str(error))


@behaviours(ONE_PER_PRODUCT & SERVERS)
class TestLateServer(StartBehaviour):
    async def test_a_server_that_comes_up_at_the_third_attempt_is_used(self):
        with servers.private(self.kind) as server:
            estate = Estate(self.kind, server)
            server.stop()

            def start(number):
                if number == 2:
                    server.start()

            self.clock = SteeredClock(on_sleep=start)
            database = self.open(estate.url(self.combination.driver), max_retries=10)
            number = await self.use(database)
            self.assertEqual([7.0, 7.0], self.clock.slept)
            self.assertEqual({number}, estate.sessions_become(1))
            self.assertEqual(2, self.log.output.count("is out of reach"))
            await self.dispose(database)


class TestThreadsThatStartAtOnce(testtools.TestCase):
    def test_they_share_one_engine_for_each_role(self):
        for kind, driver in (("postgresql", "psycopg"), ("mysql", "pymysql")):
            estate = Estate.lent(kind, self)
            engines: list[Any] = []
            made = dbkit.Database(
                estate.url(driver), max_pool_size=3, max_overflow=0, on_engine_create=[engines.append]
            )

            def work(number, made=made, estate=estate):
                with (made.writer if number % 2 else made.reader)() as session:
                    return session.scalar(estate.own_session)

            at_once(8, work)
            self.assertEqual(2, len(engines))
            estate.sessions_become(lambda found: len(found) <= 3)  # one that gave way to the other role ends later
            made.dispose()
