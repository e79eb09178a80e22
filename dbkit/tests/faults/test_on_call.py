"""The page for the engineer who is on call says what really happens."""

from __future__ import annotations

import re
from pathlib import Path

import testtools
from sqlalchemy import text

from dbkit import exceptions
from dbkit.exceptions import DBError, Outcome
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.tables import Item
from dbkit.tests.faults.base import DRIVERS, Faulty

PAGE = Path(__file__).parents[3] / "doc" / "source" / "user" / "on-call.rst"

OUTCOMES = {outcome.value for outcome in Outcome}
ROW = re.compile(r"   \* - (.+)\n     - (.+)\n     - (.+)\n     - (.+)\n")


SLOW = {
    "postgresql": ("SET LOCAL statement_timeout = 100", "SELECT pg_sleep(30)"),
    "mysql": (
        "SET STATEMENT max_statement_time = 0.1 FOR SELECT count(*) FROM information_schema.columns a, "
        "information_schema.columns b, information_schema.columns c",
    ),
}
"""What takes too long, and says so."""


def rows():
    """Return the rows of the table "At a glance": by fault, the class, whether to try again, and the outcomes."""
    text_of_page = PAGE.read_text(encoding="utf-8")
    return {fault: (error, again, outcome) for fault, error, again, outcome in ROW.findall(text_of_page)}


def named(cell):
    """Return the classes that a cell names."""
    return re.findall(r"``(\w+)``", cell)


def outcomes_in(cell):
    """Return the outcomes that a cell names."""
    return {each.split("(")[0].strip() for each in re.sub(r"\([^)]*\)", "", cell).split(",")}


class TestThePage(testtools.TestCase):
    def test_each_row_names_an_error_and_says_of_it_what_its_class_says(self):
        checked = 0
        for fault, (cell, again, outcome) in rows().items():
            for name in named(cell):
                error = getattr(exceptions, name, None)
                if error is None:
                    continue  # CancelledError and KeyboardInterrupt are not ours
                self.assertEqual({True: "yes", False: "no"}[error.transient], again, fault)
                self.assertLessEqual(outcomes_in(outcome), OUTCOMES, fault)
                checked += 1
        self.assertGreater(checked, 15)

    def test_each_fault_of_a_section_is_described_with_every_protection(self):
        sections = re.split(r"\n(?=[^\n]+\n-{4,}\n)", PAGE.read_text(encoding="utf-8"))[1:]
        self.assertGreater(len(sections), 14)
        for section in sections:
            if section.startswith(("Fork", "Deadline passed")):
                continue
            title = section.splitlines()[0]
            for field in (":Plain:", ":retrying:", ":exactly_once:", ":replaying:", ":deadline:", ":Log:", ":Do:"):
                self.assertIn(field, section, title)


@behaviours(DRIVERS)
class TestWhatHappens(Faulty):
    async def check(self, fault, work):
        """Run a body that meets a fault; its error must be as the page says."""
        cell, again, outcome = rows()[fault]
        error = await self.raises(DBError, work)
        self.assertIn(type(error).__name__, named(cell), fault)
        self.assertEqual(again == "yes", error.transient, fault)
        self.assertIn(error.outcome.value, outcomes_in(outcome), fault)
        if error.outcome is not Outcome.UNKNOWN:
            self.assertEqual([], self.stored(), fault)

    async def write(self):
        async with self.writer() as session:
            session.add(Item(id=1))
            await session.flush()
            await session.execute(text("SELECT 1 AS probe"))

    async def test_connection_refused(self):
        self.proxy.refuse()
        await self.check("Connection refused", self.write)

    async def test_connection_lost_before_commit(self):
        with self.proxy.cut(faults.before(re.compile("AS probe"))):
            await self.check("Connection lost before COMMIT", self.write)

    async def test_connection_lost_at_commit(self):
        for point in (faults.before("COMMIT"), faults.after("COMMIT")):
            with self.proxy.cut(point):
                await self.check("Connection lost at COMMIT", self.write)
            self.place.empty()

    async def test_server_silent_and_a_deadline(self):
        async def work():
            async with self.face_of(self.rows).writer.deadline(1.5)() as session:
                await session.execute(text("SELECT 1"))
                self.proxy.freeze_all()
                await session.execute(text("SELECT 2"))

        self.rows = self.through()
        await self.check("Server silent, the block has a deadline", work)
        self.proxy.thaw()
        self.proxy.cut_all()

    async def test_a_statement_that_takes_too_long(self):
        async def work():
            async with self.writer() as session:
                for statement in SLOW[self.combination.scheme]:
                    await session.execute(text(statement))

        await self.check("Statement timeout", work)

    async def test_an_exhausted_pool(self):
        narrow = self.through(max_pool_size=1, max_overflow=0, pool_timeout=1)
        face = self.face_of(narrow)

        async def another():
            async with face.writer.independent() as session:
                await session.execute(text("SELECT 1"))

        async with face.writer() as session:
            await session.execute(text("SELECT 1"))
            await self.check("Pool exhausted", another)
