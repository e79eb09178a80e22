"""P7: an update that rests on a stale read is refused, never lost."""

from __future__ import annotations

from contextlib import nullcontext

import sqlalchemy as sa
from sqlalchemy import select, update
from sqlalchemy.orm.exc import StaleDataError

import dbkit.filters
from dbkit.exceptions import BlindUpdate, Conflict, Outcome, Staleness, StaleRow, TransactionDoomed, UsageError
from dbkit.queries import ANY_VERSION, OneOf, Swap
from dbkit.testing.assertions import assert_statements
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import ONE, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.versions import Draft, Locking, Page, Seat
from dbkit.tokens import create_token_table

_WRITE = "UPDATE locking_pages SET {} = 'theirs', version = version + 1 WHERE id = 1"


@behaviours(ONE_PER_PRODUCT)
class TestCompareAndSwap(Locking):
    async def test_a_row_that_is_as_it_was_seen_is_changed_by_one_statement(self):
        async with self.writer():
            with assert_statements(self.db, 1):
                self.assertEqual(2, await self.swap(Page, 1, 1, {"text": "mine"}))
            self.assertEqual(3, await self.swap(Page.__table__, (1,), OneOf(frozenset([2, 7])), {"title": None}))
            self.assertEqual(4, await self.swap(Page, {"id": 1}, ANY_VERSION, {Page.text: Page.text + "!"}))
        self.assertEqual(("mine!", None, 0, 4), self.page())

    async def test_a_row_that_is_not_is_left_and_one_select_says_why(self):
        self.meanwhile(_WRITE.format("text"))
        self.meanwhile("UPDATE locking_drafts SET deleted = 1 WHERE id = 1")
        wrong = []
        async with self.writer():
            for model, key, version, reason, current, changed in (
                (Page, 1, 1, Staleness.STALE, 2, ("text",)),
                (Page, 1, OneOf(frozenset()), Staleness.STALE, 2, ("text",)),
                (Page, 9, 1, Staleness.MISSING, None, ()),
                (Draft, 1, 1, Staleness.DELETED, 1, ()),
            ):
                seen = {"text": "a"} if model is Page else {}
                with assert_statements(self.db, 2):
                    error = await self.raises(
                        StaleRow, self.swap_with, model, key, version, {"text": "mine"}, {"seen": seen}
                    )
                found = (error.reason, error.current, error.changed, error.key, error.table, error.transient)
                if found != (reason, current, changed, key, model.__tablename__, False):
                    wrong.append(f"{model.__name__} {key}: {found}")
                if error.outcome is not Outcome.STATEMENT_FAILED or not isinstance(error, Conflict):
                    wrong.append(f"{model.__name__} {key}: {error.outcome}")
            await self.swap(Page, 2, 1, {"text": "goes on"})
        self.assertEqual([], wrong)
        self.assertEqual((("theirs", "t", 0, 2), "goes on"), (self.page(), self.page(2)[0]))

    async def swap_with(self, model, key, version, values, options):
        return await self.swap(model, key, version, values, **options)

    async def test_an_object_knows_how_it_was_seen(self):
        async with self.reader() as session:
            page = await session.get(Page, 1)
        page.text = "mine"
        async with self.writer() as session:
            self.assertEqual(2, await self.swap(page, where=session))
            self.assertEqual((2, "mine"), (page.version, page.text))
        async with self.writer() as session:
            mine = await session.get(Page, 1)
            mine.title = "pending"
            self.assertEqual(3, await self.swap(mine, values={"text": "again"}))
            self.assertEqual((3, "again", "pending"), (mine.version, mine.text, mine.title))
        self.assertEqual(("again", "pending", 0, 4), self.page())  # the flush has written the title with version 3

    @on(SERVERS)
    async def test_an_object_that_is_older_than_the_statement_stays_stale(self):
        async def work():
            async with self.writer() as session:
                page = await session.get(Page, 1)
                self.meanwhile(_WRITE.format("title"))
                await self.swap(Page, 1, ANY_VERSION, {"text": "mine"})
                self.assertEqual((1, "t"), (page.version, page.title))
                page.text = "lost?"

        await self.raises(StaleRow, work)
        self.assertEqual(("a", "theirs", 0, 2), self.page())

    async def test_what_is_not_said_clearly_is_refused(self):
        wrong = []
        async with self.writer() as session:
            page = await session.get(Page, 1)
            for arguments in (
                (Page, 1, None, {"text": "x"}),
                (Page, None, 1, {"text": "x"}),
                (Page, (1, 2), 1, {"text": "x"}),
                (Page, 1, 1, {}),
                (Page, 1, 1, {"version": 7}),
                (Page, 1, 1, {"id": 7}),
                (Page, 1, 1, {"txet": "x"}),
                (Seat, 1, 1, {"state": "x"}),
                (page,),
                (object(), 1, 1, {"text": "x"}),
            ):
                try:
                    await self.swap(*arguments)
                    wrong.append(arguments)
                except UsageError as error:
                    if "x" in str(error).split() or len(str(error)) < 30:
                        wrong.append(str(error))
        self.assertEqual([], wrong)

    async def test_without_a_version_the_values_that_were_seen_are_compared(self):
        async with self.writer() as session:
            await self.swap(Seat, 1, {"state": ["open", "kept"], "holder": None}, {"holder": "ann"})
            error = await self.raises(
                StaleRow, self.swap, Seat, 1, {"state": "open", "holder": None}, {"holder": "bob"}
            )
            self.assertEqual((("holder",), None), (error.changed, error.current))
            seat = await session.get(Seat, 2)
            seat.holder = "eve"
            self.assertIsNone(await self.swap(seat))
        self.assertEqual(["ann", "eve", None], self.place.ask("SELECT holder FROM locking_seats ORDER BY id"))


