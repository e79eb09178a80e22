"""Leaked connections, lazy loads and hooks, as an assertion sees them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    deferred,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    undefer,
)
from sqlalchemy.schema import ForeignKey

from dbkit.exceptions import UsageError
from dbkit.testing.assertions import assert_no_lazy_loads, assert_no_leaked_connections, capture_hooks
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, EVERY_FACE, ONE, ONE_PER_PRODUCT
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item


class Base(DeclarativeBase):
    """The tables of the behaviours once more, with what is loaded lazily."""


class Thing(Base):
    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None] = deferred(mapped_column())
    amount: Mapped[int] = mapped_column(default=0)
    pieces: Mapped[list[Piece]] = relationship(back_populates="thing")


class Piece(Base):
    __tablename__ = "parts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    thing: Mapped[Thing] = relationship(back_populates="pieces")


@behaviours()
class TestLeaks(SandboxBehaviour):
    async def test_blocks_leak_nothing(self):
        async with assert_no_leaked_connections(self.db):
            async with self.writer() as session:
                await session.execute(select(Item.id))
            async with self.reader() as session:
                await session.execute(select(Item.id))

    async def test_a_connection_that_is_not_given_back_is_told_with_its_calls(self):
        taken = []
        with self.raising(AssertionError) as caught, assert_no_leaked_connections(self.db):
            taken.append(await self.take())
        said = str(caught.error)
        self.assertIn("1 connection was taken in the block and not given back", said)
        self.assertIn("in take", said)
        self.assertIn("in test_a_connection_that_is_not_given_back_is_told_with_its_calls", said)
        self.assertLess(said.index("in take"), said.index("in test_a_connection"))
        await self.give_back(taken.pop())

    async def test_a_connection_that_was_lost_is_not_leaked(self):
        with assert_no_leaked_connections(self.db):
            connection = await self.take()
            if self.is_asyncio:
                await connection.invalidate()
            else:
                connection.invalidate()
            await self.give_back(connection)

    async def test_the_next_block_is_judged_by_itself(self):
        taken = await self.take()
        with assert_no_leaked_connections(self.db):
            pass
        await self.give_back(taken)

    async def test_pools_that_are_disposed_of_are_followed(self):
        engine = self.engine()
        with self.raising(AssertionError), assert_no_leaked_connections(self.db):
            if self.is_asyncio:
                await engine.dispose()
            else:
                engine.dispose()
            taken = await self.take()
        await self.give_back(taken)
        self.assertFalse(list(engine.pool.dispatch.checkout))

    def engine(self):
        return self.db.async_engine if self.is_asyncio else self.db.engine

    async def take(self):
        engine = self.engine()
        return await engine.connect() if self.is_asyncio else engine.connect()

    async def give_back(self, connection):
        await connection.close() if self.is_asyncio else connection.close()


@behaviours(ONE_PER_PRODUCT)
class TestLazyLoads(SandboxBehaviour):
    def setUp(self):
        super().setUp()
        self.store(1)
        self.place.do("INSERT INTO parts (id, item_id) VALUES (7, 1)")

    async def read(self, options, read):
        async with self.reader() as session:
            thing = (await session.scalars(select(Thing).options(*options))).one()
            return await session.run_sync(lambda session: read(thing))

    async def test_what_is_loaded_with_the_object_is_no_lazy_load(self):
        for option in (selectinload(Thing.pieces), joinedload(Thing.pieces)):
            with assert_no_lazy_loads(self.db):
                async with self.reader() as session:
                    things = (await session.scalars(select(Thing).options(option))).unique()
                    self.assertEqual([7], [piece.id for thing in things for piece in thing.pieces])
        with assert_no_lazy_loads(self.db):
            await self.read([undefer(Thing.name)], lambda thing: thing.name)

    async def test_a_relationship_is_told_by_name_and_line(self):
        with self.raising(AssertionError) as caught, assert_no_lazy_loads(self.db):
            await self.read([], lambda thing: thing.pieces)
        said = str(caught.error)
        self.assertIn("Thing.pieces was loaded lazily", said)
        self.assertRegex(said, r"test_assertions_blocks\.py:\d+ in <lambda>: ")
        self.assertIn("selectinload()", said)

    async def test_a_deferred_column_is_told(self):
        with self.raising(AssertionError) as caught, assert_no_lazy_loads(Base):
            await self.read([], lambda thing: thing.name)
        self.assertIn("Thing.name was loaded lazily", str(caught.error))

    async def test_an_expired_attribute_is_told(self):
        with self.raising(AssertionError) as caught, assert_no_lazy_loads(self.db):
            async with self.reader() as session:
                thing = (await session.scalars(select(Thing))).one()
                session.expire(thing)
                await session.run_sync(lambda session: thing.amount)
        self.assertIn("Thing.amount was loaded lazily", str(caught.error))
        self.assertIn("refresh()", str(caught.error))

    async def test_a_refresh_that_was_asked_for_is_none(self):
        with assert_no_lazy_loads(self.db):
            async with self.reader() as session:
                thing = (await session.scalars(select(Thing))).one()
                await session.refresh(thing, ["amount"])

    async def test_what_the_session_has_costs_no_statement_and_is_none(self):
        with assert_no_lazy_loads(Base):
            async with self.reader() as session:
                thing = (await session.scalars(select(Thing))).one()
                piece = (await session.scalars(select(Piece))).one()
                self.assertIs(thing, await session.run_sync(lambda session: piece.thing))

    async def test_one_that_the_program_catches_is_told_at_the_end(self):
        with self.raising(AssertionError) as caught, assert_no_lazy_loads(self.db):
            with self.raising(AssertionError):
                await self.read([], lambda thing: thing.pieces)
        self.assertIn("Thing.pieces", str(caught.error))

    async def test_other_databases_and_models_are_left_alone(self):
        for of in (self.database(), Item, Piece):
            with assert_no_lazy_loads(of):
                pieces = await self.read([], lambda thing: thing.pieces)
            self.assertEqual([7], [piece.id for piece in pieces])
        self.assertEqual([7], [each.id for each in await self.read([], lambda thing: thing.pieces)])

    async def test_nobody_listens_afterwards(self):
        with assert_no_lazy_loads(self.db), assert_no_lazy_loads(Base):
            pass
        self.assertEqual([], list(Session().dispatch.do_orm_execute))

    async def test_a_registry_is_all_of_its_classes(self):
        with self.raising(AssertionError), assert_no_lazy_loads(Base.registry):
            await self.read([], lambda thing: thing.pieces)


@behaviours(EVERY_FACE)
class TestHooks(SandboxBehaviour):
    def setUp(self):
        super().setUp()
        self.ran = []

    def commit_hook(self):
        self.ran.append("commit")

    def rollback_hook(self):
        self.ran.append("rollback")

    async def coroutine_hook(self):
        self.ran.append("coroutine")

    async def store_with_hooks(self, *hooks, fail=False):
        async with self.writer() as session:
            session.add(Item(id=1 + len(self.stored())))
            for hook in hooks or (self.commit_hook,):
                self.face.after_commit(hook)
            self.face.after_rollback(self.rollback_hook)
            if fail:
                raise ZeroDivisionError

    async def test_they_are_collected_and_run_on_demand(self):
        with capture_hooks(self.db) as hooks:
            await self.store_with_hooks()
            self.assertEqual([], self.ran)
        self.assertEqual([self.commit_hook], hooks.after_commit)
        self.assertEqual([], hooks.after_rollback)
        hooks.run()
        hooks.run()
        self.assertEqual(["commit"], self.ran)

    async def test_those_of_a_rollback_too(self):
        with capture_hooks(self.db) as hooks:
            await self.raises(ZeroDivisionError, lambda: self.store_with_hooks(fail=True))
        self.assertEqual(([], [self.rollback_hook]), (hooks.after_commit, hooks.after_rollback))

    async def test_after_it_they_run_again_by_themselves(self):
        """And the negative control."""
        with capture_hooks(self.db):
            await self.store_with_hooks()
        await self.store_with_hooks()
        self.assertEqual(["commit"], self.ran)

    async def test_run_runs_them_at_the_end_of_the_block(self):
        async with capture_hooks(self.db, run=True):
            await self.store_with_hooks()
            self.assertEqual([], self.ran)
        self.assertEqual(["commit"], self.ran)

    async def test_a_savepoint_that_is_rolled_back_takes_its_hooks_along(self):
        with capture_hooks(self.db) as hooks:
            async with self.writer():
                with self.raising(ZeroDivisionError):
                    async with self.writer.savepoint():
                        self.face.after_commit(self.commit_hook)
                        raise ZeroDivisionError
        self.assertEqual([], hooks.after_commit)

    async def test_a_transaction_that_is_open_before_and_after_is_caught_too(self):
        async with self.writer():
            with capture_hooks(self.db) as hooks:
                self.face.after_commit(self.commit_hook)
            self.assertEqual([], hooks.after_commit)
        self.assertEqual([self.commit_hook], hooks.after_commit)
        self.assertEqual([], self.ran)

    async def test_in_a_sandbox_as_well(self):
        async with self.isolated(managers=[self.db]) as sandbox:
            opener = self.opener(sandbox)
            with capture_hooks(sandbox) as hooks:
                async with opener.writer() as session:
                    session.add(Item(id=1))
                    opener.after_commit(self.commit_hook)
        self.assertEqual(([self.commit_hook], []), (hooks.after_commit, self.ran))

    async def test_an_error_of_a_hook_is_raised(self):
        def failing():
            raise ZeroDivisionError

        with capture_hooks(self.db) as hooks:
            await self.store_with_hooks(failing)
        self.assertRaises(ZeroDivisionError, hooks.run)

    @on(ASYNCIO)
    async def test_coroutine_functions_are_awaited(self):
        async with capture_hooks(self.db) as hooks:
            await self.store_with_hooks(self.commit_hook, self.coroutine_hook)
        error = await self.raises(UsageError, self.run_them(hooks))
        self.assertIn("await hooks.arun()", str(error))
        self.assertEqual([], self.ran)
        await hooks.arun()
        self.assertEqual(["commit", "coroutine"], self.ran)

    @on(ASYNCIO)
    async def test_run_awaits_coroutine_functions(self):
        async with capture_hooks(self.db, run=True):
            await self.store_with_hooks(self.coroutine_hook)
        self.assertEqual(["coroutine"], self.ran)

    @staticmethod
    def run_them(hooks):
        async def run():
            hooks.run()

        return run

    @on(ONE & BLOCKING)
    async def test_an_engine_has_no_hooks(self):
        with self.raising(UsageError), capture_hooks(self.db.engine):
            pass
