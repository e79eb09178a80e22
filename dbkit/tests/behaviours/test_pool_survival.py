"""What a pool does when connections die, callers nest and the pool is exhausted; and what plain SQLAlchemy does."""

from __future__ import annotations

import asyncio
import os
import socket
import threading

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as BareTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from dbkit.exceptions import DBConnectionError, DBError, PoolTimeout
from dbkit.spec import Colour
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, POSTGRESQL, SERVERS
from dbkit.tests.behaviours.test_pool_sessions import PATIENT_S, EstateBehaviour
from dbkit.tests.steering import Worker

THIRTY = 30


class Bare:
    """Plain SQLAlchemy's engine of a colour, with the same coroutine methods for both."""

    def __init__(self, url, colour, **arguments):
        self.connects = 0
        self.is_asyncio = colour is Colour.ASYNCIO
        make = create_async_engine if self.is_asyncio else create_engine
        self.engine = make(url, **arguments)
        event.listen(self.engine.sync_engine if self.is_asyncio else self.engine, "connect", self._count)

    def _count(self, connection, record):
        self.connects += 1

    async def call(self, method, *arguments):
        """Call a method of the engine or of a connection, in either colour."""
        found = method(*arguments)
        return await found if self.is_asyncio and hasattr(found, "__await__") else found

    async def connect(self):
        return await self.call(self.engine.connect)

    async def dispose(self):
        await self.call(self.engine.dispose)


@behaviours(SERVERS)
class TestOneOfThirty(EstateBehaviour):
    """One backend of thirty is killed while all of them lie idle."""

    async def test_it_costs_at_most_two_connects(self):
        face = self.open(max_pool_size=THIRTY, max_overflow=0, pool_ping_timeout=PATIENT_S)

        async def look():
            return self.estate.sessions_become(THIRTY)

        before = await self.hold(face.writer, THIRTY, look)
        dying = await self.session_of(face.writer)
        self.estate.end([dying])
        with self.raising(DBConnectionError):
            await self.session_of(face.writer)
        for _ in range(THIRTY):
            await self.session_of(face.writer)
        after = await self.hold(face.writer, THIRTY, look)
        self.assertLessEqual(len(after - before), 2)
        self.assertLessEqual(before - {dying}, after)

    async def test_plain_sqlalchemy_opens_thirty(self):
        """The negative control."""
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        bare = Bare(url, self.combination.colour, pool_size=THIRTY, max_overflow=0)
        held = [await bare.connect() for _ in range(THIRTY)]
        numbers = []
        for connection in held:
            numbers.append((await bare.call(connection.execute, self.estate.own_session)).scalar())
        for connection in held:
            await bare.call(connection.close)
        self.estate.end(numbers[:1])  # the one that its pool gives out next
        bare.connects = 0
        for _ in range(THIRTY + 1):
            connection = await bare.connect()
            held.append(connection)
            try:
                await bare.call(connection.execute, self.estate.own_session)
            except DBAPIError:
                await bare.call(connection.close)
        for connection in held[THIRTY:]:
            await bare.call(connection.close)
        await bare.dispose()
        self.assertEqual(THIRTY, bare.connects)


@behaviours(SERVERS)
class TestNestedIndependents(EstateBehaviour):
    """A pool of three, and a block that asks for a fourth connection inside of three others."""

    async def test_it_fails_at_once_and_says_why(self):
        face = self.open(max_pool_size=3, max_overflow=0, pool_timeout=3600)

        async def one_more():
            with self.raising(PoolTimeout) as caught:
                async with face.reader.independent() as session:
                    await session.execute(text("SELECT 1"))
            return caught.error

        error = await self.hold(face.writer, 3, one_more)
        for part in ("all 3 connections are in use", "everyone who holds one waits for another", ".independent"):
            self.assertIn(part, str(error))
        self.assertTrue(error.transient)
        self.assertEqual(1, len({await self.session_of(face.writer)}))

    async def test_plain_sqlalchemy_waits_for_itself_until_its_timeout(self):
        """The negative control."""
        url = self.estate.url(self.combination.driver, self.combination.scheme)
        bare = Bare(url, self.combination.colour, pool_size=1, max_overflow=0, pool_timeout=0.2)
        held = await bare.connect()
        with self.raising(BareTimeout) as caught:
            await bare.connect()
        self.assertIn("timeout 0.20", str(caught.error))
        await bare.call(held.close)
        await bare.dispose()

    @on(BLOCKING)
    def test_threads_that_wait_for_each_other_end_with_one_error(self):
        self.open(max_pool_size=2, max_overflow=0, pool_timeout=3600)
        database, both = self.made, threading.Barrier(2)

        def nest():
            with database.writer() as outer:
                outer.execute(text("SELECT 1"))
                both.wait(20)
                with database.writer.independent() as inner:
                    inner.execute(text("SELECT 1"))

        workers = [Worker(nest), Worker(nest)]
        self.assertEqual(1, len([error for error in map(_error_of, workers) if isinstance(error, PoolTimeout)]))

    @on(ASYNCIO)
    async def test_tasks_that_wait_for_each_other_end_with_one_error(self):
        face = self.open(max_pool_size=2, max_overflow=0, pool_timeout=3600)
        both = asyncio.Barrier(2)

        async def nest():
            async with face.writer() as outer:
                await outer.execute(text("SELECT 1"))
                await both.wait()
                async with face.writer.independent() as inner:
                    await inner.execute(text("SELECT 1"))

        found = await asyncio.gather(nest(), nest(), return_exceptions=True)
        self.assertEqual(["NoneType", "PoolTimeout"], sorted(type(each).__name__ for each in found))