@behaviours(ONE_PER_PRODUCT)
class TestPolicies(Locking):
    async def test_others_columns_are_merged_and_the_same_column_is_not(self):
        outcomes = []
        for theirs in ("title", "text"):
            async with self.reader() as session:
                page = await session.get(Page, 1)
            self.meanwhile(_WRITE.format(theirs))
            page.text = f"my {theirs}"
            try:
                async with self.writer():
                    version = await self.swap(page, on_conflict="merge")
                    outcomes.append((version, page.title, page.version))
            except StaleRow as error:
                outcomes.append((error.changed, error.current))
        self.assertEqual([(3, "theirs", 3), (("text",), 4)], outcomes)
        self.assertEqual(("theirs", "theirs", 0, 4), self.page())

    async def test_to_merge_without_knowing_what_was_seen_is_refused(self):
        async with self.writer():
            await self.raises(UsageError, self.merge_unseen)

    async def merge_unseen(self):
        await self.swap(Page, 1, 1, {"text": "x"}, on_conflict="merge")

    async def test_a_function_that_may_be_run_again_is_run_again(self):
        """In the first run somebody else is faster, after the read and before the write."""
        found = []

        @self.writer.retrying()
        async def work():
            seen = (await self.session.execute(select(Page.version).where(Page.id == 1))).scalar_one()
            found.append(seen)
            # SQLite has one writer at a time: there somebody else was faster before
            seen -= self.is_on(Product.SQLITE_FILE) and len(found) == 1
            if len(found) == 1 and not self.is_on(Product.SQLITE_FILE):
                self.meanwhile(_WRITE.format("title"))
            return await self.swap(Page, 1, seen, {"text": "mine"}, on_conflict="rerun")

        self.assertGreater(await work(), 1)
        self.assertEqual(2, len(found))
        self.assertEqual("mine", self.page()[0])

    async def test_a_version_from_outside_is_not_tried_again(self):
        runs = []

        @self.writer.retrying()
        async def work():
            runs.append(1)
            await self.swap(Page, 1, 77, {"text": "mine"})

        await self.raises(StaleRow, work)
        self.assertEqual([1], runs)


