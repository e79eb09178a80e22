"""An installation without greenlet, which SQLAlchemy 2.1 no longer brings: blocking code needs none."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import testtools

_PRELUDE = textwrap.dedent(
    """
    import sys

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "greenlet":
                raise ModuleNotFoundError("No module named 'greenlet'", name="greenlet")

    if sys.argv[1] == "absent":
        sys.meta_path.insert(0, Absent())

    import asyncio
    import dbkit
    from dbkit import enginefacade
    from dbkit.exceptions import DriverMissing
    from sqlalchemy import text

    database = dbkit.Database(sys.argv[2])
    """
)

_BLOCKING = textwrap.dedent(
    """
    @database.writer
    def add():
        database.session.execute(text("INSERT INTO t VALUES (1)"))

    @enginefacade.transaction_context_provider
    class Context:
        pass

    manager = enginefacade.transaction_context()
    manager.configure(connection=sys.argv[2])

    with database.writer() as session:
        session.execute(text("CREATE TABLE t (a INTEGER)"))
        with database.writer.savepoint() as inner:
            inner.execute(text("INSERT INTO t VALUES (2)"))
    add()
    with database.reader.connection() as connection:
        print(connection.scalar(text("SELECT count(*) FROM t")))
    context = Context()
    with manager.reader.using(context) as session:
        print(session.scalar(text("SELECT 3")), context.session is session)
    database.reload()
    database.dispose()
    print("greenlet" in sys.modules)
    """
)

_ASYNCIO = textwrap.dedent(
    """
    async def block():
        async with database.writer() as session:
            await session.execute(text("SELECT 1"))

    async def connection():
        async with database.reader.connection() as found:
            await found.execute(text("SELECT 1"))

    @database.writer
    async def function():
        await database.async_session.execute(text("SELECT 1"))

    async def engine():
        async with database.async_engine.connect():
            pass

    async def dispose():
        await database.adispose()

    async def main():
        for work in (block, connection, function, engine, dispose):
            try:
                await work()
            except DriverMissing as error:
                print(work.__name__, "dbkit[asyncio]" in str(error))
            else:
                print(work.__name__, "works")

    asyncio.run(main())
    with database.writer() as session:
        print(session.scalar(text("SELECT 4")))
    """
)


class TestWithoutGreenlet(testtools.TestCase):
    def run_script(self, script, greenlet="absent", url="sqlite://"):
        # from Python 3.13 on, sqlite3 says of each connection that is open at the interpreter's end that it is
        filters = ["-W", "error", "-W", "ignore::ResourceWarning"]
        ended = subprocess.run(
            [sys.executable, *filters, "-c", _PRELUDE + script, greenlet, url],
            capture_output=True,
            text=True,
            timeout=240,
        )
        self.assertEqual((0, ""), (ended.returncode, ended.stderr[-800:]))
        return ended.stdout.splitlines()

    def test_blocking_code_works(self):
        self.assertEqual(["2", "3 True", "False"], self.run_script(_BLOCKING))

    def test_asyncio_says_what_to_install_and_leaves_blocking_code_as_it_was(self):
        refused = [f"{name} True" for name in ("block", "connection", "function", "engine")]
        self.assertEqual([*refused, "dispose works", "4"], self.run_script(_ASYNCIO))

    def test_with_greenlet_asyncio_works(self):
        """The negative control: the same script where greenlet is installed."""
        names = ("block", "connection", "function", "engine", "dispose")
        self.assertEqual([*(f"{name} works" for name in names), "4"], self.run_script(_ASYNCIO, greenlet="present"))
