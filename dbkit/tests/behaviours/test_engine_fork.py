"""A fork: the child leaves the parent's connections alone and works with its own."""

from __future__ import annotations

import asyncio
import functools
import gc
import multiprocessing
import textwrap
from typing import Any

import testtools
from sqlalchemy import create_engine, text

import dbkit
from dbkit.exceptions import DBError, NoTransaction, TransactionOwnedElsewhere
from dbkit.testing.servers.polling import wait_until
from dbkit.tests import warm
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, MARIADB, ONE_PER_PRODUCT, SERVERS, is_installed
from dbkit.tests.behaviours.estates import Estate
from dbkit.tests.behaviours.forks import Child

_WAIT_S = 20.0


def _session(database, estate, mode="writer"):
    with getattr(database, mode)() as session:
        return session.scalar(estate.own_session)


@behaviours(SERVERS & BLOCKING)
class TestForkWithIdleConnections(Behaviour):
    def setUp(self):
        super().setUp()
        self.estate = Estate.lent("mysql" if self.combination in MARIADB else "postgresql", self)
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        self.made = dbkit.Database(url, max_retries=0, max_pool_size=3, max_overflow=0)
        self.addCleanup(self.made.dispose)
        self.mine = {_session(self.made, self.estate, mode) for mode in ("writer", "reader")}
        assert len(self.mine) == 2

    def still_mine(self):
        """The parent's sessions are alive, and the next blocks are served by them."""
        self.estate.sessions_become(lambda found: self.mine <= found)
        found = {_session(self.made, self.estate, mode) for mode in ("writer", "reader")}
        self.assertEqual(self.mine, found)

    async def test_the_child_works_with_connections_of_its_own(self):
        def work():
            return [_session(self.made, self.estate, mode) for mode in ("writer", "reader", "writer")]

        first = Child(work).report()
        self.assertFalse(self.mine & set(first))
        self.assertEqual(2, len(set(first)))
        self.still_mine()

    async def test_the_child_has_the_whole_limit_for_itself(self):
        def work():
            with self.made.writer() as a, self.made.writer.independent() as b, self.made.reader.independent() as c:
                return len({each.scalar(self.estate.own_session) for each in (a, b, c)})

        self.assertEqual(3, Child(work).report())
        self.still_mine()

    async def test_a_child_that_ends_at_once_leaves_them(self):
        Child(lambda: None).report()
        self.still_mine()

    async def test_a_child_that_collects_its_garbage_leaves_them(self):
        def work():
            self.made = self.db = self.face = None
            for each in gc.get_objects():
                if isinstance(each, dbkit.Database):
                    each.patch_factory(dbkit.Database("sqlite://").factory)
            return gc.collect() >= 0

        self.assertTrue(Child(work).report())
        self.still_mine()

    async def test_a_child_that_disposes_leaves_them(self):
        def work():
            self.made.dispose()
            return len({_session(self.made, self.estate), _session(self.made, self.estate)})

        self.assertEqual(1, Child(work).report())
        self.still_mine()

    async def test_a_grandchild_leaves_them_too(self):
        def child():
            mine = _session(self.made, self.estate)
            theirs = Child(lambda: _session(self.made, self.estate)).report()
            return mine != theirs and mine == _session(self.made, self.estate)

        self.assertTrue(Child(child).report())
        self.still_mine()

    async def test_children_of_multiprocessing_leave_them(self):
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()

        def work():
            queue.put(_session(self.made, self.estate))

        children = [context.Process(target=work) for _ in range(3)]
        for child in children:
            child.start()
        theirs = {queue.get() for _ in children}
        for child in children:
            child.join(_WAIT_S)
            self.assertEqual(0, child.exitcode)
        self.assertEqual(3, len(theirs))
        self.assertFalse(self.mine & theirs)
        self.still_mine()

    async def test_an_asyncio_child_of_a_blocking_parent_works(self):
        def work():
            async def body():
                async with self.made.writer() as session:
                    found = await session.scalar(self.estate.own_session)
                await self.made.adispose()
                return found

            return asyncio.run(body())

        self.assertNotIn(Child(work).report(), self.mine)
        self.still_mine()