def _error_of(worker):
    try:
        worker.outcome()
    except DBError as error:
        return error
    return None


@behaviours(SERVERS)
class TestHolders(EstateBehaviour):
    """An exhausted pool says who has its connections."""

    @on(BLOCKING)
    def test_threads_are_named_with_the_place_where_they_are(self):
        self.open(max_pool_size=2, max_overflow=0, pool_timeout=0)
        database, inside, go = self.made, threading.Barrier(3), threading.Event()

        def wait_in_a_block():
            with database.writer() as session:
                session.execute(text("SELECT 1 + :secret"), {"secret": 4711})
                inside.wait(20)
                assert go.wait(20)

        workers = [Worker(wait_in_a_block) for _ in range(2)]
        inside.wait(20)
        with self.raising(PoolTimeout) as caught, database.reader() as session:
            session.execute(text("SELECT 1"))
        go.set()
        said = str(caught.error)
        for worker in workers:
            worker.outcome()
            self.assertIn(f"by the thread {worker.name}, now at\n", said)
        self.assertEqual(2, said.count(" in wait_in_a_block"))
        self.assertIn("test_pool_survival.py:", said)
        self.assertRegex(said, r"held for \d+\.\d s")
        self.assertNotIn("4711", said)
        self.assertLess(len(said.splitlines()), 15)

    @on(ASYNCIO)
    async def test_tasks_are_named_with_the_place_where_they_are(self):
        face = self.open(max_pool_size=2, max_overflow=0, pool_timeout=0)
        inside, go = asyncio.Barrier(3), asyncio.Event()

        async def wait_in_a_block():
            async with face.writer() as session:
                await session.execute(text("SELECT 1 + :secret"), {"secret": 4711})
                await inside.wait()
                await go.wait()

        tasks = [asyncio.create_task(wait_in_a_block(), name=f"visitor {number}") for number in range(2)]
        await inside.wait()
        with self.raising(PoolTimeout) as caught:
            await self.session_of(face.reader)
        go.set()
        await asyncio.gather(*tasks)
        said = str(caught.error)
        for number in range(2):
            self.assertIn(f"by the task visitor {number}, now at\n", said)
        self.assertEqual(2, said.count(" in wait_in_a_block"))
        self.assertNotIn("4711", said)

    async def test_nobody_is_named_who_has_given_it_back(self):
        face = self.open(max_pool_size=2, max_overflow=0, pool_timeout=0)
        for _ in range(3):
            await self.session_of(face.writer)

        async def one_more():
            with self.raising(PoolTimeout) as caught:
                await self.hold(face.reader, 1, one_more)
            return str(caught.error)

        said = await self.hold(face.writer, 2, one_more)
        self.assertEqual(2, said.count("held for"))


@behaviours(SERVERS)
class TestKeepalive(EstateBehaviour):
    """Every driver's socket is told, where the system can be asked for it."""

    def sockets(self):
        """Return whether keepalive is on, and after how long, for each open socket to the server."""
        port, found = self.estate.server.port, {}
        for name in os.listdir("/proc/self/fd"):
            try:
                duplicate = os.dup(int(name))
            except OSError:
                continue  # the directory's own
            try:
                each = socket.socket(fileno=duplicate)
            except OSError:
                os.close(duplicate)
                continue
            with each:
                if each.family == socket.AF_INET and each.type == socket.SOCK_STREAM and _peer_port(each) == port:
                    found[int(name)] = _keepalive_of(each)
        return found

    def setUp(self):
        super().setUp()
        if not os.path.isdir("/proc/self/fd"):
            self.skipTest("the system does not list a process's sockets")

    async def set_by(self, **settings):
        before = self.sockets()
        face = self.open(**settings)
        async with face.writer() as session:
            await session.execute(text("SELECT 1"))
            after = self.sockets()
        return [found for number, found in after.items() if number not in before]

    async def test_it_is_set_as_the_setting_says(self):
        self.assertEqual([(True, 47)], await self.set_by(tcp_keepalive=47))

    async def test_without_the_setting_the_system_decides(self):
        """The negative control."""
        ((_, idle_s),) = await self.set_by(tcp_keepalive=None)
        self.assertNotEqual(47, idle_s)

    @on({each for each in POSTGRESQL if each.driver in ("psycopg", "psycopg2")})
    async def test_an_argument_of_the_url_goes_before_it(self):
        self.assertEqual([(True, 53)], await self.set_by(tcp_keepalive=47, connection_parameters="keepalives_idle=53"))


def _peer_port(each):
    try:
        return each.getpeername()[1]
    except OSError:
        return None


def _keepalive_of(each):
    idle_s = each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    return bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), idle_s
