"""Deadlocks, real ones: the victim's transaction is lost as a whole, whoever catches the error.

P1: a deadlock inside a savepoint never looks like a success. P3: an inner writer that is tried again inside the outer
one's transaction never ends in a commit without the outer rows. The controls show plain SQLAlchemy losing them.
"""

from __future__ import annotations

from sqlalchemy import select, text, update

from dbkit.exceptions import DBDeadlock, DBError, Outcome, TransactionDoomed
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import EVERY_FACE, MARIADB, POSTGRESQL, SERVERS, SPELLINGS, Face, Product
from dbkit.tests.behaviours.tables import Audit, Item

_ATTEMPTS = 3


def retrying(body):
    """Try a body again when the database says that it may work: what third-party decorators do, and no more."""

    async def attempts(*args):
        for attempt in range(_ATTEMPTS):
            try:
                return await body(*args)
            except Exception as error:
                if attempt == _ATTEMPTS - 1 or "deadlock" not in str(error).lower():
                    raise

    return attempts


class Deadlocking(Behaviour):
    """How a deadlock is made that strikes the body, not the rival."""

    def setUp(self):
        super().setUp()
        self.store(1, 2)
        self.struck = 0

    async def strike(self, session):
        """Run into a deadlock once, with a rival that holds row 2 and waits for row 1; later do nothing special."""
        self.struck += 1
        if self.is_on(Product.POSTGRESQL) and self.struck == 1:
            await session.execute(text("SET LOCAL deadlock_timeout = '1ms'"))
        await session.execute(update(Item).where(Item.id == 1).values(amount=11))
        if self.struck == 1:
            self.opponent = self.rival()
            self.opponent.outweigh()
            self.opponent.execute("UPDATE items SET amount = 20 WHERE id = 2")
            self.opponent.start("UPDATE items SET amount = 21 WHERE id = 1")
        try:
            await session.execute(update(Item).where(Item.id == 2).values(amount=12))
        finally:
            if self.struck == 1:
                self.opponent.rollback()

    def amounts(self):
        return self.place.ask("SELECT amount FROM items ORDER BY id")


