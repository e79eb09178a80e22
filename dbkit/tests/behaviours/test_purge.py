"""Deleted rows that are removed for good."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dbkit.clock import dated
from dbkit.exceptions import InvalidModel, UsageError
from dbkit.models import soft_deletable
from dbkit.queries.bulk.purges import Purged, apurge, purge
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.mortals import FAMILIES, Animal, Cat, Dog, Node
from dbkit.tests.behaviours.test_soft_delete import Mortal

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATELY = datetime(2020, 3, 30, tzinfo=UTC)
NOW = datetime(2020, 4, 1, tzinfo=UTC)
AGE = timedelta(days=60)


class Kind(enum.Enum):
    LARGE = 1
    SMALL = 2


PARTS = sa.Table(
    "purge_part",
    sa.MetaData(),
    sa.Column("kind", sa.Enum(Kind, native_enum=False, length=10), primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("above_kind", sa.Enum(Kind, native_enum=False, length=10)),
    sa.Column("above_id", sa.Uuid),
    sa.ForeignKeyConstraint(["above_kind", "above_id"], ["purge_part.kind", "purge_part.id"]),
)
soft_deletable(PARTS, "time")


class Killed(BaseException):
    """What ends a process between two batches."""


class Purging(Mortal):
    async def purge(self, models: Any, **arguments: Any) -> Any:
        with dated(lambda: NOW):
            arguments.setdefault("older_than", AGE)
            if self.is_asyncio:
                return await apurge(self.db, models, **arguments)
            return purge(self.db, models, **arguments)

    async def delete(self, model: Any, *keys: int, date: datetime = LONG_AGO) -> None:
        with dated(lambda: date):
            async with self.writer() as session:
                for key in keys:
                    await session.delete(await session.get(model, key))
                    await session.flush()

    def archived(self, name: str) -> list[Any]:
        return self.place.ask(f"SELECT id FROM {name} ORDER BY id")

    def drop(self, *names: str) -> None:
        for name in names:
            self.place.do(f"DROP TABLE IF EXISTS {name}")


@behaviours(ONE_PER_PRODUCT)
class TestPurge(Purging):
    async def test_what_is_old_goes_children_first_and_may_be_kept_elsewhere(self):
        for flavour, family in FAMILIES.items():
            tables = [each.__tablename__ for each in family.marked]
            shadows = [f"shadow_{each}" for each in (*tables, family.Kept.__tablename__)]
            self.drop(*shadows)
            self.addCleanup(self.drop, *shadows)
            await self.store_all(*(family.tree(number) for number in range(1, 6)))
            await self.delete(family.Parent, 1, 2, 3)
            await self.delete(family.Parent, 4, date=LATELY)
            told: list[Purged] = []
            counted = await self.purge(family.marked, dry_run=True)
            self.assertEqual((0, 3), (counted.rows, counted.tables[-1].held), flavour)
            self.assertEqual([1, 2, 3, 4, 5], self.all_rows(family.Parent))
            done = await self.purge(family.marked, batch=2, archive=True, progress=told.append)
            # nobody goes who is referred to by a row that stays: two rows without marks refer to each parent
            self.assertEqual({6, 0}, {each.rows for each in done.tables}, flavour)
            self.assertEqual((24, 3), (done.rows, done.held))
            self.assertEqual([1, 2, 3, 4, 5], self.all_rows(family.Parent))
            self.assertEqual([41, 42, 51, 52], self.all_rows(family.Grandchild))
            self.assertEqual([11, 12, 21, 22, 31, 32], self.archived(f"shadow_{family.Child.__tablename__}"))
            self.assertEqual(
                [0, 2, 4, 6, 6], [each.rows for each in told if each.table == family.Child.__tablename__], flavour
            )
            done = await self.purge(family.Parent, batch=2, archive=True, along=family.Kept)
            self.assertEqual((3, 0), (done.rows, done.held))
            self.assertEqual([4, 5], self.all_rows(family.Parent))
            self.assertEqual([41, 42, 51, 52], self.all_rows(family.Kept))
            self.assertEqual([1, 2, 3], self.archived(f"shadow_{family.Parent.__tablename__}"))
            self.assertEqual([11, 12, 21, 22, 31, 32], self.archived(f"shadow_{family.Kept.__tablename__}"))
            self.assertEqual([[5], *[[51, 52]] * 4], await self.living(*family.marked), flavour)
            self.assertEqual(0, (await self.purge(family.marked)).rows)

    async def test_one_that_is_cut_off_has_lost_nothing_and_is_taken_up_again(self):
        family = FAMILIES["time"]
        shadow = f"shadow_{family.Grandchild.__tablename__}"
        self.drop(shadow)
        self.addCleanup(self.drop, shadow)
        await self.store_all(*(family.tree(number) for number in range(1, 6)))
        await self.delete(family.Parent, 1, 2, 3, 4, 5)
        everything = self.all_rows(family.Grandchild)
        for expected in (4, 8):
            seen = []

            def cut(state: Purged, seen: list[int] = seen) -> None:
                seen.append(state.rows)
                if state.rows == 4:
                    raise Killed

            with self.raising(Killed):
                await self.purge(family.Grandchild, batch=2, archive=True, progress=cut)
            self.assertEqual([0, 2, 4], seen)
            self.assertEqual(10 - expected, len(self.all_rows(family.Grandchild)))
            self.assertEqual(everything, sorted(self.all_rows(family.Grandchild) + self.archived(shadow)))
        self.assertEqual(2, (await self.purge(family.Grandchild, batch=2, archive=True)).rows)
        self.assertEqual(everything, self.archived(shadow))

    async def test_rows_of_one_table_that_refer_to_each_other(self):
        await self.store_all(Node(id=1))
        await self.store_all(*(Node(id=each, above_id=each // 2) for each in (2, 3)))
        await self.store_all(*(Node(id=each, above_id=each // 2) for each in range(4, 8)))
        await self.delete(Node, 1, 2, 4, 5, 6, 7)  # 3 lives, and so 1 is held
        done = await self.purge(Node, batch=2)
        self.assertEqual((5, 1), (done.rows, done.held))
        self.assertEqual([1, 3], self.all_rows(Node))

    async def test_a_row_that_refers_to_itself_holds_nobody(self):
        await self.store_all(Node(id=1, above_id=1), Node(id=2, above_id=2))
        await self.store_all(Node(id=3, above_id=2))
        await self.delete(Node, 1, 2)
        self.assertEqual(1, (await self.purge(Node, dry_run=True)).held)
        done = await self.purge(Node)
        self.assertEqual((1, 1), (done.rows, done.held))
        self.assertEqual([2, 3], self.all_rows(Node))

    async def test_keys_of_several_columns_of_types_of_their_own(self):
        self.drop("gone_purge_part")
        PARTS.drop(self.place.observer, checkfirst=True)
        PARTS.create(self.place.observer)
        self.addCleanup(self.drop, "gone_purge_part")
        self.addCleanup(PARTS.drop, self.place.observer)
        keys = [(kind, uuid.UUID(int=number)) for kind in Kind for number in range(3)]
        rows = [{"kind": kind, "id": key, "above_kind": kind, "above_id": key} for kind, key in keys]
        async with self.writer.connection() as connection:
            await connection.execute(PARTS.insert(), rows)
        seen: list[int] = []

        def cut(state: Purged) -> None:
            seen.append(state.rows)
            if state.rows == 4:
                raise Killed

        with dated(lambda: LONG_AGO):
            async with self.writer.connection() as connection:
                await connection.execute(PARTS.delete())
        with self.raising(Killed):
            await self.purge(PARTS, batch=2, archive="gone_{}", progress=cut)
        self.assertEqual([0, 2, 4], seen)
        done = await self.purge(PARTS, batch=1, archive="gone_{}")
        self.assertEqual((2, 0), (done.rows, done.held))
        self.assertEqual([6], self.place.ask("SELECT count(*) FROM gone_purge_part"))

    async def test_rows_in_several_tables(self):
        self.drop("gone_mortal_cat", "gone_mortal_animal")
        self.addCleanup(self.drop, "gone_mortal_cat", "gone_mortal_animal")
        await self.store_all(Animal(id=1), Cat(id=2), Dog(id=3), Cat(id=4))
        await self.delete(Animal, 1, 2, 3)
        done = await self.purge([Cat], archive="gone_{}")
        self.assertEqual((3, 0), (done.rows, done.held))
        self.assertEqual([[4], [4]], [self.all_rows(Animal), self.all_rows(Cat)])
        self.assertEqual([[1, 2, 3], [2]], [self.archived("gone_mortal_animal"), self.archived("gone_mortal_cat")])

    async def test_tables_that_stand_in_another_schema_by_a_map(self):
        if not self.is_on(Product.POSTGRESQL):
            return  # the others have one schema a database
        self.place.do("DROP SCHEMA IF EXISTS purge_elsewhere CASCADE")
        self.place.do("CREATE SCHEMA purge_elsewhere")
        self.addCleanup(self.place.do, "DROP SCHEMA purge_elsewhere CASCADE")
        self.db = self.database(schema_translate_map={None: "purge_elsewhere"})
        self.face = self.face_of(self.db)
        async with self.writer.connection() as connection:
            await connection.run_sync(Node.__table__.create)
        await self.store_all(Node(id=1), Node(id=2))
        await self.delete(Node, 1)
        for _ in range(2):  # made, and found again
            await self.purge(Node, archive=True)
        self.assertEqual([1], self.archived("purge_elsewhere.shadow_mortal_node"))
        self.assertEqual([2], self.place.ask("SELECT id FROM purge_elsewhere.mortal_node"))

    async def test_a_row_that_is_locked_is_left_for_the_next(self):
        if not self.is_on(Product.POSTGRESQL) and not self.is_on(Product.MARIADB):
            return  # SQLite has one writer at a time
        await self.store_all(Node(id=1), Node(id=2), Node(id=3))
        await self.delete(Node, 1, 2, 3)
        with self.rival() as rival:
            rival.execute("UPDATE mortal_node SET above_id = NULL WHERE id = 2")
            done = await self.purge(Node, batch=1)
            self.assertEqual((2, 1), (done.rows, done.held))
        self.assertEqual(1, (await self.purge(Node)).rows)

    async def test_what_cannot_be_purged_is_refused(self):
        family = FAMILIES["key"]
        loose = sa.Table("mortal_loose", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
        cases: list[tuple[type[BaseException], dict[str, Any], str]] = [
            (InvalidModel, {"models": family.Kept}, "are not marked"),
            (InvalidModel, {"models": loose}, "are not marked"),
            (InvalidModel, {"models": 5}, "neither a mapped class nor a Table"),
            (UsageError, {"models": family.Parent, "batch": 0}, "at least 1"),
            (UsageError, {"models": family.Parent, "older_than": 90}, "timedelta"),
            (UsageError, {"models": family.Parent, "archive": "shadow"}, "in place of their table's name"),
        ]
        for error, arguments, text in cases:
            raised = await self.raises(error, lambda arguments=arguments: self.purge(**arguments))
            self.assertIn(text, str(raised))

    async def test_an_archive_without_a_column_is_refused_before_anything_goes(self):
        self.drop("shadow_mortal_node")
        self.addCleanup(self.drop, "shadow_mortal_node")
        self.place.do("CREATE TABLE shadow_mortal_node (id INTEGER PRIMARY KEY)")
        await self.store_all(Node(id=1))
        await self.delete(Node, 1)
        error = await self.raises(UsageError, lambda: self.purge(Node, archive=True))
        self.assertIn("lacks the column above_id, deleted_at", str(error))
        self.assertEqual([1], self.all_rows(Node))

    async def test_an_archive_that_wants_more_than_there_is_is_refused_before_anything_goes(self):
        self.drop("shadow_mortal_node")
        self.addCleanup(self.drop, "shadow_mortal_node")
        moment = "TIMESTAMP" if self.is_on(Product.POSTGRESQL) else "DATETIME"
        self.place.do(
            "CREATE TABLE shadow_mortal_node (id INTEGER PRIMARY KEY, above_id INTEGER NOT NULL, "
            f"deleted_at {moment} NULL, owner INTEGER NOT NULL, made INTEGER DEFAULT 5 NOT NULL)"
        )
        await self.store_all(Node(id=1))
        await self.delete(Node, 1)
        error = await self.raises(UsageError, lambda: self.purge(Node, archive=True))
        self.assertIn("wants a value in the column above_id, owner", str(error))
        self.assertEqual([1], self.all_rows(Node))