@behaviours(SERVERS & BLOCKING)
class TestForkInsideABlock(Behaviour):
    def setUp(self):
        super().setUp()
        self.made = self.database(max_pool_size=3, max_overflow=0)

    async def test_the_child_starts_outside_and_the_parent_commits(self):
        def work():
            try:
                outside = str(self.made.session)
            except NoTransaction as error:
                outside = "no block of this database is open" in str(error)
            with self.made.writer() as session:
                session.execute(text("INSERT INTO items (id, amount) VALUES (2, 0)"))
            return outside

        with self.made.writer() as session:
            session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
            self.assertIs(True, Child(work).report())
            self.assertEqual([2], self.stored())
            session.execute(text("INSERT INTO items (id, amount) VALUES (3, 0)"))
        self.assertEqual([1, 2, 3], self.stored())

    async def test_the_parents_session_is_of_no_use_in_the_child(self):
        with self.made.writer() as session:
            session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))

            def work():
                try:
                    session.execute(text("INSERT INTO items (id, amount) VALUES (2, 0)"))
                except DBError as error:
                    return type(error).__name__, str(error)

            name, said = Child(work).report()
            self.assertEqual(1, session.scalar(text("SELECT count(*) FROM items")))
        self.assertEqual([1], self.stored())
        self.assertEqual("TransactionOwnedElsewhere", name)
        self.assertIn("process", said)

    async def test_dispose_and_reload_leave_the_connection_in_use_to_the_parent_too(self):
        for replace in (self.made.dispose, self.made.reload):
            self.place.empty()
            with self.made.writer() as session:
                session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
                replace()

                def work(session=session):
                    try:
                        session.execute(text("INSERT INTO items (id, amount) VALUES (2, 0)"))
                    except TransactionOwnedElsewhere:
                        with self.made.writer() as mine:
                            mine.execute(text("INSERT INTO items (id, amount) VALUES (3, 0)"))
                        self.made.dispose()
                        return "refused"

                self.assertEqual("refused", Child(work).report())
                self.assertEqual(1, session.scalar(text("SELECT count(*) FROM items WHERE id = 1")))
            self.assertEqual([1, 3], self.stored())

    async def test_bare_sqlalchemy_lets_the_child_write_in_the_parents_transaction(self):
        """The negative control: the pool was replaced, and the child goes on with the parent's connection."""
        engine = self.bare_engine()
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
            engine.dispose()
            insert = text("INSERT INTO items (id, amount) VALUES (2, 0)")
            Child(lambda: connection.execute(insert).rowcount).report()
            connection.commit()
        self.assertEqual([1, 2], self.stored())

    async def test_a_child_that_leaves_the_parents_block_cannot_end_its_transaction(self):
        for error in (None, KeyError("in the child")):

            def leave(block: Any, error: Any = error) -> str:
                try:
                    block.__exit__(type(error) if error else None, error, None)
                except DBError:
                    return "refused"
                return "left"

            block = self.made.writer()
            with block as session:
                session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
                Child(functools.partial(leave, block)).report()
                self.assertEqual([], self.stored())
                self.assertEqual(1, session.scalar(text("SELECT count(*) FROM items")))
            self.assertEqual([1], self.stored())
            self.place.empty()

    async def test_a_child_cannot_believe_that_it_has_committed(self):
        block = self.made.writer()
        with block as session:
            session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))

            def work():
                try:
                    block.__exit__(None, None, None)
                except DBError as error:
                    return type(error).__name__
                return "believes that it has committed"

            self.assertNotEqual("believes that it has committed", Child(work).report())


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestForkOnEachProduct(Behaviour):
    async def test_parent_and_children_write_beside_each_other(self):
        made = self.database()
        with made.writer() as session:
            session.execute(text("INSERT INTO items (id, amount) VALUES (0, 0)"))

        def work(start):
            for number in range(start, start + 20):
                with made.writer() as session:
                    session.execute(text("INSERT INTO items (id, amount) VALUES (:id, 0)"), {"id": number})
            with made.reader() as session:
                return session.scalar(text("SELECT count(*) FROM items WHERE id >= :a AND id < :a + 20"), {"a": start})

        children = [Child(lambda start=start: work(start)) for start in (100, 200)]
        self.assertEqual(20, work(300))
        self.assertEqual([20, 20], [child.report() for child in children])
        self.assertEqual(61, len(self.stored()))


