"""Writers whose COMMIT carries a token: what is stored with it, and what can be asked later."""

from __future__ import annotations

import asyncio
import functools
from datetime import datetime, timedelta
from unittest import mock

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import MetaData, select, text

from dbkit import tokens
from dbkit.backends.fencing import fence_of
from dbkit.exceptions import (
    CommitUnknown,
    DBError,
    DBNonExistentTable,
    InvalidSetting,
    InvalidToken,
    ModeConflict,
    Outcome,
)
from dbkit.testing.assertions import fail_next
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, EVERY_DRIVER, ONE, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.tables import Item


class Tokens(Behaviour):
    """A behaviour with a token table."""

    def setUp(self):
        super().setUp()
        self.place.do("DROP TABLE IF EXISTS dbkit_txn")  # the database is others' too, and rows are counted here
        self.run_plain(self.make_table)
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS dbkit_txn")

    async def ask(self, database, name, *args):
        """Call a method of a Database in the colour of the test."""
        if self.is_asyncio:
            return await getattr(database, f"a{name}")(*args)
        return getattr(database, name)(*args)

    async def make_table(self):
        await self.ask(self.db, "create_token_table")

    def outcomes(self):
        """Return the outcomes in the table, as another client sees them."""
        found = self.place.ask("SELECT outcome FROM dbkit_txn ORDER BY token")
        return [each.decode() if isinstance(each, bytes) else each for each in found]

    async def insert(self, number):
        async with self.writer.exactly_once() as session:
            session.add(Item(id=number))


@behaviours(EVERY_DRIVER)
class TestExactlyOnce(Tokens):
    async def test_a_token_is_stored_with_what_was_written(self):
        await self.insert(1)
        self.assertEqual(([1], ["C"]), (self.stored(), self.outcomes()))

    async def test_none_is_stored_by_a_block_that_fails(self):
        with self.raising(ValueError):
            async with self.writer.exactly_once() as session:
                session.add(Item(id=1))
                await session.flush()
                raise ValueError
        self.assertEqual(([], []), (self.stored(), self.outcomes()))

    async def test_none_is_stored_by_a_block_that_only_reads(self):
        async with self.writer.exactly_once() as session:
            await session.scalars(select(Item.id).with_for_update())
            async with session.begin_nested():
                await session.execute(text("SELECT count(*) FROM items"))
        async with self.writer.exactly_once():
            pass
        self.assertEqual([], self.outcomes())

    async def test_each_block_has_a_token_of_its_own(self):
        for number in range(3):
            await self.insert(number)
        self.assertEqual(["C"] * 3, self.outcomes())

    async def test_functions_and_connections_carry_one_as_well(self):
        @self.writer.exactly_once
        async def add(number):
            self.session.add(Item(id=number))

        await add(1)
        async with self.writer.exactly_once.connection() as connection:
            await connection.execute(Item.__table__.insert().values(id=2, amount=0))
        self.assertEqual(([1, 2], ["C"] * 2), (self.stored(), self.outcomes()))

    async def test_a_block_that_joins_leaves_it_to_the_outermost(self):
        async with self.writer() as session:
            await self.insert(1)
            session.add(Item(id=2))
        self.assertEqual(([1, 2], []), (self.stored(), self.outcomes()))
        async with self.writer.exactly_once() as session:
            async with self.writer.savepoint() as inner:
                inner.add(Item(id=3))
        self.assertEqual(([1, 2, 3], ["C"]), (self.stored(), self.outcomes()))

    async def test_without_the_table_nothing_is_stored_and_the_error_says_how_to_make_it(self):
        self.place.do("DROP TABLE dbkit_txn")
        with self.raising(DBNonExistentTable) as caught:
            await self.insert(1)
        self.assertEqual([], self.stored())
        self.assertEqual("dbkit_txn", caught.error.table)
        self.assertIn("create_token_table", "".join(caught.error.__notes__))
        self.assertIs(Outcome.ROLLED_BACK, caught.error.outcome)
        await self.make_table()
        await self.insert(1)
        self.assertEqual([1], self.stored())

    async def test_the_setting_makes_every_writer_one(self):
        face = self.face_of(self.database(exactly_once=True))
        async with face.writer() as session:
            session.add(Item(id=1))
        async with face.reader() as session:
            await session.scalar(select(Item.id))
        self.assertEqual(([1], ["C"]), (self.stored(), self.outcomes()))

    async def test_who_looks_on_at_the_first_one_of_an_engine_does_not_make_it_a_plain_writer(self):
        database = self.database()
        face = self.face_of(database)
        with fail_next(database, at="COMMIT", error=CommitUnknown, executed=True):
            async with face.writer.exactly_once() as session:
                session.add(Item(id=1))
        self.assertEqual(([1], ["C"]), (self.stored(), self.outcomes()))
        async with face.writer.exactly_once() as session:
            session.add(Item(id=2))
        self.assertEqual(([1, 2], ["C", "C"]), (self.stored(), self.outcomes()))

    async def test_hooks_run_once(self):
        seen = []
        async with self.writer.exactly_once() as session:
            session.add(Item(id=1))
            self.face.after_commit(lambda: seen.append("committed"))
        self.assertEqual(["committed"], seen)


