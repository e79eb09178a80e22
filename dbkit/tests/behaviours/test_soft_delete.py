"""Objects that are deleted and stay: what dies with them, and how they live again."""

from __future__ import annotations

import pickle
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm.exc import ObjectDeletedError

import dbkit
from dbkit import models
from dbkit.exceptions import DBDataError, DBDuplicateEntry, RestoreConflict, Staleness, StaleRow
from dbkit.filters.marks import removal_of
from dbkit.tests.behaviours import mortals
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import ONE, ONE_PER_PRODUCT
from dbkit.tests.behaviours.mortals import FAMILIES, Animal, Cat, Dog, Imperative, Label, Tag


def take_out(children: list[Any], key: int) -> None:
    """Remove an object from a list of children, whatever their order."""
    children.remove(next(each for each in children if each.id == key))


class Mortal(Behaviour):
    """Has the tables of the families, empty."""

    def setUp(self) -> None:
        super().setUp()
        mortals.emptied(self.combination.product)

    async def store_all(self, *objects: Any) -> None:
        async with self.writer() as session:
            session.add_all(objects)

    async def living(self, *classes: Any) -> list[list[Any]]:
        """Return the keys of the rows of each class that a block sees."""
        async with self.reader() as session:
            return [sorted((await session.scalars(sa.select(each.id))).all()) for each in classes]

    def all_rows(self, model: Any) -> list[Any]:
        """Return the keys of all rows, as another client sees them."""
        table = sa.inspect(model).local_table
        return self.place.ask(f"SELECT id FROM {table.name} ORDER BY id")


def _past_the_session(session: Any, model: Any, statement: Any = None) -> None:
    """Mark a row as another client would: the session is not told."""
    connection = session.connection()
    told, connection.on_hidden = connection.on_hidden, None
    connection.execute(sa.delete(sa.inspect(model).base_mapper.local_table) if statement is None else statement)
    connection.on_hidden = told


