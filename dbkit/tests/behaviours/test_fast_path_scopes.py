"""Objects that belong to a tenant are saved past the unit of work too, and never for another tenant."""

from __future__ import annotations

from functools import partial

import testtools
from sqlalchemy import String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column

import dbkit
from dbkit import filters, models, queries
from dbkit.exceptions import ForeignScope, RuleValueMissing, StaleRow
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT
from dbkit.transaction.greenlets import in_task


class Base(DeclarativeBase):
    """Of these tests alone."""


class Ticket(models.ProjectMixin, models.VersionMixin, Base):
    __tablename__ = "scoped_tickets"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str | None] = mapped_column(String(50))


FIND = queries.find(Ticket)


@behaviours(ONE_PER_PRODUCT)
class TestScopes(Behaviour):
    def setUp(self):
        super().setUp()
        Base.metadata.drop_all(self.place.observer)
        Base.metadata.create_all(self.place.observer)
        self.addCleanup(Base.metadata.drop_all, self.place.observer)
        for number, project in ((1, "a"), (2, "b")):
            self.place.do(
                "INSERT INTO scoped_tickets (id, title, project_id, version) VALUES (:n, 'old', :p, 1)",
                n=number,
                p=project,
            )

    async def call(self, function, *args, **values):
        return await in_task(partial(function, *args, **values)) if self.is_asyncio else function(*args, **values)

    def titles(self):
        return self.place.ask("SELECT title FROM scoped_tickets ORDER BY id")

    async def change(self, number, writer=None, **values):
        async with (writer or self.writer.connection)():
            ticket = await self.call(FIND.one, self.db, id=number)
            for name, value in values.items():
                setattr(ticket, name, value)
            await self.call(queries.save, self.db, ticket)
            return self.db.current.physical().session

    async def test_a_tenants_own_rows_are_changed_without_a_session(self):
        with filters.scope(project="a"):
            session = await self.change(1, title="mine")
            self.assertIsNone(session)
            session = await self.change(1, title="again", project_id="a")
            self.assertIsNone(session)
        self.assertEqual(["again", "old"], self.titles())

    async def test_no_row_is_moved_to_another_tenant(self):
        with filters.scope(project="a"):
            straight = await self.raises(ForeignScope, partial(self.change, 1, title="x", project_id="b"))
            ordinary = await self.raises(ForeignScope, partial(self.move_by_session, 1, "b"))
        self.assertEqual(str(ordinary), str(straight))
        self.assertEqual(["old", "old"], self.titles())

    async def move_by_session(self, number, project):
        async with self.writer() as session:
            ticket = await session.get(Ticket, number)
            ticket.title, ticket.project_id = "x", project
            await session.flush()

    async def test_a_row_of_another_tenant_is_not_reached(self):
        with filters.scope(project="b"):
            async with self.reader.connection():
                ticket = await self.call(FIND.one, self.db, id=2)
        ticket.title = "theirs"
        with filters.scope(project="a"), self.raising(StaleRow):
            async with self.writer.connection():
                await self.call(queries.save, self.db, ticket)
        self.assertEqual(["old", "old"], self.titles())

    async def test_without_the_rule_it_may(self):
        session = await self.change(1, self.writer.connection.without("project"), title="moved", project_id="b")
        self.assertIsNone(session)
        self.assertEqual(["b", "b"], self.place.ask("SELECT project_id FROM scoped_tickets ORDER BY id"))

    async def test_nobody_to_act_for_is_said_by_name(self):
        with filters.scope(project="a"):
            async with self.reader.connection():
                ticket = await self.call(FIND.one, self.db, id=1)
        ticket.title = "nobody's"
        with self.raising(RuleValueMissing) as caught:
            async with self.writer.connection():
                await self.call(queries.save, self.db, ticket)
        self.assertIn("'project'", str(caught.error))


class TestListeners(testtools.TestCase):
    """Only dbkit's own listener is known; any other one is told by a flush."""

    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        with filters.scope(project="a"), self.db.writer() as session:
            session.add(Ticket(id=1))

    def change(self):
        with filters.scope(project="a"), self.db.writer.connection():
            ticket = FIND.one(self.db, id=1)
            ticket.title = (ticket.title or "") + "x"
            queries.save(self.db, ticket)
            return self.db.current.physical().session

    def test_who_listens_beside_it_is_told(self):
        told = []
        for target in (Ticket, Mapper):

            def listener(*args, target=target):
                told.append(target)

            event.listen(target, "before_update", listener)
            try:
                self.assertIsNotNone(self.change())
            finally:
                event.remove(target, "before_update", listener)
            self.assertIsNone(self.change())
        self.assertEqual([Ticket, Mapper], told)