@behaviours(EVERY_DRIVER)
class TestAnnouncedTokens(Tokens):
    """The token can be known before COMMIT: then another process can ask even if this one is killed."""

    async def test_it_is_that_of_the_commit(self):
        async with self.writer.exactly_once() as session:
            token = self.db.commit_token
            session.add(Item(id=1))
            async with self.writer.savepoint():
                self.assertEqual(token, self.db.commit_token)
        self.assertEqual(1, len(self.outcomes()))
        self.assertIs(Outcome.COMMITTED, await self.ask(self.db, "outcome", token))
        self.assertEqual(["C"], self.outcomes())

    async def test_of_a_block_that_failed_it_says_so(self):
        with self.raising(ValueError):
            async with self.writer.exactly_once() as session:
                token = self.db.commit_token
                session.add(Item(id=1))
                await session.flush()
                raise ValueError
        self.assertIs(Outcome.ROLLED_BACK, await self.ask(self.db, "outcome", token))

    async def test_it_costs_no_connection(self):
        async with self.writer.exactly_once():
            self.assertIsNotNone(self.db.commit_token)
            self.assertEqual(0, self.db.factory.lane(True, self.combination.colour).engine.pool.checkedout())

    async def test_whoever_asks_too_early_ends_the_transaction(self):
        if self.is_on(Product.SQLITE_FILE) or self.is_on(Product.SQLITE_MEMORY):
            return  # who asks would wait for the writer in the line
        with self.raising(DBError) as caught:
            async with self.writer.exactly_once() as session:
                session.add(Item(id=1))
                await session.flush()
                self.assertIs(Outcome.ROLLED_BACK, await self.ask(self.db, "outcome", self.db.commit_token))
        self.assertEqual((Outcome.ROLLED_BACK, True), (caught.error.outcome, caught.error.transient))
        self.assertIn("was shut out", str(caught.error))
        self.assertEqual(([], ["F"]), (self.stored(), self.outcomes()))

    async def test_a_plain_block_has_none(self):
        async with self.writer():
            self.assertIsNone(self.db.commit_token)
            async with self.writer.exactly_once():
                self.assertIsNone(self.db.commit_token)


@behaviours(EVERY_DRIVER)
class TestOutcomes(Tokens):
    async def test_one_that_was_never_seen_can_never_be_stored(self):
        token = tokens.new_token()
        for _ in range(2):
            self.assertIs(Outcome.ROLLED_BACK, await self.ask(self.db, "outcome", str(token)))
        self.assertEqual(["F"], self.outcomes())

    async def test_one_that_is_stored_is_committed(self):
        await self.insert(1)
        (stored,) = self.place.ask(f"SELECT {self.spelt('token')} FROM dbkit_txn")
        self.assertIs(Outcome.COMMITTED, await self.ask(self.db, "outcome", str(stored)))
        self.assertEqual(["C"], self.outcomes())

    def spelt(self, column):
        return f"CAST({column} AS text)" if self.is_on(Product.POSTGRESQL) else f"LOWER(HEX({column}))"

    async def test_the_table_can_be_made_twice(self):
        await self.make_table()
        self.assertEqual([], self.outcomes())

    async def test_old_rows_are_removed_and_nobody_can_ask_for_them_any_more(self):
        await self.insert(1)
        old = [tokens.first_token_of(_ago(hours)) for hours in (30, 27, 26, 25)]
        fence = fence_of(self.db.factory.backend)
        async with self.writer.connection() as connection:
            for token in old:
                await connection.execute(text(fence.insert(token)))
        self.assertEqual(4, await self.ask(self.db, "purge_tokens"))
        self.assertEqual(["P", "C"], self.outcomes())
        error = await self.raises(CommitUnknown, self.ask, self.db, "outcome", str(old[0]))
        self.assertIn("nobody knows any more", str(error))
        self.assertEqual(0, await self.ask(self.db, "purge_tokens"))


def _ago(hours):
    return datetime.now().astimezone() - timedelta(hours=hours)