class TestForkOfAnAsyncioParent(testtools.TestCase):
    def test_the_loop_of_the_parent_keeps_its_connections(self):
        for kind, driver in (("postgresql", "asyncpg"), ("postgresql", "psycopg"), ("mysql", "asyncmy")):
            estate = Estate.lent(kind, self)
            database = dbkit.Database(estate.url(driver), max_retries=0)

            async def session_of(database=database, estate=estate):
                async with database.writer() as session:
                    return await session.scalar(estate.own_session)

            async def body(database=database, estate=estate, session_of=session_of):
                mine = await session_of()
                reports = []
                for work in (lambda: None, lambda: asyncio.Runner().run(session_of())):
                    # the child has no loop that runs: it is no longer inside of the parent's
                    reports.append(Child(lambda work=work: asyncio._set_running_loop(None) or work()).report())
                again = await session_of()
                await database.adispose()
                return mine, reports[1], again

            mine, theirs, again = asyncio.run(body())
            self.assertEqual(mine, again, driver)
            self.assertNotEqual(mine, theirs, driver)


class TestInterpretersEnd(testtools.TestCase):
    """A child that ends as a script does: atexit, garbage, finalizers."""

    _SCRIPT = textwrap.dedent(
        """
        import gc, os, sys
        import dbkit
        from sqlalchemy import text

        database = dbkit.Database(sys.argv[1], max_retries=0)
        question = text(sys.argv[2])

        def number(mode):
            with mode() as session:
                return session.scalar(question)

        mine = [number(database.writer), number(database.reader)]
        child = os.fork()
        if not child:
            number(database.writer)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert mine == [number(database.writer), number(database.reader)], "the parent has lost its connections"
        print("kept")
        """
    )

    def leaves_them(self, kind, driver):
        if not is_installed(driver):
            self.skipTest(f"the driver {driver} is not installed")
        estate = Estate.lent(kind, self)
        url = estate.url(driver).render_as_string(hide_password=False)
        ended = warm.run("-c", self._SCRIPT, url, str(estate.own_session))
        self.assertEqual(("kept\n", 0), (ended.stdout, ended.returncode), ended.stderr[-600:])

    def test_it_leaves_the_parents_connections_of_psycopg(self):
        self.leaves_them("postgresql", "psycopg")

    def test_it_leaves_the_parents_connections_of_psycopg2(self):
        self.leaves_them("postgresql", "psycopg2")

    def test_it_leaves_the_parents_connections_of_pymysql(self):
        self.leaves_them("mysql", "pymysql")

    def test_it_leaves_the_parents_connections_of_mysqlclient(self):
        self.leaves_them("mysql", "mysqldb")


class TestBareFork(testtools.TestCase):
    """Negative control: plain SQLAlchemy, whose child uses and ends the parent's session."""

    @testtools.skipUnless(is_installed("mysqldb"), "the driver mysqldb is not installed: pip install mysqlclient")
    def test_a_bare_engine_shares_the_parents_session_with_the_child(self):
        estate = Estate.lent("mysql", self)
        engine = create_engine(estate.url("mysqldb"))
        self.addCleanup(engine.dispose)

        def session_of():
            with engine.connect() as connection:
                return connection.scalar(estate.own_session)

        mine = session_of()

        def work():
            theirs = session_of()
            engine.dispose()
            return theirs

        self.assertEqual(mine, Child(work).report())
        wait_until(lambda: mine not in estate.sessions(), _WAIT_S, "the end of the parent's session")
