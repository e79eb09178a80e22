"""Columns that migrations alter: how deleted rows are marked, and foreign keys out of the way meanwhile."""

from __future__ import annotations

import sqlalchemy as sa

from dbkit import schema
from dbkit.exceptions import DBDuplicateEntry, UsageError
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.test_schema import FEW, Helping


class Altering(Helping):
    """Has tables of its own for each test."""

    def made(self, *tables):
        with self.place.observer.connect() as connection:
            tables[0].metadata.drop_all(connection)
            tables[0].metadata.create_all(connection)
        self.addCleanup(tables[0].metadata.drop_all, self.place.observer)

    def rows(self, table, *columns):
        """Return what another client sees, booleans as numbers."""
        with self.place.observer.connect() as connection:
            found = connection.execute(sa.select(*(table.c[each] for each in columns)).order_by(table.c[columns[0]]))
            return [tuple(int(v) if isinstance(v, bool) else v for v in row) for row in found]


@behaviours(FEW)
class TestMarks(Altering):
    def table(self, kind, mark):
        key = sa.Column("id", kind, primary_key=True)
        return sa.Table(
            "schema_marks", sa.MetaData(), key, sa.Column("name", sa.String(9)), sa.Column("deleted", mark),
            sa.Index("ix_mark", "name", "deleted", unique=True), sa.Column("updated_at", sa.DateTime),
        )  # fmt: skip

    async def test_keys_become_booleans_and_keys_again(self):
        for kind, values, empty in ((sa.Integer, (1, 2, 7), 0), (sa.String(9), ("a", "b", "x"), "")):
            table = self.table(kind, kind)
            self.made(table)
            dead = values[1]
            with self.place.observer.connect() as connection:
                for each, mark in zip(values, (empty, dead, None), strict=True):
                    connection.execute(table.insert().values(id=each, name=f"n{each}", deleted=mark))
            for _ in range(2):  # what was cut off is run again
                await self.call(schema.change_deleted_column_type_to_boolean, table.name)
            flagged = self.table(kind, sa.Boolean)
            self.assertEqual([0, 1, 0], [row[1] for row in self.rows(flagged, "id", "deleted")])
            found = await self.call(schema.get_table, table.name)
            self.assertEqual(1, len([each for each in found.indexes if each.name == "ix_mark" and each.unique]))
            for _ in range(2):
                await self.call(schema.change_deleted_column_type_to_id_type, table.name, name=None)
            self.assertEqual([empty, dead, empty], [row[1] for row in self.rows(table, "id", "deleted")])
            with self.place.observer.connect() as connection:  # the default is that of the new type
                connection.execute(table.insert().values(id=values[0] * 5, name="new").inline())
            self.assertIn((values[0] * 5, empty), self.rows(table, "id", "deleted"))
            self.assertTrue((await self.index_of(table)).unique)

    async def index_of(self, table):
        return next(each for each in await self.call(schema.describe_indexes, table) if each.name == "ix_mark")

    async def test_what_would_not_be_unique_changes_nothing(self):
        table = self.table(sa.Integer, sa.Integer)
        self.made(table)
        with self.place.observer.connect() as connection:
            connection.execute(table.insert(), [{"id": each, "name": "n", "deleted": each} for each in (2, 3)])
        await self.raises(DBDuplicateEntry, lambda: self.call(schema.change_deleted_column, table, "flag"))
        self.assertEqual([(2, 2), (3, 3)], self.rows(table, "id", "deleted"))

    async def test_what_stands_in_the_way_is_told(self):
        self.assertIn(
            "no column 'gone'", await self.refused(schema.change_deleted_column, self.made_plain(), "flag", mark="gone")
        )
        await self.refused(schema.change_deleted_column, "schema_plain", "time", error=UsageError)
        if self.is_mariadb:
            return
        words = "reads the column" if self.is_on(Product.POSTGRESQL) else "no column of a constraint"
        self.assertIn(words, await self.refused(schema.change_deleted_column, "schema_plain", "flag"))

    def made_plain(self):
        table = sa.Table(
            "schema_plain", sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True), sa.Column("deleted", sa.Integer),
            sa.UniqueConstraint("id", "deleted"),
        )  # fmt: skip
        self.made(table)
        if self.is_on(Product.POSTGRESQL):
            self.place.do("CREATE INDEX ix_living ON schema_plain (id) WHERE deleted = 0")
        return table


class Keyed(Altering):
    def tables(self):
        data = sa.MetaData()
        one = sa.Table(
            "schema_one", data, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("up", sa.ForeignKey("schema_one.id", name="fk_up", ondelete="SET NULL")),
        )  # fmt: skip
        two = sa.Table(
            "schema_two", data, sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("one_id", sa.ForeignKey("schema_one.id", name="fk_one", ondelete="CASCADE")),
        )  # fmt: skip
        self.made(one, two)
        return one, two

    def alter(self, connection, *, fail=False):
        word = "MODIFY COLUMN {0} BIGINT" if self.is_mariadb else "ALTER COLUMN {0} TYPE BIGINT"
        for table, column in (("schema_one", "id"), ("schema_one", "up"), ("schema_two", "one_id")):
            null = " NOT NULL" if column == "id" and self.is_mariadb else ""
            connection.exec_driver_sql(f"ALTER TABLE {table} {word.format(column)}{null}")
            if fail:
                raise KeyError("enough")

    def keys(self):
        with self.place.observer.connect() as connection:
            inspector = sa.inspect(connection)
            return {
                key["name"]: key["options"].get("ondelete")
                for table in ("schema_one", "schema_two")
                for key in inspector.get_foreign_keys(table)
            }


@behaviours(SERVERS & FEW)
class TestForeignKeys(Keyed):
    async def test_columns_that_keys_are_over_are_altered(self):
        self.tables()

        def alter(session):
            connection = session.connection()
            with schema.foreign_keys_suspended(session, "schema_one", "id") as names:
                self.alter(connection)
            return sorted(names)

        self.assertEqual(["fk_one", "fk_up"], await self.call(alter))
        self.assertEqual({"fk_one": "CASCADE", "fk_up": "SET NULL"}, self.keys())
        table = await self.call(schema.get_table, "schema_two")
        self.assertIsInstance(table.c.one_id.type, sa.BigInteger)

    async def test_the_keys_are_back_when_it_fails(self):
        self.tables()

        def alter(session):
            connection = session.connection()
            try:
                with schema.suspend_fk_constraints_for_col_alter(session, "schema_one", "id", ["schema_two"]):
                    self.alter(connection, fail=not self.is_mariadb)
                    if self.is_mariadb:
                        raise KeyError("enough")
            except KeyError:
                return True
            return False

        self.assertTrue(await self.call(alter))
        self.assertEqual({"fk_one", "fk_up"}, set(self.keys()))
        await self.refused(lambda session: schema.foreign_keys_suspended(session, "schema_one", "no").__enter__())


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestForeignKeysOfAnEngine(Keyed):
    async def test_an_engine_has_a_transaction_for_each_step(self):
        if self.is_on(Product.SQLITE_FILE):
            with self.raising(UsageError):
                schema.foreign_keys_suspended(self.db.engine, "schema_parents", "id").__enter__()
            return
        self.tables()
        with self.raising(KeyError), schema.foreign_keys_suspended(self.db.engine, "schema_one", "id"):
            self.assertEqual(set(), set(self.keys()))
            with self.db.engine.begin() as connection:
                self.alter(connection)
            raise KeyError("enough")
        self.assertEqual({"fk_one", "fk_up"}, set(self.keys()))