@behaviours(EVERY_DRIVER)
class TestInterruptedCommits(Tokens):
    """An interrupt at COMMIT says what became of the transaction; without a token nobody could know."""

    @property
    def interrupt(self):
        return asyncio.CancelledError if self.is_asyncio else KeyboardInterrupt

    def interrupting(self, after):
        """Return a ``with`` block in which each commit is interrupted before or after it has reached the server."""
        dialect = self.db.factory.lane(True, self.combination.colour).engine.dialect
        commit = dialect.do_commit

        def do_commit(connection):
            if after:
                commit(connection)
            strike.stop()
            raise self.interrupt

        strike = mock.patch.object(dialect, "do_commit", do_commit)
        return strike

    async def check(self, work):
        for after, stored, outcome in ((False, [], Outcome.ROLLED_BACK), (True, [1], Outcome.COMMITTED)):
            calls = []
            self.interrupting(after).start()
            with self.raising(self.interrupt) as caught:
                await work(calls)
            self.assertEqual((stored, outcome), (self.stored(), caught.error.outcome))
            self.assertEqual([outcome.value], calls)
            await self.insert(2)
            self.assertEqual([*stored, 2], self.stored())
            self.place.empty()

    def note(self, calls):
        self.face.after_commit(lambda: calls.append("committed"))
        self.face.after_rollback(lambda: calls.append("rolled back"))
        self.face.after_unknown(lambda token: calls.append("unknown"))

    async def test_of_a_block(self):
        async def work(calls):
            async with self.writer.exactly_once() as session:
                session.add(Item(id=1))
                self.note(calls)

        await self.check(work)

    async def test_of_a_function(self):
        @self.writer.exactly_once
        async def work(calls):
            self.session.add(Item(id=1))
            self.note(calls)

        await self.check(work)

    async def test_without_a_token_it_is_unknown(self):
        for after, stored in ((False, []), (True, [1])):
            self.interrupting(after).start()
            with self.raising(self.interrupt) as caught:
                async with self.writer() as session:
                    session.add(Item(id=1))
            self.assertEqual((stored, Outcome.UNKNOWN), (self.stored(), caught.error.outcome))
            self.place.empty()


@behaviours(ONE_PER_PRODUCT)
class TestMistakes(Tokens):
    async def test_what_is_no_token_is_refused(self):
        for token in ("nonsense", "", "xact:nonsense"):
            await self.raises((InvalidToken, InvalidSetting), self.ask, self.db, "outcome", token)

    async def test_rows_are_not_removed_while_their_transaction_could_arrive(self):
        error = await self.raises(InvalidSetting, self.ask, self.db, "purge_tokens", timedelta(minutes=59))
        self.assertIn("0:59:00 is too short", str(error))
        error = await self.raises(InvalidSetting, self.ask, self.db, "purge_tokens", 3600)
        self.assertIn("older_than is a timedelta", str(error))

    async def test_without_the_table_who_asks_is_told_how_to_make_it(self):
        self.place.do("DROP TABLE dbkit_txn")
        for error in (
            await self.raises(CommitUnknown, self.ask, self.db, "outcome", str(tokens.new_token())),
            await self.raises(DBNonExistentTable, self.ask, self.db, "purge_tokens"),
        ):
            self.assertIn("create_token_table", "".join(error.__notes__))

    async def test_only_postgresql_remembers_by_itself(self):
        face = self.face_of(self.database(commit_fence="status"))
        if self.is_on(Product.POSTGRESQL):
            async with face.writer.exactly_once() as session:
                session.add(Item(id=1))
            self.assertEqual(([1], []), (self.stored(), self.outcomes()))
            return
        with self.raising(InvalidSetting) as caught:
            async with face.writer.exactly_once() as session:
                session.add(Item(id=1))
                await session.flush()
        self.assertIn("commit_fence = table", str(caught.error))


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestMigrations(Tokens):
    def test_one_makes_the_table_and_drops_it_again(self):
        self.place.do("DROP TABLE dbkit_txn")
        engine = self.bare_engine()
        with engine.begin() as connection:
            tokens.create_token_table(Operations(MigrationContext.configure(connection)).get_bind())
        self.run_plain(functools.partial(self.insert, 1))
        self.assertEqual(["C"], self.outcomes())
        with engine.begin() as connection:
            tokens.drop_token_table(Operations(MigrationContext.configure(connection)).get_bind())
        with self.raising(DBNonExistentTable):
            self.run_plain(functools.partial(self.insert, 2))

    def test_autogenerate_finds_the_table_as_it_is(self):
        metadata = MetaData()
        tokens.token_table(metadata)
        with self.bare_engine().connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
        self.assertEqual([], [each for each in found if "dbkit_txn" in str(each)])


@behaviours(ONE)
class TestReaders(Behaviour):
    async def test_they_cannot_be_exactly_once(self):
        with self.raising(ModeConflict) as caught:
            self.db.reader.exactly_once  # noqa: B018
        self.assertIn("writer.exactly_once", str(caught.error))
