"""Tests that are isolated by rollback: what they may do, and that nothing of it is left."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbkit.exceptions import DBDuplicateEntry, DBReadOnly, DBReferenceError, ModeConflict, UsageError
from dbkit.testing.isolation import IsolationError
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.colours import WaitlessBlock, wrapped
from dbkit.tests.behaviours.combinations import (
    BLOCKING,
    MARIADB,
    ONE,
    ONE_PER_PRODUCT,
    POSTGRESQL,
    SERVERS,
    SQLITE,
)
from dbkit.tests.behaviours.sandboxes import SandboxBehaviour
from dbkit.tests.behaviours.tables import Item, Pledge


class Rolled(SandboxBehaviour):
    """What the bodies below have in common."""

    async def ids(self, opener):
        async with opener.reader() as session:
            return list((await session.scalars(select(Item.id).order_by(Item.id))).all())

    def plain_session(self, sandbox):
        """Return a Session of plain SQLAlchemy on the sandbox's engine."""
        return AsyncSession(sandbox.async_engine) if self.is_asyncio else wrapped(Session(sandbox.engine))


@behaviours()
class TestRollback(Rolled):
    async def test_what_a_block_commits_is_seen_in_the_test_and_gone_after_it(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            self.assertEqual([1], await self.ids(db))
        self.assertEqual([], self.stored())

    async def test_without_isolation_the_next_test_sees_it(self):
        async with self.isolated("none") as sandbox:
            async with self.opener(sandbox).writer() as session:
                session.add(Item(id=1))
        self.assertEqual([1], self.stored())
        async with self.isolated("none") as sandbox:
            self.assertEqual([1], await self.ids(self.opener(sandbox)))

    async def test_the_next_test_sees_nothing_of_it(self):
        for _ in range(3):
            async with self.isolated() as sandbox:
                db = self.opener(sandbox)
                self.assertEqual([], await self.ids(db))
                async with db.writer() as session:
                    session.add(Item(id=1, name="one"))

    async def test_what_was_stored_before_the_test_is_seen_and_kept(self):
        self.store(7)
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            self.assertEqual([7], await self.ids(db))
            async with db.writer.connection() as connection:
                await connection.execute(delete(Item))
            self.assertEqual([], await self.ids(db))
        self.assertEqual([7], self.stored())

    async def test_commits_rollbacks_and_constraint_errors_do_as_in_production(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            with self.raising(ValueError):
                async with db.writer() as session:
                    session.add(Item(id=2))
                    await session.flush()
                    raise ValueError
            with self.raising(DBDuplicateEntry):
                async with db.writer() as session:
                    session.add(Item(id=3))
                    await session.flush()
                    session.add(Item(id=1))
            async with db.writer() as session:
                session.add(Item(id=4))
                with self.raising(DBDuplicateEntry):
                    async with db.writer.savepoint() as inner:
                        inner.add(Item(id=1))
            self.assertEqual([1, 4], await self.ids(db))
        self.assertEqual([], self.stored())

    async def test_a_test_that_fails_leaves_nothing(self):
        with self.raising(ZeroDivisionError):
            async with self.isolated() as sandbox:
                async with self.opener(sandbox).writer() as session:
                    session.add(Item(id=1))
                raise ZeroDivisionError
        self.assertEqual([], self.stored())

    async def test_a_reader_cannot_write_and_a_writer_after_it_can(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            writing = "INSERT INTO items (id, amount) VALUES (5, 0)"
            for statement in (insert(Item).values(id=5, amount=0), text(writing)):
                with self.raising(DBReadOnly):
                    async with db.reader() as session:
                        await session.execute(statement)
            with self.raising(DBReadOnly):
                async with db.reader() as session:
                    session.add(Item(id=6))
            async with db.writer() as session:
                session.add(Item(id=1))
            self.assertEqual([1], await self.ids(db))

    async def test_a_failing_statement_in_a_reader_loses_nothing(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            async with db.reader() as session:
                await self.raises(Exception, session.execute, text("SELECT * FROM nowhere"))
                self.assertEqual([1], list((await session.scalars(select(Item.id))).all()))
            self.assertEqual([1], await self.ids(db))

    async def test_a_level_may_be_asked_for(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer.isolation("SERIALIZABLE")() as session:
                session.add(Item(id=1))
            async with db.reader.isolation("REPEATABLE READ")() as session:
                self.assertEqual(1, (await session.get(Item, 1)).id)

    async def test_hooks_run_when_the_block_commits(self):
        told = []
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
                db.after_commit(lambda: told.append("committed"))
                self.assertEqual([], told)
            self.assertEqual(["committed"], told)
            with self.raising(ValueError):
                async with db.writer() as session:
                    session.add(Item(id=2))
                    db.after_rollback(lambda: told.append("rolled back"))
                    raise ValueError
            self.assertEqual(["committed", "rolled back"], told)

    async def test_managers_work_in_the_sandbox_and_go_home(self):
        async def add(number):
            async with self.writer() as session:
                session.add(Item(id=number))

        async with self.isolated(managers=[self.db]):
            await add(1)
        self.assertEqual([], self.stored())
        await add(2)
        self.assertEqual([2], self.stored())

    async def test_an_independent_block_inside_another_is_refused_at_once(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
                await session.flush()
                with self.raising(ModeConflict) as caught:
                    async with db.writer.independent() as other:
                        await other.execute(select(Item.id))
            self.assertIn("isolation 'clone'", str(caught.error))
            self.assertEqual([1], await self.ids(db))

    async def test_disposing_of_the_pools_does_not_end_the_test(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            await self.dispose(sandbox.database)
            sandbox.database.reload()
            self.assertEqual([1], await self.ids(db))
        self.assertEqual([], self.stored())


@behaviours(POSTGRESQL | SQLITE)
class TestWhatWaitsForCommit(Rolled):
    async def test_a_deferred_constraint_fails_the_block_that_broke_it(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            with self.raising(DBReferenceError):
                async with db.writer() as session:
                    session.add(Pledge(id=1, target_id=9))
                    await session.flush()
            async with db.writer() as session:
                session.add(Pledge(id=2, target_id=9))
                await session.flush()
                await session.execute(text("INSERT INTO targets (id) VALUES (9)"))
        self.assertEqual([], self.stored(Pledge))

    async def test_a_change_of_the_schema_is_undone(self):
        for _ in range(2):
            async with self.isolated() as sandbox:
                async with self.plain_begin(sandbox) as connection:
                    await connection.execute(text("CREATE TABLE passing (id INTEGER)"))


@behaviours()
class TestPlainSQLAlchemy(Rolled):
    async def test_begin_commits_and_rolls_back(self):
        async with self.isolated() as sandbox:
            async with self.plain_begin(sandbox) as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
            with self.raising(ValueError):
                async with self.plain_begin(sandbox) as connection:
                    await connection.execute(insert(Item).values(id=2, amount=0))
                    raise ValueError
            self.assertEqual([1], await self.ids(self.opener(sandbox)))
        self.assertEqual([], self.stored())

    async def test_a_session_commits_and_rolls_back_as_often_as_it_likes(self):
        async with self.isolated() as sandbox:
            session = self.plain_session(sandbox)
            session.add(Item(id=1))
            await session.commit()
            session.add(Item(id=2))
            await session.flush()
            await session.rollback()
            session.add(Item(id=1))
            await self.raises((IntegrityError, DBDuplicateEntry), session.commit)
            await session.rollback()
            nested = await session.begin_nested()
            session.add(Item(id=3))
            await nested.rollback()
            session.add(Item(id=4))
            await session.commit()
            await session.close()
            self.assertEqual([1, 4], await self.ids(self.opener(sandbox)))
        self.assertEqual([], self.stored())

    async def test_what_a_connection_leaves_uncommitted_is_undone_when_it_is_closed(self):
        async with self.isolated() as sandbox:
            async with self.plain_connect(sandbox) as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
            self.assertEqual([], await self.ids(self.opener(sandbox)))

    async def test_a_second_session_at_the_same_time_is_refused_at_once(self):
        async with self.isolated() as sandbox:
            async with self.plain_begin(sandbox) as connection:
                await connection.execute(insert(Item).values(id=1, amount=0))
                second = self.plain_session(sandbox)
                error = await self.raises(ModeConflict, second.execute, select(Item.id))
                with self.raising(ModeConflict) as caught:
                    async with self.opener(sandbox).reader() as session:
                        await session.execute(select(Item.id))
                await second.close()
                for refusal in (error, caught.error):
                    self.assertIn("isolation 'clone'", str(refusal))
                    self.assertTrue(str(refusal).startswith("the test's own session has an open transaction: commit"))
            self.assertEqual([1], await self.ids(self.opener(sandbox)))

    async def test_a_session_inside_a_block_is_told_to_use_that_of_the_block(self):
        async with self.isolated() as sandbox:
            async with self.opener(sandbox).reader() as session:
                await session.execute(select(Item.id))
                second = self.plain_session(sandbox)
                error = await self.raises(ModeConflict, second.execute, select(Item.id))
                await second.close()
            self.assertIn("use the block's own session", str(error))

    async def test_autocommit_is_refused_and_other_levels_are_taken(self):
        async with self.isolated() as sandbox:
            async with self.plain_connect(sandbox) as connection:
                options = connection.execution_options if self.is_asyncio else connection.target.execution_options
                await self._set(options, "SERIALIZABLE")
                await connection.execute(insert(Item).values(id=1, amount=0))
                await connection.commit()
                error = await self.raises(IsolationError, self._set, options, "AUTOCOMMIT")
                self.assertIn("isolation 'clone'", str(error))
            self.assertEqual([1], await self.ids(self.opener(sandbox)))
        self.assertEqual([], self.stored())

    async def _set(self, options, level):
        result = options(isolation_level=level)
        if self.is_asyncio:
            await result

    async def test_ends_sent_as_text_are_refused(self):
        async with self.isolated() as sandbox:
            for end in ("COMMIT", "rollback", "BEGIN"):
                with self.raising(IsolationError):
                    async with self.plain_begin(sandbox) as connection:
                        await connection.execute(text(end))

    @on(SERVERS & BLOCKING)
    async def test_two_phases_are_refused(self):
        async with self.isolated() as sandbox:
            with sandbox.engine.connect() as connection, self.raising(IsolationError):
                connection.begin_twophase()


@behaviours()
class TestLayers(Rolled):
    def layer(self, sandbox):
        made = sandbox.layer()
        return made if self.is_asyncio else WaitlessBlock(made)

    async def add(self, db, number):
        async with db.writer() as session:
            session.add(Item(id=number))

    async def test_what_all_need_is_stored_once_and_each_undoes_its_own(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            await self.add(db, 1)
            for _ in range(2):
                async with self.layer(sandbox):
                    self.assertEqual([1], await self.ids(db))
                    await self.add(db, 2)
                    with self.raising(ValueError):
                        async with db.writer() as session:
                            session.add(Item(id=3))
                            await session.flush()
                            raise ValueError
                    self.assertEqual([1, 2], await self.ids(db))
            self.assertEqual([1], await self.ids(db))
        self.assertEqual([], self.stored())

    async def test_the_first_use_may_be_inside(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with self.layer(sandbox):
                async with self.layer(sandbox):
                    await self.add(db, 1)
                self.assertEqual([], await self.ids(db))
                await self.add(db, 2)
            async with self.layer(sandbox):
                pass
            self.assertEqual([], await self.ids(db))

    async def test_they_begin_between_two_transactions(self):
        async with self.isolated() as sandbox:
            async with self.opener(sandbox).writer() as session:
                session.add(Item(id=1))
                await session.flush()
                with self.raising(UsageError):
                    async with self.layer(sandbox):
                        pass

    async def test_only_rollback_has_them(self):
        async with self.isolated("none") as sandbox:
            with self.raising(UsageError):
                async with self.layer(sandbox):
                    pass


@behaviours(MARIADB)
class TestChangesOfTheSchemaOnMariaDB(Rolled):
    async def test_they_are_refused_before_they_are_sent(self):
        async with self.isolated() as sandbox:
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            for change in ("CREATE TABLE passing (id INTEGER)", "TRUNCATE items", "/**/ ALTER TABLE items ADD x INT"):
                with self.raising(IsolationError) as caught:
                    async with db.writer() as session:
                        await session.execute(text(change))
                self.assertIn("isolation 'clone'", str(caught.error))
            self.assertEqual([1], await self.ids(db))
        self.assertEqual([], self.stored())

    async def test_temporary_tables_are_no_change_of_the_schema(self):
        async with self.isolated() as sandbox:
            async with self.opener(sandbox).writer.connection() as connection:
                await connection.execute(text("CREATE TEMPORARY TABLE passing (id INTEGER)"))
                await connection.execute(text("DROP TEMPORARY TABLE passing"))


@behaviours(ONE_PER_PRODUCT)
class TestWhatItCosts(Rolled):
    async def test_the_connection_is_kept_for_the_next_test(self):
        seen = []
        for _ in range(3):
            async with self.isolated() as sandbox:
                async with self.opener(sandbox).reader() as session:
                    await session.execute(select(Item.id))
                seen.append(self.engine_of(sandbox).pool)
                self.assertEqual(1, seen[-1].held)
        self.assertEqual(1, len(set(map(id, seen))))

    async def test_a_test_that_uses_no_database_opens_no_transaction(self):
        async with self.isolated() as sandbox:
            engine = self.engine_of(sandbox)
            self.assertFalse(engine.pool.held_connection.has_begun)

    async def test_a_writer_costs_a_savepoint_and_a_test_four_statements_more(self):
        sent = []
        async with self.isolated() as sandbox:
            held = self.engine_of(sandbox).pool.held_connection
            held.on_send = sent.append
            db = self.opener(sandbox)
            async with db.writer() as session:
                session.add(Item(id=1))
            async with db.writer() as session:
                session.add(Item(id=2))
            with self.raising(ValueError):
                async with db.writer() as session:
                    session.add(Item(id=3))
                    await session.flush()
                    raise ValueError
            async with db.writer() as session:
                session.add(Item(id=4))
        block = ["SAVEPOINT dbkit_block", "RELEASE SAVEPOINT dbkit_block"]
        self.assertEqual(
            [
                *held.product.opening,
                "SAVEPOINT dbkit_test",
                *block,
                *block,
                "SAVEPOINT dbkit_block",
                "ROLLBACK TO SAVEPOINT dbkit_block",
                "RELEASE SAVEPOINT dbkit_block",  # the one that was rolled back serves the next block
                "ROLLBACK TO SAVEPOINT dbkit_test",
            ],
            [each for each in sent if "CONSTRAINTS" not in each and "foreign_key" not in each],
        )

    def engine_of(self, sandbox):
        return sandbox.async_engine.sync_engine if self.is_asyncio else sandbox.engine


@behaviours(ONE)
class TestSandboxesThatAreNone(Rolled):
    async def test_an_unknown_strategy_is_refused_with_the_nearest(self):
        with self.raising(UsageError) as caught:
            self.isolation("roll-back")
        self.assertIn("did you mean 'rollback'?", str(caught.error))

    async def test_clone_needs_more_than_a_url(self):
        for strategy in ("clone", "truncate"):
            with self.raising(UsageError):
                async with self.isolated(strategy):
                    pass

    async def test_a_sandbox_is_entered_once(self):
        entered = self.isolated()
        async with entered:
            pass
        with self.raising(UsageError):
            async with entered:
                pass

    async def test_after_the_test_its_database_serves_nobody(self):
        async with self.isolated() as sandbox:
            pass
        with self.raising(IsolationError) as caught:
            async with self.opener(sandbox).writer() as session:
                session.add(Item(id=1))
        self.assertIn("has ended", str(caught.error))
        self.assertEqual([], self.stored())