@behaviours(ONE_PER_PRODUCT)
class TestManyRows(Locking):
    def swaps(self):
        return [
            Swap(1, 1, {"text": "one"}),
            Swap(2, 5, {"text": "two", "title": "T"}),
            Swap(3, 1, {"title": None}),
            Swap(9, 1, {"text": "nine"}),
        ]

    async def test_one_statement_changes_those_that_are_as_they_were_seen(self):
        returning = not self.is_on(Product.MARIADB)
        async with self.writer():
            with assert_statements(self.db, 1 if returning else 2):
                done = await self.call("compare_and_swap_all", Page, [self.swaps()[0], self.swaps()[2]])
        self.assertEqual(({1: 2, 3: 2}, ()), (dict(done.versions), done.conflicts))
        self.assertEqual([("one", "t", 0, 2), ("a", "t", 0, 1), ("a", None, 0, 2)], [self.page(n) for n in (1, 2, 3)])

    async def test_conflicts_are_reported_by_row(self):
        async with self.writer():
            done = await self.call("compare_and_swap_all", Page, self.swaps(), on_conflict="report")
        found = {each.key: (each.reason, each.current) for each in done.conflicts}
        self.assertEqual({2: (Staleness.STALE, 1), 9: (Staleness.MISSING, None)}, found)
        self.assertEqual({1: 2, 3: 2}, dict(done.versions))
        self.assertEqual([2, 1, 2], [self.page(n)[-1] for n in (1, 2, 3)])

    async def test_one_conflict_is_everyones_unless_it_is_to_be_reported(self):
        async with self.writer():
            try:
                async with self.writer.savepoint():
                    await self.call("compare_and_swap_all", Page, self.swaps())
            except StaleRow as error:
                self.assertEqual([2, 9], [error.key, *(each.key for each in error.others)])
            await self.swap(Page, 3, 1, {"text": "goes on"})
        self.assertEqual([1, 1, 2], [self.page(n)[-1] for n in (1, 2, 3)])

    @on({each for each in ONE_PER_PRODUCT if each.product is not Product.MARIADB})
    async def test_who_catches_the_error_cannot_commit_the_half_of_it(self):
        async def careless():
            async with self.writer():
                try:
                    await self.call("compare_and_swap_all", Page, self.swaps())
                except StaleRow:
                    pass

        error = await self.raises(TransactionDoomed, careless)
        self.assertIsInstance(error.__cause__, StaleRow)
        self.assertEqual([1, 1, 1], [self.page(n)[-1] for n in (1, 2, 3)])

    async def test_a_thousand_rows_take_a_statement_for_each_two_hundred(self):
        for number in range(100, 600):
            self.place.do(
                "INSERT INTO locking_pages (id, text, hits, version) VALUES (:n, 'a', 0, 1)", n=number
            ) if number % 5 == 0 else None
        swaps = [Swap(number, 1, {"hits": number}) for number in range(100, 600)]
        async with self.writer():
            done = await self.call("compare_and_swap_all", Page, swaps, on_conflict="report")
        self.assertEqual((100, 400), (len(done.versions), len(done.conflicts)))
        self.assertEqual(100, self.place.ask("SELECT COUNT(*) FROM locking_pages WHERE version = 2 AND hits = id")[0])


