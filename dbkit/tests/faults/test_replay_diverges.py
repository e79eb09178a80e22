"""What the repeated statements answer otherwise than before: nothing is stored, and the block is told."""

from __future__ import annotations

import threading

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit.exceptions import DBConnectionError, DBError, Outcome, ReplayDiverged, TransactionDoomed
from dbkit.testing import faults
from dbkit.tests.behaviours.base import behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, POSTGRESQL, Product
from dbkit.tests.behaviours.tables import Audit, Item
from dbkit.tests.faults.base import DRIVERS
from dbkit.tests.faults.test_replay import Replaying


@behaviours(DRIVERS)
class TestDivergence(Replaying):
    def setUp(self):
        super().setUp()
        self.store(1)

    async def overtaken(self, session, change="UPDATE items SET amount = 99"):
        """Read, let somebody else change what was read, and lose the connection."""
        await session.scalar(select(Audit.id))
        await session.scalar(select(Item.amount).where(Item.id == 1))
        self.place.do(change)
        with self.proxy.cut(faults.after("INSERT")):
            session.add(Audit(id=1, text="a secret"))
            await session.flush()

    async def test_what_was_read_has_changed(self):
        await self.warm_up()
        with self.raising(ReplayDiverged) as caught:
            async with self.writer() as session:
                await self.overtaken(session)
        error = caught.error
        self.assertEqual(([], [99]), (self.stored(Audit), self.amounts()))
        self.assertEqual((True, Outcome.ROLLED_BACK), (error.transient, error.outcome))
        self.assertIn("statement 2 of 2 was answered otherwise", str(error))
        self.assertIn("SELECT items.amount", str(error))
        self.assertNotIn("secret", str(error))
        self.assertIsInstance(error.__cause__, DBConnectionError)
        self.assertEqual((0, 1), (self.counts.replayed, self.counts.diverged))
        await self.insert(2)

    async def test_what_was_read_has_gone(self):
        await self.warm_up()
        with self.raising(ReplayDiverged):
            async with self.writer() as session:
                await self.overtaken(session, "DELETE FROM items")
        self.assertEqual([], self.stored(Audit))

    @on(POSTGRESQL)  # InnoDB locks the gap into which the rival would insert
    async def test_more_rows_have_come_than_were_updated(self):
        await self.warm_up()
        with self.raising(ReplayDiverged) as caught:
            async with self.writer() as session:
                await session.execute(update(Item).where(Item.amount == 0).values(name=None))
                # the row lock goes with the connection; the rival's row is another one
                self.place.do("INSERT INTO items (id, amount) VALUES (7, 0)")
                with self.proxy.cut(faults.before("INSERT")):
                    session.add(Audit(id=1))
                    await session.flush()
        self.assertIn("UPDATE items", str(caught.error))
        self.assertEqual([], self.stored(Audit))

    async def test_an_error_that_was_seen_does_not_come_again(self):
        await self.warm_up()
        self.place.do("INSERT INTO items (id, name, amount) VALUES (5, 'taken', 0)")
        with self.raising(ReplayDiverged) as caught:
            async with self.writer() as session:
                with self.raising(DBError):
                    async with self.writer.savepoint() as inner:
                        await inner.execute(insert(Item).values(id=6, name="taken", amount=0))
                self.place.do("DELETE FROM items WHERE id = 5")
                with self.proxy.cut(faults.before("INSERT")):
                    session.add(Audit(id=1))
                    await session.flush()
        self.assertIn("INSERT INTO items", str(caught.error))
        self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))

    async def test_who_catches_it_cannot_go_on(self):
        await self.warm_up()
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                with self.raising(ReplayDiverged):
                    async with self.writer.savepoint() as inner:
                        await self.overtaken(inner)
                await session.execute(text("SELECT 1"))
        self.assertIsInstance(caught.error.__cause__, ReplayDiverged)
        self.assertEqual([], self.stored(Audit))

    async def test_its_locks_are_released_at_once(self):
        await self.warm_up()
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                await session.execute(update(Item).values(name="mine"))
                await session.scalar(select(Audit.id))
                self.place.do("INSERT INTO audits (id) VALUES (9)")
                with self.raising(ReplayDiverged), self.proxy.cut(faults.before("INSERT")):
                    await session.execute(insert(Audit).values(id=1))
                self.place.do("UPDATE items SET amount = 5")  # it would wait for the row's lock
        self.assertIsInstance(caught.error.__cause__, ReplayDiverged)
        self.assertEqual(([5], [9]), (self.amounts(), self.stored(Audit)))


class Numbers(DeclarativeBase):
    """Tables whose server gives the rows their numbers."""


class Ticket(Numbers):
    __tablename__ = "tickets"

    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


