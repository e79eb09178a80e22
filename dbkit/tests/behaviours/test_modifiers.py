"""Modifiers: what they mean does not depend on their order, and what makes no sense is refused."""

from __future__ import annotations

import itertools

from dbkit.exceptions import InvalidSetting, ModeConflict
from dbkit.spec import Handle, Isolation, Mode, Propagation
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, ONE_PER_PRODUCT, SERVERS
from dbkit.tests.behaviours.tables import Audit, Item


@behaviours(BOTH_FACES)
class TestModifiers(Behaviour):
    def in_every_order(self, opener, names):
        """Return the openers that the modifiers give in each of their orders."""
        found = []
        for order in itertools.permutations(names):
            made = opener
            for name in order:
                made = made.modified(name)
            found.append(made)
        return found

    async def test_their_order_does_not_matter(self):
        expected = {"savepoint": Propagation.NESTED, "independent": Propagation.REQUIRES_NEW}
        for propagation, opener in itertools.product(expected, (self.writer, self.reader)):
            for made in self.in_every_order(opener, (propagation, "connection", "isolation")):
                self.assertEqual(expected[propagation], made.manager.spec.propagation)
                self.assertEqual(Handle.CONNECTION, made.manager.spec.handle)
                self.assertEqual(Isolation.SERIALIZABLE, made.manager.spec.isolation)
                self.assertEqual(opener.manager.spec.mode, made.manager.spec.mode)

    async def test_their_order_does_not_matter_for_replicas(self):
        for propagation in ("savepoint", "independent"):
            specs = {
                made.manager.spec
                for made in self.in_every_order(self.reader, (propagation, "connection", "isolation", "replica"))
            }
            self.assertEqual(1, len(specs))
            self.assertEqual(Mode.REPLICA, specs.pop().mode)

    async def test_a_modifier_twice_is_the_same_as_once(self):
        for name in ("savepoint", "independent", "connection", "isolation"):
            once = self.writer.modified(name)
            self.assertEqual(once.manager.spec, once.modified(name).manager.spec)

    async def test_a_modifier_leaves_the_manager_as_it_was(self):
        before = self.writer.manager.spec
        for name in ("savepoint", "independent", "connection", "isolation"):
            self.writer.modified(name)
        self.assertEqual(before, self.writer.manager.spec)

    async def test_savepoint_and_independent_together_are_refused_in_either_order(self):
        for first, second in (("savepoint", "independent"), ("independent", "savepoint")):
            with self.raising(ModeConflict) as caught:
                self.writer.connection.modified(first).modified(second)
            self.assertIsInstance(caught.error, TypeError)
            self.assertIn("savepoint and independent", str(caught.error))

    async def test_a_writer_is_never_a_replicas(self):
        with self.raising(ModeConflict) as caught:
            self.writer.replica  # noqa: B018
        self.assertIn("reader.replica", str(caught.error))

    async def test_a_level_that_does_not_exist_is_refused_with_those_that_do(self):
        with self.raising(InvalidSetting) as caught:
            self.writer.isolation("SNAPSHOTTY")
        for level in ("SNAPSHOTTY", "READ COMMITTED", "SERIALIZABLE"):
            self.assertIn(level, str(caught.error))

    async def test_levels_are_named_as_one_likes(self):
        for name in ("repeatable read", "REPEATABLE READ", "repeatable_read", " Repeatable-Read "):
            self.assertEqual(Isolation.REPEATABLE_READ, self.writer.isolation(name).manager.spec.isolation)
        self.assertEqual(
            Isolation.REPEATABLE_READ, self.writer.isolation(Isolation.REPEATABLE_READ).manager.spec.isolation
        )


@behaviours(BOTH_FACES | ONE_PER_PRODUCT)
class TestModifiedBlocks(Behaviour):
    """The order of the modifiers makes no difference to what happens either."""

    async def test_a_savepoint_for_a_connection_is_one_in_either_order(self):
        for inner in (self.writer.savepoint.connection, self.writer.connection.savepoint):
            async with self.writer() as session:
                session.add(Item(id=1))
                with self.raising(ValueError):
                    async with inner() as connection:
                        await connection.execute(Audit.__table__.insert().values(id=1))
                        raise ValueError
            self.assertEqual(([1], []), (self.stored(), self.stored(Audit)))
            self.place.empty()

    @on(SERVERS)
    async def test_an_independent_connection_is_one_in_either_order(self):
        for inner in (self.writer.independent.connection, self.writer.connection.independent):
            with self.raising(ValueError):
                async with self.writer() as session:
                    session.add(Item(id=1))
                    await session.flush()
                    async with inner() as connection:
                        await connection.execute(Audit.__table__.insert().values(id=1))
                    raise ValueError
            self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))
            self.place.empty()