@behaviours(ONE_PER_PRODUCT)
class TestFlushes(Locking):
    async def stale_page(self, model=Page):
        async with self.reader() as session:
            return await session.get(model, 1)

    async def write(self, stale, when):
        async with self.writer() as session:
            session.add(stale)
            stale.text = "lost?"
            if when == "flush":
                await session.flush()
            elif when == "query":
                await session.execute(select(Page))
            elif when == "delete":
                await session.delete(stale)

    async def test_a_flush_that_meets_a_stale_row_says_so(self):
        wrong = []
        for when, sql, expected in (
            ("flush", _WRITE.format("text"), (Staleness.STALE, 2)),
            ("query", _WRITE.format("text"), (Staleness.STALE, 3)),
            ("commit", _WRITE.format("text"), (Staleness.STALE, 4)),
            ("commit", "DELETE FROM locking_pages WHERE id = 1", (Staleness.MISSING, None)),
        ):
            page = await self.stale_page()
            self.meanwhile(sql)
            error = await self.raises(StaleRow, self.write, page, when)
            found = (error.reason, error.current)
            if found != expected or error.key != 1 or error.outcome is not Outcome.ROLLED_BACK or not error.transient:
                wrong.append(f"{when}: {found} {error.outcome}")
            if not isinstance(error.__cause__, StaleDataError):
                wrong.append(f"{when}: {error.__cause__!r}")
        self.assertEqual([], wrong)

    async def test_a_row_that_is_marked_as_deleted_is_not_missing(self):
        draft = await self.stale_page(Draft)
        self.meanwhile("UPDATE locking_drafts SET deleted = 1 WHERE id = 1")
        error = await self.raises(StaleRow, self.write, draft, "flush")
        self.assertEqual((Staleness.DELETED, 1), (error.reason, error.key))

    async def test_behind_a_savepoint_the_rest_is_saved(self):
        page = await self.stale_page()
        self.meanwhile(_WRITE.format("text"))
        async with self.writer() as session:
            await session.execute(update(Seat).where(Seat.id == 1).values(holder="kept"))
            error = await self.raises(StaleRow, self.write_behind_a_savepoint, page)
        self.assertEqual((Outcome.ABORTED, 2), (error.outcome, error.current))
        self.assertEqual("kept", self.place.ask("SELECT holder FROM locking_seats WHERE id = 1")[0])

    async def write_behind_a_savepoint(self, page):
        await self.write_in(self.writer.savepoint, page)

    async def test_protected_blocks_say_so_too(self):
        with self.place.observer.begin() as connection:
            create_token_table(connection)
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS dbkit_txn")
        wrong = []
        for name in ("deadline", "replaying", "exactly_once"):
            writer = self.writer.deadline(20) if name == "deadline" else getattr(self.writer, name)
            for is_behind in (False, True):
                page = await self.stale_page()
                self.meanwhile(_WRITE.format("text"))
                current = self.page()[3]
                async with writer() if is_behind else nullcontext():
                    error = await self.raises(StaleRow, self.write_in, writer.savepoint if is_behind else writer, page)
                expected = (Staleness.STALE, current, Outcome.ABORTED if is_behind else Outcome.ROLLED_BACK)
                found = (error.reason, error.current, error.outcome)
                if found != expected:
                    wrong.append(f"{name}, behind a savepoint: {is_behind}: {found}, not {expected}")
        self.assertEqual([], wrong)

    async def write_in(self, writer, page):
        async with writer() as session:
            session.add(page)
            page.text = "lost?"
            await session.flush()

    async def test_who_catches_it_cannot_go_on(self):
        page = await self.stale_page()
        self.meanwhile(_WRITE.format("text"))

        async def careless():
            async with self.writer() as session:
                session.add(page)
                page.text = "lost?"
                try:
                    await session.flush()
                except StaleRow:
                    pass

        error = await self.raises(TransactionDoomed, careless)
        self.assertEqual((StaleRow, True), (type(error.__cause__), error.transient))


@behaviours(ONE)
class TestBlindUpdates(Locking):
    async def test_an_update_that_does_not_look_is_refused_and_one_that_looks_counts(self):
        blind = update(Page).where(Page.text == "a").values(text="b")
        async with self.writer() as session:
            await self.raises(BlindUpdate, session.execute, blind)
            await session.execute(blind.where(Page.id == 1, Page.version == 1))
            await session.execute(blind.where(Page.id == 2).options(dbkit.filters.options.blind_update()))
            await session.execute(blind.where(Page.id == 3).values(version=Page.version + 1))
        self.assertEqual([("b", "t", 0, 2)] * 3, [self.page(n) for n in (1, 2, 3)])

    async def test_without_dbkit_it_is_lost(self):
        """The negative control: the same statement, and nobody notices."""
        async with self.bare_session() as session:
            page = await session.get(Page, 1)
            await session.execute(sa.text("UPDATE locking_pages SET text = 'theirs' WHERE id = 1"))
            page.text = "mine"
        self.assertEqual(("mine", "t", 0, 2), self.page())
