"""A fork: the child works with connections of its own, and the parent's go on as if nothing had been."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select

from dbkit.exceptions import DBError
from dbkit.spec import Colour
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import WayCase, insert_item, needs
from dbkit.testing.suite.tables import ITEMS

_PATIENCE_S = 30

_COUNT = select(func.count(ITEMS.c.id))


class Forks(WayCase):
    """Forked children of a process that has connections."""

    required = (Capability.FORK,)
    colour_only = Colour.BLOCKING

    async def test_a_child_works_beside_the_idle_connections_of_its_parent(self) -> None:
        await self.add(1)

        def work() -> Any:
            with self.db.writer() as session:
                session.execute(insert_item(2))
            with self.db.reader() as session:
                return session.scalar(_COUNT)

        self.assertEqual(2, in_child(work))
        await self.add(3)
        async with self.open(self.db.reader) as session:
            self.assertEqual(3, await session.scalar(_COUNT))
        self.assertEqual([1, 2, 3], self.stored())

    @needs(Capability.INDEPENDENT_WRITERS)
    async def test_a_block_that_is_open_at_the_fork_stays_the_parents(self) -> None:
        with self.db.writer() as session:
            session.execute(insert_item(1))

            def work() -> Any:
                try:
                    session.execute(insert_item(2))
                except DBError as error:
                    refused = type(error).__name__
                with self.db.writer() as own:
                    own.execute(insert_item(3))
                return refused

            self.assertEqual("TransactionOwnedElsewhere", in_child(work))
            self.assertEqual([3], self.stored())
            session.execute(insert_item(4))
        self.assertEqual([1, 3, 4], self.stored())

    async def test_a_child_that_disposes_and_ends_leaves_the_parents_connections(self) -> None:
        await self.add(1)

        def work() -> Any:
            self.db.dispose()
            return True

        self.assertTrue(in_child(work))
        await self.add(2)
        self.assertEqual([1, 2], self.stored())


def in_child(work: Callable[[], Any]) -> Any:
    """Do the work in a forked child and return what it returned.

    :raises AssertionError: the work raised an error, or the child died.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        signal.alarm(_PATIENCE_S)  # a child that hangs must not outlive the test
        try:
            report = (True, work())
        except BaseException as error:  # told to the parent
            report = (False, f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as stream:
            stream.write(pickle.dumps(report))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(pid, 0)
    if not told:
        raise AssertionError(f"the child told nothing and ended with status {status}")
    succeeded, value = pickle.loads(told)
    if not succeeded:
        raise AssertionError(f"the child raised {value}")
    return value
