"""oslo.db's update_on_match and what goes with it, with Query and with select()."""

from __future__ import annotations

from sqlalchemy import inspect, select

from dbkit.exceptions import TransactionDoomed, UsageError
from dbkit.queries import (
    CantUpdateException,
    MultiRowsMatched,
    NoRowsMatched,
    manufacture_criteria,
    manufacture_entity_criteria,
    manufacture_persistent_object,
)
from dbkit.testing.assertions import assert_statements
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.versions import Draft, Locking, Page, Seat


@behaviours(ONE_PER_PRODUCT)
class TestUpdateOnMatch(Locking):
    async def match(self, specimen, surrogate_key, values, **arguments):
        statement = arguments.pop("statement", None)
        if statement is None:
            statement = select(type(specimen))
        if self.is_asyncio:
            return await self.call("update_on_match", statement, specimen, surrogate_key, values, **arguments)
        from dbkit.queries import update_on_match

        return update_on_match(statement, specimen, surrogate_key, values, where=self.db, **arguments)

    async def test_the_row_that_looks_like_the_specimen_is_changed_by_one_statement(self):
        async with self.writer() as session:
            with assert_statements(self.db, 1):
                seat = await self.match(
                    Seat(uuid="u1", state=["open", "kept"], holder=None), "uuid", {"holder": "ann", "state": "taken"}
                )
            self.assertEqual((1, "ann", "taken", "u1"), (seat.id, seat.holder, seat.state, seat.uuid))
            self.assertTrue(seat in session and not inspect(seat).modified)
            page = await self.match(Page(id=2, text="a"), "id", {"text": "b"})
            self.assertEqual((2, 2, "b"), (page.id, page.version, page.text))
            page.title = "by the flush"
        self.assertEqual(("b", "by the flush", 0, 3), self.page(2))
        self.assertEqual(["ann", None, None], self.place.ask("SELECT holder FROM locking_seats ORDER BY id"))

    async def test_no_row_is_tried_as_often_as_allowed(self):
        asked = []

        def handle(query):
            asked.append(query)
            if len(asked) == 2:
                raise KeyError("enough")

        self.meanwhile("UPDATE locking_drafts SET deleted = 1 WHERE id = 1")
        async with self.writer():
            error = await self.raises(NoRowsMatched, self.no_match, {})
            await self.raises(KeyError, self.no_match, {"handle_failure": handle})
            hidden = await self.raises(NoRowsMatched, self.match, Draft(id=1, text="a"), "id", {"text": "b"})
        self.assertEqual("Zero rows matched for 3 attempts", str(error))
        self.assertEqual((2, True), (len(asked), isinstance(hidden, CantUpdateException)))

    async def no_match(self, arguments):
        await self.match(Seat(uuid="u1", state="gone"), "uuid", {"holder": "ann"}, **arguments)

    async def test_what_was_taken_for_a_success_shows_what_is_stored(self):
        async with self.writer():
            seat = await self.match(
                Seat(uuid="u1", state="gone"), "uuid", {"holder": "ann"}, handle_failure=lambda query: True
            )
            self.assertEqual((1, None, "open"), (seat.id, seat.holder, seat.state))

    async def test_more_than_one_row_is_refused_and_cannot_be_committed(self):
        async def careless():
            async with self.writer():
                try:
                    await self.match(Seat(state="open", free=5), "state", {"holder": "ann"}, include_only=["free"])
                except MultiRowsMatched as error:
                    self.assertEqual("3 rows matched; expected one", str(error))

        await self.raises(TransactionDoomed, careless)
        self.assertEqual([None] * 3, self.place.ask("SELECT holder FROM locking_seats"))

    async def test_criteria_of_ones_own_count(self):
        async with self.writer():
            await self.match(
                Seat(free=5), "free", {"holder": "ann"}, statement=select(Seat).where(Seat.id > 1),
                process_query=lambda query: query.filter(Seat.id < 3),
            )  # fmt: skip
        self.assertEqual([2], self.place.ask("SELECT id FROM locking_seats WHERE holder = 'ann'"))

    async def test_the_query_must_be_one_for_the_specimen(self):
        async with self.writer():
            await self.raises(AssertionError, self.wrong)

    async def wrong(self):
        await self.match(Seat(uuid="u1"), "uuid", {}, statement=select(Page))


@behaviours({each for each in ONE if each.product is Product.SQLITE_FILE})
class TestManufacturing(Locking):
    async def test_objects_become_persistent_without_a_statement(self):
        async with self.writer() as session:
            with assert_statements(self.db, 0):
                made = await session.run_sync(manufacture_persistent_object, Seat(), {"uuid": "u1", "holder": "x"}, [1])
                again = await session.run_sync(manufacture_persistent_object, Seat(id=1), {"holder": "y"})
            self.assertEqual((True, "y", "u1"), (made is again, made.holder, made.uuid))
            with self.raising(ValueError) as caught:
                await session.run_sync(manufacture_persistent_object, Seat(), {"uuid": "u2"})
            self.assertEqual("full primary key must be present", str(caught.error))

    async def test_criteria_stand_in_the_order_of_the_mapping(self):
        def written(criteria):
            return str(criteria.compile(compile_kwargs={"literal_binds": True})).replace("locking_seats.", "")

        specimen = Seat(state=("a", "b", None), holder=None, uuid="u")
        self.assertEqual(
            "uuid = 'u' AND holder IS NULL AND (state IS NULL OR state IN ('a', 'b'))",
            written(manufacture_entity_criteria(specimen)),
        )
        self.assertEqual("uuid = 'u'", written(manufacture_entity_criteria(specimen, include_only=["uuid", "id"])))
        self.assertEqual("holder IS NULL", written(manufacture_entity_criteria(specimen, exclude=["uuid", "state"])))
        self.assertEqual("id = 7 AND free = 1", written(manufacture_criteria(Seat, {"free": 1, "id": 7})))

    async def test_a_legacy_query_knows_its_session(self):
        if self.is_asyncio:
            self.skipTest("asyncio has no Query")
        from dbkit.queries import update_on_match, update_returning_pk

        async with self.writer() as session:
            query = session.target.query(Seat)
            self.assertEqual("ann", update_on_match(query, Seat(uuid="u1"), "uuid", {"holder": "ann"}).holder)
            self.assertEqual((2,), tuple(update_returning_pk(query, {"holder": "bob"}, ("uuid", "u2"))))
            with self.raising(NoRowsMatched):
                update_returning_pk(query, {"holder": "bob"}, ("uuid", "u9"))
            with self.raising(UsageError):
                update_on_match(select(Seat), Seat(uuid="u1"), "uuid", {"holder": "eve"})
