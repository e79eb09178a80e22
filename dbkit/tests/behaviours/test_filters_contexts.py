"""Rules that find the tenant in the context object of a block."""

from __future__ import annotations

import asyncio
import copy

from sqlalchemy import String, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit import filters
from dbkit.exceptions import FilterError, ForeignScope, RuleValueMissing
from dbkit.filters.moments import CONTEXT_RULES
from dbkit.tests.behaviours.base import Behaviour, RequestContext, behaviours
from dbkit.tests.behaviours.combinations import BOTH_FACES, Face
from dbkit.tests.behaviours.faces import manager_of

CONTEXTS = frozenset(each for each in BOTH_FACES if each.face is Face.CONTEXT)


class Base(DeclarativeBase):
    pass


class Vessel(Base):
    __tablename__ = "contexts_vessel"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[str] = mapped_column(String(20))


_BEFORE = CONTEXT_RULES.attributes
filters.scoped("contexts_project", Vessel, "project_id", context_attribute="project_id")
_RULES, CONTEXT_RULES.attributes = CONTEXT_RULES.attributes, _BEFORE  # the blocks of other tests shall not look


def _of(context, project):
    """Return a copy of a context object, which takes part in the same transactions, for another project."""
    other = copy.copy(context)
    other.project_id = project
    return other


@behaviours(CONTEXTS)
class TestContextAttribute(Behaviour):
    def setUp(self):
        super().setUp()
        before, CONTEXT_RULES.attributes = CONTEXT_RULES.attributes, _RULES
        self.addCleanup(setattr, CONTEXT_RULES, "attributes", before)
        Base.metadata.drop_all(self.place.observer)
        Base.metadata.create_all(self.place.observer)
        self.context = self.face.context
        self.context.project_id = "a"

    def writer_of(self, context):
        return self.face_of(self.db, context).writer

    def owners(self):
        return self.place.ask("SELECT id || project_id FROM contexts_vessel ORDER BY id")

    async def ids(self, session):
        return sorted(await session.scalars(select(Vessel.id)))

    async def test_it_is_read_at_each_statement(self):
        async with self.writer() as session:
            session.add(Vessel(id=1))
            await session.flush()
            self.context.project_id = "b"
            self.assertEqual([], await self.ids(session))
            await session.execute(insert(Vessel), [{"id": 2}])
            self.assertEqual([2], await self.ids(session))
            with self.raising(ForeignScope):
                await session.execute(insert(Vessel.__table__).values(id=3, project_id="a"))

    async def test_what_is_pending_at_the_end_is_stored_for_the_context_of_the_block(self):
        async with self.writer() as session:
            session.add(Vessel(id=1))
        async with self.writer_of(RequestContextOf("b"))() as session:
            session.add(Vessel(id=2))
            self.assertEqual([2], await self.ids(session))
        self.assertEqual(["1a", "2b"], self.owners())

    async def test_a_block_inside_with_another_context_works_for_that_one(self):
        other = _of(self.context, "b")
        async with self.writer() as session:
            session.add(Vessel(id=1))
            async with self.writer_of(other)() as inner:
                self.assertEqual([], await self.ids(inner))
                inner.add(Vessel(id=2))
            self.assertEqual([1], await self.ids(session))
            self.assertIsNone(await session.get(Vessel, 2))
            async with self.writer() as again:
                self.assertEqual([1], await self.ids(again))
        self.assertEqual(["1a", "2b"], self.owners())

    async def test_decorated_functions_too(self):
        def decorated(body):
            return self.colour.awaitable(manager_of(self.db).writer(self.colour.function(body)))

        async def store(context, number):
            session = self.colour.handle(context, "session")
            session.add(Vessel(id=number))
            return await self.ids(session)

        async def both(context):
            calls = [(context, 1), (_of(context, "b"), 2), (context, 3)]
            return [await inner(*each) for each in calls]

        inner = decorated(store)
        self.assertEqual([[1], [2], [1, 3]], await decorated(both)(self.context))
        self.assertEqual(["1a", "2b", "3a"], self.owners())

    async def test_scope_inside_the_block_is_stronger_and_outside_weaker(self):
        with filters.scope(contexts_project="c"):
            async with self.writer() as session:
                session.add(Vessel(id=1))
                await session.flush()
                with filters.scope(contexts_project="d"):
                    await session.execute(insert(Vessel), [{"id": 2}])
                    self.assertEqual([2], await self.ids(session))
        self.assertEqual(["1a", "2d"], self.owners())

    async def test_a_context_without_a_tenant_is_told_by_name(self):
        self.context.project_id = None
        async with self.writer() as session:
            with self.raising(RuleValueMissing) as caught:
                await self.ids(session)
        for part in ("'project_id'", "RequestContext", "filters.scope(contexts_project=...)", ".without("):
            self.assertIn(part, str(caught.error))
        async with self.writer.without("contexts_project")() as session:
            self.assertEqual([], await self.ids(session))

    async def test_tasks_have_each_their_own(self):
        if not self.is_asyncio:
            return

        async def store(number, project, entered):
            async with self.writer_of(RequestContextOf(project))() as session:
                await entered.wait()
                session.add(Vessel(id=number))
                await session.flush()
                return await self.ids(session)

        both = asyncio.Barrier(2)
        found = [await store(1, "x", asyncio.Barrier(1))]
        found += await asyncio.gather(store(2, "y", both), store(3, "x", both))
        self.assertEqual([[1], [2], [1, 3]], found)

    def test_two_places_for_one_value_are_refused(self):
        self.assertRaises(
            FilterError, filters.scoped, "contexts_two", Vessel, "project_id", lambda: 1, context_attribute="project_id"
        )


class RequestContextOf(RequestContext):
    """A context of a project."""

    def __init__(self, project):
        self.project_id = project