@behaviours(DRIVERS)
class TestGeneratedNumbers(Replaying):
    """Where the server gives a row its number and the caller has seen it."""

    def setUp(self):
        super().setUp()
        number = "BIGSERIAL" if self.is_on(Product.POSTGRESQL) else "BIGINT AUTO_INCREMENT"
        self.place.do("DROP TABLE IF EXISTS tickets")
        self.place.do(f"CREATE TABLE tickets (id {number} PRIMARY KEY, note VARCHAR(20))")
        self.addCleanup(self.place.do, "DROP TABLE IF EXISTS tickets")

    def notes(self):
        return dict(
            zip(
                self.place.ask("SELECT id FROM tickets ORDER BY id"),
                self.place.ask("SELECT note FROM tickets ORDER BY id"),
                strict=True,
            )
        )

    def overtake(self):
        self.place.do("INSERT INTO tickets (note) VALUES ('rival')")

    async def lose(self, session):
        with self.proxy.cut(faults.before("INSERT")):
            session.add(Audit(id=1))
            await session.flush()

    async def test_one_row_keeps_the_number_that_its_object_has(self):
        await self.warm_up()
        try:
            async with self.writer() as session:
                ticket = Ticket(note="mine")
                session.add(ticket)
                await session.flush()
                number = ticket.id
                self.overtake()
                await self.lose(session)
                later = Ticket(note="later")
                session.add(later)
                await session.flush()
        except ReplayDiverged as error:
            self.assertTrue(self.is_on(Product.POSTGRESQL), "a sequence goes on, and nobody can turn it back")
            self.assertIn("INSERT INTO tickets", str(error))
            self.assertEqual(["rival"], list(self.notes().values()))
        else:
            self.assertFalse(self.is_on(Product.POSTGRESQL))
            self.assertEqual("mine", self.notes()[number])
            self.assertEqual({number: "mine", number + 1: "rival", later.id: "later"}, self.notes())

    async def test_a_row_that_brings_its_number_leaves_none_for_the_next(self):
        await self.warm_up()
        async with self.writer() as session:
            await session.execute(insert(Ticket).values(id=70, note="own"))
            self.place.do("INSERT INTO audits (id) VALUES (9)")
            await self.lose(session)
            if not self.is_on(Product.POSTGRESQL):
                ticket = Ticket(note="given")
                session.add(ticket)
                await session.flush()
                self.assertGreater(ticket.id, 70)
        self.assertEqual("own", self.notes()[70])
        async with self.writer() as session:
            await session.execute(text("INSERT INTO tickets (note) VALUES ('after')"))
        self.assertIn("after", self.notes().values())


@behaviours(MARIADB & DRIVERS)
class TestGeneratedNumbersOfMany(TestGeneratedNumbers):
    async def test_many_rows_keep_the_numbers_that_their_objects_have(self):
        await self.warm_up()
        async with self.writer() as session:
            tickets = [Ticket(note=f"mine {number}") for number in range(5)]
            session.add_all(tickets)
            await session.flush()
            numbers = {ticket.id: ticket.note for ticket in tickets}
            self.overtake()
            await self.lose(session)
        self.assertEqual(numbers, {number: note for number, note in self.notes().items() if note != "rival"})

    async def test_a_number_that_somebody_has_taken_diverges(self):
        await self.warm_up()
        with self.raising(ReplayDiverged):
            async with self.writer() as session:
                ticket = Ticket(note="mine")
                session.add(ticket)
                await session.flush()
                self.proxy.cut_all()
                self.place.do("INSERT INTO tickets (id, note) VALUES (:id, 'thief')", id=ticket.id)
                await session.flush()
                session.add(Audit(id=1))
                await session.flush()
        self.assertEqual(["thief"], list(self.notes().values()))
        # and no session keeps the number for another row
        async with self.writer() as session:
            ticket = Ticket(note="next")
            session.add(ticket)
        self.assertEqual({"thief", "next"}, set(self.notes().values()))


@behaviours(DRIVERS)
class TestTheControl(Replaying):
    """E17n: with the comparison switched off, a replay lets wrong data be stored."""

    async def transfer(self):
        """Take 10 from item 1 and give it to item 2, while a rival waits to take 50 from item 1 and give it to 2."""
        self.store(1, 2)
        self.place.do("UPDATE items SET amount = 100")
        await self.warm_up()
        async with self.writer() as session:
            first, second = [
                await session.scalar(select(Item.amount).where(Item.id == number).with_for_update())
                for number in (1, 2)
            ]
            rival = self.rival()
            rival.start("UPDATE items SET amount = CASE id WHEN 1 THEN amount - 50 ELSE amount + 70 END")
            held = self.proxy.hold(faults.before("connect"))

            def end():
                # PostgreSQL may give a free row to who comes now, before who waits has got a processor
                rival.commit()
                held.remove()

            ending = threading.Thread(target=end)
            ending.start()
            self.addCleanup(ending.join)
            with self.proxy.cut(faults.before("UPDATE")):
                await session.execute(update(Item).where(Item.id == 1).values(amount=first - 10))
            await session.execute(update(Item).where(Item.id == 2).values(amount=second + 10))

    async def test_with_it_the_transfer_is_refused(self):
        await self.raises(ReplayDiverged, self.transfer)
        self.assertEqual([50, 170], self.amounts())

    async def test_without_it_the_rivals_change_is_lost(self):
        self.lossy.factory.replays.compare = lambda one, other: True
        await self.transfer()
        self.assertEqual([90, 110], self.amounts())