@behaviours(ONE_PER_PRODUCT)
class TestDeletedObjects(Mortal):
    async def test_an_object_that_others_have_deleted_says_so_when_it_is_read_anew(self):
        await self.store_all(Cat(id=1), Label(id="1", name="x"))

        def expired(session: Any, each: Any) -> Any:
            session.expire(each)
            return each.lives if isinstance(each, Cat) else each.name

        for read in (lambda s, each: s.refresh(each), expired):
            for model, key in ((Cat, 1), (Label, "1")):
                with self.raising(KeyError):
                    async with self.writer() as session:
                        one = await session.get(model, key)
                        await session.run_sync(_past_the_session, model)
                        with self.raising(StaleRow) as caught:
                            await session.run_sync(read, one)
                        error = caught.error
                        self.assertEqual(
                            (Staleness.DELETED, key, sa.inspect(model).base_mapper.local_table.name),
                            (error.reason, error.key, error.table),
                        )
                        self.assertIsInstance(error, ObjectDeletedError)
                        self.assertIsInstance(error.__cause__, sa.exc.InvalidRequestError)
                        self.assertEqual(str(error), str(pickle.loads(pickle.dumps(error))))
                        self.assertIsNone(await session.get(model, key))
                        raise KeyError

    async def test_an_object_whose_row_is_gone_is_missing(self):
        await self.store_all(Cat(id=1))
        async with self.writer.without("soft_delete")() as session:
            cat = await session.get(Cat, 1)
            await session.run_sync(_past_the_session, Cat, sa.delete(Cat.__table__))
            await session.run_sync(_past_the_session, Cat)
            with self.raising(StaleRow) as caught:
                await session.refresh(cat)
            self.assertIs(Staleness.MISSING, caught.error.reason)
            with self.raising(sa.exc.InvalidRequestError) as plain:  # of no session
                await session.refresh(Cat(id=2))
            self.assertNotIsInstance(plain.error, StaleRow)

    async def test_a_tree_dies_leaves_the_session_and_lives_again(self):
        for flavour, family in FAMILIES.items():
            await self.store_all(family.tree(1), family.tree(2))
            children = [[1], *[[11, 12]] * 4]
            others = [[2], *[[21, 22]] * 4]
            all_ = [sorted(a + b) for a, b in zip(children, others, strict=True)]
            self.assertEqual(all_, await self.living(*family.marked), flavour)
            async with self.writer() as session:
                # dies a moment earlier than the rest, and so is not restored with it
                await session.delete(await session.get(family.Late, 12))
                await session.flush()
                parent = await session.get(family.Parent, 1)
                await session.delete(parent)
                await session.flush()
                self.assertIsNone(await session.get(family.Parent, 1))
                self.assertIsNone(await session.get(family.Grandchild, 11))
                state = sa.inspect(parent)
                self.assertEqual((True, False), (state.deleted, state.persistent))
            self.assertEqual(others, await self.living(*family.marked), flavour)
            self.assertEqual(all_, [self.all_rows(each) for each in family.marked])
            self.assertEqual([11, 12, 21, 22], self.all_rows(family.Kept))
            self.assertEqual([[11, 12, 21, 22]], await self.living(family.Kept))
            async with self.writer() as session:
                back = await session.run_sync(models.restore, family.Parent, 1)
                self.assertTrue(sa.inspect(back).persistent)
                await session.refresh(back)
                self.assertEqual(("name 1", 3, None), (back.name, back.version, back.updated_at))
            expected = [list(each) for each in all_]
            expected[3].remove(12)
            self.assertEqual(expected, await self.living(*family.marked), flavour)
            async with self.writer() as session:
                await session.run_sync(models.restore, family.Late, 12)
            self.assertEqual(all_, await self.living(*family.marked), flavour)

    async def test_a_savepoint_brings_them_back(self):
        for flavour, family in FAMILIES.items():
            await self.store_all(family.tree(1))
            async with self.writer() as session:
                parent = await session.get(family.Parent, 1)
                savepoint = await session.begin_nested()
                await session.delete(parent)
                await session.flush()
                await savepoint.rollback()
                self.assertTrue(sa.inspect(parent).persistent)
                self.assertIs(parent, await session.get(family.Parent, 1))
                await session.refresh(parent)
                self.assertEqual("name 1", parent.name)
                parent.name = "another"
            async with self.writer() as session:
                parent = await session.get(family.Parent, 1)
                savepoint = await session.begin_nested()
                await session.delete(parent)
                await savepoint.rollback()  # nothing was flushed
                await session.refresh(parent)
                await session.flush()
                self.assertTrue(sa.inspect(parent).persistent, flavour)
            self.assertEqual([[1], *[[11, 12]] * 4], await self.living(*family.marked), flavour)

    async def test_an_orphan_is_marked_and_keeps_its_parent(self):
        for flavour, family in FAMILIES.items():
            await self.store_all(family.tree(1))
            async with self.writer() as session:
                parent = await session.get(family.Parent, 1)
                await session.run_sync(lambda _, parent=parent: take_out(parent.children, 11))
                await session.flush()
                self.assertIsNone(await session.get(family.Child, 11))
            self.assertEqual([[12], [12]], await self.living(family.Child, family.Grandchild), flavour)
            self.assertEqual([11, 12], self.all_rows(family.Child))
            async with self.writer() as session:
                await session.run_sync(models.restore, family.Child, 11)
            async with self.reader() as session:
                parent = await session.get(family.Parent, 1)
                found = await session.run_sync(lambda _, parent=parent: sorted(each.id for each in parent.children))
                self.assertEqual([11, 12], found, flavour)

    async def test_oslo_db_s_method_marks_and_flushes(self):
        for flavour, family in FAMILIES.items():
            await self.store_all(family.tree(1))
            async with self.writer() as session:
                parent = await session.get(family.Parent, 1)
                await session.run_sync(parent.soft_delete)
                self.assertIsNone(await session.get(family.Parent, 1))
            self.assertEqual([[]] * 5, await self.living(*family.marked), flavour)

    async def test_with_the_rule_switched_off_rows_are_deleted_for_good(self):
        for flavour, family in FAMILIES.items():
            await self.store_all(family.tree(1), family.tree(2))
            async with self.writer() as session:
                await session.delete(await session.get(family.Parent, 1))
            async with self.writer.without("soft_delete")() as session:
                parent = await session.get(family.Parent, 1)  # it sees the dead
                self.assertIsNotNone(parent)
                await session.execute(sa.delete(family.Late).where(family.Late.parent_id == 1))
                await session.execute(sa.delete(family.Written).where(family.Written.parent_id == 1))
                await session.run_sync(lambda _, parent=parent: take_out(parent.children, 11))
                await session.flush()
                self.assertEqual([12, 21, 22], (await session.scalars(sa.select(family.Child.id).order_by("id"))).all())
                await session.delete(parent)
            self.assertEqual([2], self.all_rows(family.Parent), flavour)
            self.assertEqual([21, 22], self.all_rows(family.Child), flavour)
            self.assertEqual([21, 22], self.all_rows(family.Grandchild), flavour)

    @on(ONE)
    async def test_what_others_have_changed_meanwhile_is_not_deleted(self):
        family = FAMILIES["time"]
        await self.store_all(family.tree(1))
        async with self.writer() as session:
            parent = await session.get(family.Parent, 1)
            changed = sa.update(family.Parent).values(name="z").options(dbkit.blind_update())
            await session.execute(changed, execution_options={"synchronize_session": False})
            savepoint = await session.begin_nested()
            await session.delete(parent)
            stale = await self.raises(StaleRow, session.flush)
            self.assertEqual((Staleness.STALE, 1), (stale.reason, stale.key))
            await savepoint.rollback()
        self.assertEqual([[1], *[[11, 12]] * 4], await self.living(*family.marked))

    async def test_a_key_that_stands_for_a_living_row_is_refused(self):
        await self.store_all(Animal(id=0))
        async with self.writer() as session:
            animal = await session.get(Animal, 0)
            error = await self.raises(DBDataError, session.delete, animal)
            self.assertIn("cannot be marked as deleted by its key", str(error))

    async def test_inheritance(self):
        await self.store_all(Animal(id=1), Cat(id=2), Dog(id=3))
        async with self.writer() as session:
            for number in (1, 2, 3):
                await session.delete(await session.get(Animal, number))
        self.assertEqual([[], [], []], await self.living(Animal, Cat, Dog))
        self.assertEqual([[1, 2, 3], [2]], [self.all_rows(Animal), self.all_rows(Cat)])
        async with self.writer() as session:
            cat = await session.run_sync(models.restore, Cat, 2)
            await session.refresh(cat)
            self.assertEqual((9, 0), (cat.lives, cat.deleted))
        self.assertEqual([[2], [2], []], await self.living(Animal, Cat, Dog))

    async def test_a_class_without_a_mixin(self):
        await self.store_all(Imperative(id=1, name="a"))
        async with self.writer() as session:
            await session.delete(await session.get(Imperative, 1))
        self.assertEqual([[]], await self.living(Imperative))
        await self.store_all(Imperative(id=2, name="a"))
        async with self.writer() as session:
            conflict = await self.raises(RestoreConflict, session.run_sync, models.restore, Imperative, 1)
        self.assertEqual((1, 2), (conflict.key, conflict.living))