@behaviours(
    SERVERS
    | SPELLINGS
    | frozenset(each for each in EVERY_FACE if each.face is Face.CONTEXT and each.product is Product.POSTGRESQL)
)
class TestDeadlocks(Deadlocking):
    async def test_a_deadlock_is_the_blocks_error(self):
        with self.raising(DBDeadlock) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                await self.strike(session)
        self.assertTrue(caught.error.transient)
        self.assertIn(caught.error.outcome, (Outcome.ROLLED_BACK, Outcome.ABORTED))
        self.assertEqual(([0, 0], []), (self.amounts(), self.stored(Audit)))

    async def test_one_that_is_swallowed_is_no_success(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                await self.raises(DBDeadlock, self.strike, session)
        self.assertIsInstance(caught.error.__cause__, DBDeadlock)
        self.assertTrue(caught.error.transient)
        self.assertEqual(([0, 0], []), (self.amounts(), self.stored(Audit)))

    async def test_nothing_can_be_done_after_one_that_is_swallowed(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                await self.raises(DBDeadlock, self.strike, session)
                await session.execute(select(Item.id))
        self.assertIsInstance(caught.error.__cause__, DBDeadlock)

    async def test_the_next_block_on_the_connection_is_as_ever(self):
        with self.raising(DBDeadlock):
            async with self.writer() as session:
                await self.strike(session)
        for number in (5, 6):
            async with self.writer() as session:
                session.add(Audit(id=number))
        self.assertEqual([5, 6], self.stored(Audit))

    @on(MARIADB)
    async def test_one_inside_a_savepoint_is_no_success(self):
        # MariaDB rolls back the whole transaction: the savepoint is gone, and the rows written before it
        with self.raising(DBError) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                with self.raising(DBDeadlock):
                    async with self.writer.savepoint() as inner:
                        await self.strike(inner)
                session.add(Audit(id=2))
        self.assertIsInstance(caught.error, TransactionDoomed)
        self.assertIsInstance(caught.error.__cause__, DBDeadlock)
        self.assertEqual(([0, 0], []), (self.amounts(), self.stored(Audit)))

    @on(MARIADB)
    async def test_one_inside_the_sessions_own_savepoint_is_no_success(self):
        with self.raising(TransactionDoomed) as caught:
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                with self.raising(DBDeadlock):
                    async with session.begin_nested():
                        await self.strike(session)
        self.assertIsInstance(caught.error.__cause__, DBDeadlock)
        self.assertEqual([], self.stored(Audit))

    @on(MARIADB)
    async def test_plain_sqlalchemy_hides_a_deadlock_inside_a_savepoint(self):
        # ROLLBACK TO the savepoint that is gone fails in its turn, and that error is the one that arrives
        async with self.bare_session() as session:
            session.add(Audit(id=1))
            await session.flush()
            error = await self.raises(Exception, self.in_plain_savepoint, session)
            self.assertEqual(1305, error.orig.args[0])
            try:
                await session.execute(select(Item.id))
            except Exception:  # some say so, others don't
                pass

    async def in_plain_savepoint(self, session):
        async with session.begin_nested():
            await self.strike(session)

    @on(POSTGRESQL | frozenset(each for each in EVERY_FACE if each.product is Product.POSTGRESQL))
    async def test_one_inside_a_savepoint_undoes_the_savepoint(self):
        # PostgreSQL keeps what was written before the savepoint, and so the block may go on
        async with self.writer() as session:
            session.add(Audit(id=1))
            await session.flush()
            with self.raising(DBDeadlock):
                async with self.writer.savepoint() as inner:
                    await self.strike(inner)
            session.add(Audit(id=2))
        self.assertEqual(([0, 0], [1, 2]), (self.amounts(), self.stored(Audit)))

    async def test_a_lock_that_is_not_granted_in_time_is_typed(self):
        rival = self.rival()
        rival.execute("UPDATE items SET amount = 20 WHERE id = 2")
        with self.raising(DBDeadlock) as caught:
            async with self.writer() as session:
                if self.is_on(Product.POSTGRESQL):
                    await session.execute(text("SET LOCAL lock_timeout = '20ms'"))
                    await session.execute(update(Item).where(Item.id == 2).values(amount=1))
                else:
                    await session.execute(text("SELECT id FROM items WHERE id = 2 FOR UPDATE NOWAIT"))
        rival.rollback()
        self.assertEqual("DBLockTimeout", type(caught.error).__name__)


@behaviours(
    SERVERS | frozenset(each for each in EVERY_FACE if each.face is Face.CONTEXT and each.product is Product.POSTGRESQL)
)
class TestRetriesInsideATransaction(Deadlocking):
    """P3. Whatever is tried again inside: the outer rows are stored with the rest, or an error says they are not."""

    async def ends_without_the_rows_never(self, outer):
        try:
            await outer()
        except DBError as error:
            self.assertTrue(error.transient, error)
            self.assertEqual(([0, 0], []), (self.amounts(), self.stored(Audit)))
            return error
        self.fail("the outer transaction was lost, and nobody said so")

    async def test_by_hand(self):
        @self.writer
        async def inner():
            await self.strike(self.session)

        @self.writer
        async def outer():
            self.session.add(Audit(id=1))
            await self.session.flush()
            for attempt in range(_ATTEMPTS):
                try:
                    await inner()
                    return
                except DBError:
                    if attempt == _ATTEMPTS - 1:
                        raise

        error = await self.ends_without_the_rows_never(outer)
        self.assertIsInstance(error, TransactionDoomed)
        self.assertIsInstance(error.__cause__, DBDeadlock)

    async def test_by_a_decorator_outside_of_ours(self):
        @self.writer
        async def inner():
            await self.strike(self.session)

        @self.writer
        async def outer():
            self.session.add(Audit(id=1))
            await self.session.flush()
            await retrying(inner)()

        await self.ends_without_the_rows_never(outer)

    async def test_by_a_decorator_inside_of_ours(self):
        @self.writer
        @retrying
        async def inner():
            await self.strike(self.session)

        @self.writer
        async def outer():
            self.session.add(Audit(id=1))
            await self.session.flush()
            await inner()

        await self.ends_without_the_rows_never(outer)

    async def test_by_a_decorator_around_a_block(self):
        @retrying
        async def inner():
            async with self.writer() as session:
                await self.strike(session)

        async def outer():
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                await inner()

        await self.ends_without_the_rows_never(outer)

    async def test_by_one_that_gives_up_and_goes_on(self):
        async def outer():
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                try:
                    await self.strike(session)
                except DBError:
                    pass

        await self.ends_without_the_rows_never(outer)

    async def test_the_outermost_block_may_be_tried_again(self):
        @retrying
        async def outer():
            async with self.writer() as session:
                session.add(Audit(id=1))
                await session.flush()
                async with self.writer() as inner:
                    await self.strike(inner)

        await outer()
        self.assertEqual(2, self.struck)
        self.assertEqual(([11, 12], [1]), (self.amounts(), self.stored(Audit)))

    @on(MARIADB)
    async def test_plain_sqlalchemy_loses_the_outer_rows_and_says_nothing(self):
        async with self.bare_session() as session:
            await session.execute(text("INSERT INTO audits (id) VALUES (1)"))
            await retrying(self.strike)(session)
        self.assertEqual(2, self.struck)
        self.assertEqual(([11, 12], []), (self.amounts(), self.stored(Audit)))

    @on(MARIADB)
    async def test_plain_sqlalchemys_connection_does_so_too(self):
        async with self.bare_transaction() as connection:
            await connection.execute(text("INSERT INTO audits (id) VALUES (1)"))
            await retrying(self.strike)(connection)
        self.assertEqual(([11, 12], []), (self.amounts(), self.stored(Audit)))

    @on(POSTGRESQL)
    async def test_plain_sqlalchemy_that_gives_up_and_goes_on_loses_everything_and_says_nothing(self):
        async with self.bare_session() as session:
            await session.execute(text("INSERT INTO audits (id) VALUES (1)"))
            await self.raises(Exception, self.strike, session)
        self.assertEqual(([0, 0], []), (self.amounts(), self.stored(Audit)))