@behaviours(ONE_PER_PRODUCT)
class TestUniqueAmongTheLiving(Mortal):
    async def test_a_name_is_free_again_once_its_holder_is_deleted(self):
        for model in (*(family.Parent for family in FAMILIES.values()), Tag, Label):
            keys = []
            for number in (1, 2, 3):
                key = {"id": number} if model not in (Tag, Label) else {}
                one = model(**key, name="name")
                await self.store_all(one)
                keys.append(one.id)
                await self.raises(DBDuplicateEntry, self.store_all, model(**({"id": 9} if key else {}), name="name"))
                async with self.writer() as session:
                    await session.delete(await session.get(model, one.id))
            async with self.writer() as session:
                named = model.name == "name"
                conflict = await self.raises(RestoreConflict, session.run_sync, models.restore_where, model, named)
                self.assertEqual(2, len({conflict.key, conflict.living} & set(keys)))
            async with self.writer() as session:
                await session.run_sync(models.restore, model, keys[0])
            async with self.writer() as session:
                conflict = await self.raises(RestoreConflict, session.run_sync, models.restore, model, keys[1])
                self.assertEqual((keys[1], keys[0]), (conflict.key, conflict.living), model)
                self.assertEqual(["name"], conflict.columns)
            self.assertEqual([[keys[0]]], await self.living(model))
            self.assertEqual(3, len(self.all_rows(model)))

    async def test_a_migration_makes_a_table_unique_among_its_living_rows(self):
        for flavour in FAMILIES:
            table = models.soft_deletable(
                sa.Table(
                    f"mortal_migrated_{flavour}",
                    models.new_metadata(),
                    sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("name", sa.String(20)),
                ),
                flavour,
            )
            self.addCleanup(self.place.do, f"DROP TABLE IF EXISTS {table.name}")
            self.place.do(f"DROP TABLE IF EXISTS {table.name}")
            with self.place.observer.connect() as connection:
                table.create(connection)
                for _ in range(2):
                    models.create_unique_alive(connection, table, "name")
                    connection.execute(table.insert(), [{"id": 1, "name": "a"}])
                    with self.raising(sa.exc.IntegrityError):
                        connection.execute(table.insert(), [{"id": 2, "name": "a"}])
                    connection.execute(table.update().values(removal_of(table).values(table)))
                    connection.execute(table.insert(), [{"id": 2, "name": "a"}])
                    models.drop_unique_alive(connection, table, "name")
                    connection.execute(table.insert(), [{"id": 3, "name": "a"}])
                    connection.execute(table.delete())

    async def test_many_are_restored_by_a_criterion_or_none(self):
        family = FAMILIES["time"]
        await self.store_all(family.tree(1), family.tree(2), family.tree(3))
        async with self.writer() as session:
            for number in (1, 2, 3):
                await session.delete(await session.get(family.Parent, number))
        async with self.writer() as session:
            found = await session.run_sync(models.restore_where, family.Parent, family.Parent.id < 3)
            self.assertEqual({1, 2}, {sa.inspect(each).identity[0] for each in found})
        self.assertEqual([[1, 2], [11, 12, 21, 22]], await self.living(family.Parent, family.Grandchild))
        async with self.writer() as session:
            missing = await self.raises(StaleRow, session.run_sync, models.restore, family.Parent, 99)
            self.assertEqual((Staleness.MISSING, False), (missing.reason, missing.transient))
