"""Helpers for migrations: what there is, indexes, duplicates; by engine, by session, and in asyncio."""

from __future__ import annotations

import datetime
from functools import cache

import sqlalchemy as sa
from oslo_db.sqlalchemy import utils as original
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.orm import Mapped, mapped_column

from dbkit import models, schema
from dbkit.exceptions import DBDuplicateEntry, DBNonExistentTable, SchemaMismatch, UsageError
from dbkit.spec import Colour
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import BLOCKING, MARIADB, ONE_PER_PRODUCT, SERVERS, Product
from dbkit.tests.behaviours.places import place

#: The helpers don't know which colour they run in: one for each product is enough, where many statements are sent.
FEW = frozenset(
    each for each in ONE_PER_PRODUCT if (each.colour is Colour.ASYNCIO) is (each.product is Product.POSTGRESQL)
)

METADATA = sa.MetaData()
PARENTS = sa.Table(
    "schema_parents",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("x", sa.Integer, server_default="1"),
)
LONG_AGO = datetime.datetime(2020, 1, 1)
THINGS = sa.Table(
    "schema Things",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(30)),
    sa.Column("Kind 100%", sa.String(30)),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("schema_parents.id", name="fk_parent")),
    sa.Column("note", sa.Text),
    sa.Column("deleted", sa.Integer, server_default="0"),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.UniqueConstraint("name", "deleted", "id", name="uq_things"),
)


class Guarded(models.SoftDeleteMixin, models.new_base()):
    __tablename__ = "schema_guarded"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.String(9))


NAME = THINGS.name
KIND = "Kind 100%"


@cache
def prepare(product):
    with place(product).observer.connect() as connection:
        METADATA.drop_all(connection)
        METADATA.create_all(connection)


class Helping(Behaviour):
    def setUp(self):
        super().setUp()
        prepare(self.combination.product)
        with self.place.observer.connect() as connection:
            connection.execute(THINGS.delete())
            connection.execute(PARENTS.delete())
            for each in schema.describe_indexes(connection, NAME):
                if each.name.startswith("ix"):
                    schema.drop_index(connection, NAME, each.name)

    async def call(self, function, *args, **kwargs):
        """Call a helper in a block of its own, in the colour of the test."""
        async with self.writer() as session:
            return await session.run_sync(function, *args, **kwargs)

    async def refused(self, function, *args, error=SchemaMismatch, **kwargs):
        """Return the text of the refusal."""
        return str(await self.raises(error, lambda: self.call(function, *args, **kwargs)))

    @property
    def is_mariadb(self):
        return self.is_on(Product.MARIADB)

    async def index(self, name):
        return next(each for each in await self.call(schema.describe_indexes, NAME) if each.name == name)


@behaviours(ONE_PER_PRODUCT)
class TestLooking(Helping):
    async def test_tables_columns_and_constraints_are_found_by_their_names(self):
        call = self.call
        self.assertTrue(await call(schema.table_exists, NAME))
        self.assertTrue(await call(schema.table_exists, THINGS))
        self.assertFalse(await call(schema.table_exists, "schema things, no"))
        self.assertTrue(await call(schema.column_exists, NAME, KIND))
        self.assertFalse(await call(schema.column_exists, NAME, "kind"))
        self.assertEqual("fk_parent", await call(schema.get_foreign_key_constraint_name, NAME, "parent_id"))
        self.assertIsNone(await call(schema.get_foreign_key_constraint_name, NAME, "name"))
        found = await call(schema.get_unique_constraint_name, NAME, "id", "name", "deleted")
        self.assertEqual("uq_things", found)
        self.assertIsNone(await call(schema.get_unique_constraint_name, NAME, "name"))
        for name, there in (("uq_things", True), ("fk_parent", True), ("ix", False)):
            self.assertEqual(there, await call(schema.constraint_exists, NAME, name), name)
        table = await call(schema.get_table, NAME)
        self.assertEqual(THINGS.columns.keys(), table.columns.keys())
        self.assertEqual({"schema_parents"}, {each.column.table.name for each in table.foreign_keys})

    async def test_what_is_not_there_is_told_with_the_nearest_name(self):
        self.assertIn(f"did you mean {NAME!r}?", await self.refused(schema.get_table, "schema Thingz"))
        self.assertIn(f"did you mean {NAME!r}?", await self.refused(schema.index_exists, "schema Thing", "x"))
        self.assertIn("did you mean 'parent_id'?", await self.refused(schema.add_index, NAME, "ix", ["Parent_Id"]))
        self.assertIn("did you mean 'ix_a'?", await self.wrong_index())

    async def wrong_index(self):
        await self.call(schema.add_index, NAME, "ix_a", ["name"])
        return await self.refused(schema.drop_index, NAME, "ix_A")

    @on(MARIADB)
    async def test_errors_are_typed_after_a_look(self):
        async with self.writer() as session:
            await session.run_sync(schema.get_indexes, NAME)
            await session.run_sync(lambda session: sa.inspect(session.connection()).get_columns(NAME))
            with self.raising(DBNonExistentTable):
                await session.execute(sa.text("INSERT INTO schema_nothing VALUES (1)"))
            with self.raising(NoSuchTableError):
                await session.run_sync(lambda session: sa.inspect(session.connection()).get_columns("schema_no"))

    async def test_storage_engines_are_of_mysql_alone(self):
        if self.is_mariadb:
            self.place.do("CREATE TABLE IF NOT EXISTS schema_old (id INTEGER) ENGINE = MyISAM")
        try:
            self.assertEqual(["schema_old"] * self.is_mariadb, await self.call(schema.get_non_innodb_tables))
            self.assertEqual([], await self.call(schema.get_non_innodb_tables, ["schema_old"]))
            engines = await self.call(schema.storage_engines)
            self.assertEqual("InnoDB" if self.is_mariadb else None, engines.get(NAME))
        finally:
            self.place.do("DROP TABLE IF EXISTS schema_old")


@behaviours(FEW)
class TestIndexes(Helping):
    async def test_they_are_made_found_changed_and_dropped(self):
        call = self.call
        await call(schema.add_index, NAME, "ix Odd%", ("name", KIND))
        self.assertTrue(await call(schema.index_exists, NAME, "ix Odd%"))
        self.assertTrue(await call(schema.index_exists_on_columns, NAME, ("name", KIND)))
        self.assertFalse(await call(schema.index_exists_on_columns, NAME, [KIND, "name"]))
        self.assertIn(
            "has an index 'ix Odd%' over (name, Kind 100%) already",
            await self.refused(schema.add_index, NAME, "ix Odd%", ["id"]),
        )
        await call(schema.change_index_columns, NAME, "ix Odd%", (KIND, "name"))
        self.assertTrue(await call(schema.index_exists_on_columns, NAME, [KIND, "name"]))
        self.assertIn("ix Odd%", [each["name"] for each in await call(schema.get_indexes, NAME)])
        await call(schema.drop_index, NAME, "ix Odd%")
        self.assertFalse(await call(schema.index_exists, NAME, "ix Odd%"))
        self.assertIn("has no index 'ix Odd%'", await self.refused(schema.drop_index, NAME, "ix Odd%"))

    async def test_an_index_stays_what_it_is_when_its_columns_change(self):
        options = {"mysql_length": {"note": 9}} if self.is_mariadb else {}
        condition = None if self.is_mariadb else lambda t: sa.and_(t.c.name != "a:b%", t.c.deleted == 0)
        await self.call(schema.create_index, NAME, "ix_u", "note", "name", unique=True, condition=condition, **options)
        before = await self.index("ix_u")
        await self.call(schema.change_index_columns, NAME, "ix_u", ["note", KIND])
        after = await self.index("ix_u")
        self.assertEqual(("note", KIND), after.columns)
        self.assertEqual((True, before.condition, before.options), (after.unique, after.condition, after.options))
        self.assertEqual(self.is_mariadb, after.is_whole)
        self.assertEqual(self.is_mariadb, await self.call(schema.index_exists_on_columns, NAME, ["note", KIND]))
        if not self.is_mariadb:
            self.assertIn("a:b%", after.condition)

    async def test_how_columns_are_sorted_stays_too(self):
        def falling(table):
            return table.c.name.desc()

        for made in (True, False):
            self.assertEqual(made, await self.call(schema.ensure_index, NAME, "ix_d", falling, "id"))
        for columns in (["name", "id"], ["id", "name"]):
            await self.call(schema.change_index_columns, NAME, "ix_d", columns)
            found = await self.index("ix_d")
            self.assertEqual((tuple(columns), {"name": ("desc",)}), (found.columns, dict(found.sorting)))
        self.assertIn("(id, name desc)", str(found))

    @on(SERVERS)
    async def test_an_index_of_another_kind_stays_of_its_kind(self):
        if self.is_mariadb:
            await self.call(schema.create_index, NAME, "ix_f", "note", mysql_prefix="FULLTEXT")
            kind = "mysql_prefix"
        else:
            await self.call(schema.create_index, NAME, "ix_f", "id", postgresql_using="brin", postgresql_include=())
            kind = "postgresql_using"
        before = await self.index("ix_f")
        await self.call(schema.change_index_columns, NAME, "ix_f", ["name"])
        after = await self.index("ix_f")
        self.assertEqual((before.options[kind], ("name",)), (after.options[kind], after.columns))

    async def test_what_fails_leaves_the_old_index(self):
        await self.call(schema.create_index, NAME, "ix_u", "name", "id", unique=True)
        self.place.do(f"INSERT INTO {self.quoted} (id, name) VALUES (1, :n), (2, :n)", n="a")

        async with self.writer() as session:
            with self.raising(DBDuplicateEntry):
                await session.run_sync(schema.change_index_columns, NAME, "ix_u", ["name"])
            self.assertTrue(await session.run_sync(schema.index_exists_on_columns, NAME, ["name", "id"]))
            if self.is_mariadb:  # DDL has ended the transaction
                return
        self.assertEqual(("name", "id"), (await self.index("ix_u")).columns)
        await self.refused(schema.change_index_columns, NAME, "ix_u", ["nothing"])
        self.assertEqual(("name", "id"), (await self.index("ix_u")).columns)

    @property
    def quoted(self):
        return self.place.observer.dialect.identifier_preparer.quote_identifier(NAME)

    async def test_expressions_and_conditions_are_made_and_described_or_refused(self):
        def lower(table):
            return sa.func.lower(table.c.name)

        def living(table):
            return table.c.deleted == 0

        if self.is_mariadb:
            for arguments in ({"condition": living}, {}):
                part = "name" if arguments else lower
                text = await self.refused(schema.create_index, NAME, "ix_e", part, error=UsageError, **arguments)
                self.assertIn("generated column", text)
            return
        await self.call(schema.create_index, NAME, "ix_e", lower, "id", condition=living)
        found = await self.index("ix_e")
        self.assertEqual((None, "id"), found.columns)
        self.assertIn("lower", found.parts[0])
        self.assertIn("deleted = 0", found.condition)
        self.assertTrue(await self.call(schema.index_exists, NAME, "ix_e"))
        self.assertFalse(await self.call(schema.ensure_index, NAME, "ix_e", lower, "id", condition=living))
        text = await self.refused(schema.ensure_index, NAME, "ix_e", lower, "id")
        self.assertIn("which is not the one that was wanted", text)
        await self.call(schema.drop_index, NAME, "ix_e")
        self.assertTrue(await self.call(schema.ensure_index, NAME, "ix_e", lower, "id", condition=living))
        text = await self.refused(schema.add_index, "schema_parents", "ix_e", ["id"])
        self.assertIn(f"on the table {NAME!r}", text)

    async def test_the_index_of_a_constraint_is_left_to_it(self):
        if self.is_mariadb:  # there it is an index like others
            await self.call(schema.drop_index, NAME, "uq_things")
            await self.call(schema.create_index, NAME, "uq_things", "name", "deleted", "id", unique=True)
            return
        name = (await self.constrained()).name
        self.assertIn("belongs to the constraint", await self.refused(schema.drop_index, NAME, name))
        self.assertIn("belongs to the constraint", await self.refused(schema.change_index_columns, NAME, name, ["id"]))

    async def constrained(self):
        return next(each for each in await self.call(schema.describe_indexes, NAME) if each.constraint)


@behaviours(SERVERS & FEW)
class TestSchemas(Helping):
    async def test_a_table_of_another_schema_is_served(self):
        name = "dbkit_Other"
        quote = self.place.observer.dialect.identifier_preparer.quote_identifier
        self.place.do(f"CREATE SCHEMA {quote(name)}")
        self.addCleanup(self.place.do, f"DROP SCHEMA {quote(name)}{'' if self.is_mariadb else ' CASCADE'}")
        table = sa.Table(
            "schema_parents",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("x", sa.Integer),
            schema=name,
        )
        await self.call(lambda session: table.create(session.connection()))
        self.place.do(f"INSERT INTO {quote(name)}.schema_parents VALUES (1, 5), (2, 5), (3, 6)")
        await self.call(schema.add_index, "schema_parents", "ix_x", ["x"], schema=name)
        await self.call(schema.change_index_columns, table, "ix_x", ["x", "id"])
        self.assertTrue(await self.call(schema.index_exists_on_columns, table, ["x", "id"]))
        self.assertEqual([], await self.call(schema.describe_indexes, "schema_parents"))
        self.assertEqual(2, len((await self.call(schema.get_table, "schema_parents", name)).columns))
        self.assertEqual(1, (await self.call(schema.delete_duplicates, table, "x")).rows)
        self.assertEqual([2, 3], self.place.ask(f"SELECT id FROM {quote(name)}.schema_parents ORDER BY id"))
        await self.call(schema.drop_index, table, "ix_x")
        self.assertIn("in the schema", await self.refused(schema.index_exists, "nothing", "x", name))


class Duplicates(Helping):
    ROWS = ((1, "a", "k"), (2, "a", "k"), (3, "b", "k"), (4, "a", None), (5, "a", None), (6, "b", "k"), (7, "a", "k"))

    def setUp(self):
        super().setUp()
        self.fill(self.ROWS)

    def fill(self, rows, **more):
        with self.place.observer.connect() as connection:
            connection.execute(
                THINGS.insert(), [{"id": i, "name": n, KIND: k, "deleted": 0, **more} for i, n, k in rows]
            )

    def ids(self):
        with self.place.observer.connect() as connection:
            return list(connection.execute(sa.select(THINGS.c.id).order_by(THINGS.c.id)).scalars())

    @property
    def table_name(self):
        return self.place.observer.dialect.identifier_preparer.quote_identifier(NAME)


@behaviours(FEW)
class TestDuplicates(Duplicates):
    async def test_one_of_each_stays(self):
        told = []
        self.assertEqual(3, await self.call(schema.count_duplicates, NAME, "name", KIND))
        groups = await self.call(lambda s: list(schema.find_duplicates(s, NAME, "name", KIND)))
        self.assertEqual({("a", "k"): 3, ("b", "k"): 2}, {tuple(each.values.values()): each.rows for each in groups})
        done = await self.call(schema.delete_duplicates, NAME, "name", KIND, batch=2, progress=told.append)
        self.assertEqual((3, 0), (done.rows, done.skipped))
        self.assertEqual([4, 5, 6, 7], self.ids())
        self.assertEqual([2, 3], [each.rows for each in told])
        self.assertEqual({((1,), (7,)), ((2,), (7,)), ((3,), (6,))}, {pair for each in told for pair in each.deleted})

    async def test_it_is_said_which_stays_and_what_null_is(self):
        done = await self.call(schema.delete_duplicates, NAME, "name", KIND, keep="smallest", nulls="equal")
        self.assertEqual((4, [1, 3, 4]), (done.rows, self.ids()))
        self.fill(((8, "a", "k"), (9, "a", "k")))
        await self.call(
            schema.delete_duplicates, NAME, "name", KIND, keep=lambda t: [sa.case((t.c.id == 8, 0), else_=1)]
        )
        self.assertEqual([3, 4, 8], self.ids())

    async def test_marked_rows_are_neither_compared_nor_kept(self):
        self.fill(((8, "a", "k"),), deleted_at=LONG_AGO)
        self.place.do(f"UPDATE {self.table_name} SET deleted = 8 WHERE id = 8")
        marks = schema.SoftDelete()
        self.assertEqual(3, await self.call(schema.count_duplicates, NAME, "name", KIND, alive=marks))
        done = await self.call(schema.delete_duplicates, NAME, "name", KIND, soft_delete=marks)
        self.assertEqual(3, done.rows)
        with self.place.observer.connect() as connection:
            rows = connection.execute(sa.select(THINGS.c.id, THINGS.c.deleted, THINGS.c.deleted_at.is_(None))).all()
        self.assertEqual(
            [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 0, 1), (5, 0, 1), (6, 0, 1), (7, 0, 1), (8, 8, 0)],
            [(i, d, int(n)) for i, d, n in sorted(rows)],
        )

    async def test_what_refers_to_a_row_can_be_moved_before_it_goes(self):
        self.place.do("INSERT INTO schema_parents (id) VALUES (1), (2)")
        with self.place.observer.connect() as connection:
            connection.execute(THINGS.update().values(parent_id=1))

        def move(connection, pairs):
            for (gone,), (kept,) in pairs:
                connection.execute(THINGS.update().where(THINGS.c.parent_id == gone).values(parent_id=kept))

        done = await self.call(schema.delete_duplicates, "schema_parents", "x", before=move)
        self.assertEqual((1, [2] * 7), (done.rows, self.place.ask(f"SELECT parent_id FROM {self.table_name}")))

    async def test_what_cannot_be_done_is_refused(self):
        refused = self.refused
        self.assertIn("no column", await refused(schema.delete_duplicates, NAME, "nothing"))
        self.assertIn("name the columns", await refused(schema.delete_duplicates, NAME, error=UsageError))
        for wrong in ({"keep": "newest"}, {"batch": 0}, {"nulls": "same"}, {"soft_delete": schema.SoftDelete("x")}):
            await refused(schema.delete_duplicates, NAME, "name", error=UsageError, **wrong)
        await refused(schema.delete_duplicates, NAME, "name", soft_delete=schema.SoftDelete(mark="gone"))


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestDuplicatesByEngine(Duplicates):
    """Each batch has a transaction of its own."""

    async def test_what_is_cut_off_goes_on_where_it_was(self):
        def stop(so_far):
            raise KeyError("enough")

        with self.raising(KeyError):
            schema.delete_duplicates(self.db.engine, NAME, "name", KIND, batch=1, progress=stop)
        self.assertEqual(6, len(self.ids()))
        self.assertEqual(2, schema.delete_duplicates(self.db.engine, NAME, "name", KIND, batch=1).rows)
        self.assertEqual([4, 5, 6, 7], self.ids())

    async def test_one_of_a_group_stays_whatever_others_do_meanwhile(self):
        kept = {1: 2, 3: 4, 5: 6}
        with self.place.observer.connect() as connection:
            connection.execute(THINGS.delete())
        self.fill([(each, name, "k") for each, name in zip(range(1, 7), "aabbcc", strict=True)])
        seen = []

        def meddle(so_far):
            if not seen:
                ((gone,), _) = so_far.deleted[0]
                seen.extend([gone, *(kept.keys() - {gone})])
                self.place.do(f"DELETE FROM {self.table_name} WHERE id = {kept[seen[1]]}")
                self.place.do(f"UPDATE {self.table_name} SET name = 'z' WHERE id = {kept[seen[2]]}")

        done = schema.delete_duplicates(self.db.engine, NAME, "name", KIND, batch=1, progress=meddle)
        first, second, third = seen
        self.assertEqual((1, 0), (done.rows, done.skipped))
        self.assertEqual(sorted([kept[first], second, third, kept[third]]), self.ids())

    async def test_a_connection_knows_which_product_it_leads_to(self):
        product = schema.per_dialect("*")(lambda where: "another")
        product.on("mariadb")(lambda where: "mariadb")
        with self.db.engine.connect() as connection:
            self.assertEqual("mariadb" if self.is_mariadb else "another", product(connection))
        self.assertEqual("another", product(self.db.engine.url))


@behaviours(ONE_PER_PRODUCT)
class TestTablesWithRules(Helping):
    async def test_rules_of_models_do_not_count_for_migrations(self):
        place(self.combination.product)
        table = Guarded.__table__
        with self.place.observer.connect() as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            rows = [{"id": each, "name": "n", "deleted": each if each < 3 else 0} for each in range(1, 6)]
            connection.execute(table.insert(), rows)
        self.addCleanup(table.drop, self.place.observer)
        name, call = table.name, self.call
        await call(schema.add_index, name, "ix_g", ["name"])
        await call(schema.change_index_columns, name, "ix_g", ["name", "id"])
        await call(schema.drop_index, name, "ix_g")
        marks = schema.SoftDelete()
        self.assertEqual(
            [4, 2], [await call(schema.count_duplicates, name, "name", alive=each) for each in (None, marks)]
        )
        await call(schema.delete_duplicates, name, "name", alive=marks, before=lambda connection, pairs: None)
        await call(schema.change_deleted_column, name, "flag")
        left = self.place.ask(f"SELECT id FROM {name} ORDER BY id")
        self.assertEqual([1, 2, 5], left)  # gone for good, and those that were marked are not looked at


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestBesideOsloDb(Helping):
    """The same calls to both, each on rows of its own; where oslo.db is wrong, it is said."""

    async def test_the_same_answers(self):
        ours, theirs = self.db.engine, self.place.observer
        for name, arguments in (
            ("column_exists", (NAME, "name")),
            ("column_exists", (NAME, "no")),
            ("index_exists", (NAME, "ix_a")),
            ("get_foreign_key_constraint_name", (NAME, "parent_id")),
            ("get_foreign_key_constraint_name", (NAME, "name")),
            ("add_index", (NAME, "ix_a", ("name", "id"))),
            ("index_exists", (NAME, "ix_a")),
            ("index_exists_on_columns", (NAME, ["name", "id"])),
            ("index_exists_on_columns", (NAME, ["id", "name"])),
            ("get_indexes", (NAME,)),
            ("change_index_columns", (NAME, "ix_a", ("id", "name"))),
            ("index_exists_on_columns", (NAME, ["id", "name"])),
            ("drop_index", (NAME, "ix_a")),
        ):
            found = [getattr(schema, name)(ours, *arguments)]
            if name in ("add_index", "drop_index"):
                self.assertRaises(ValueError, getattr(schema, name), ours, *arguments)
                self.assertRaises(ValueError, getattr(original, name), theirs, *arguments)
            else:
                found.append(getattr(original, name)(theirs, *arguments))
            self.assertEqual(found[:1] * len(found), found, name)
        if self.is_mariadb:
            self.assertEqual(original.get_non_innodb_tables(theirs), schema.get_non_innodb_tables(ours))

    async def test_old_duplicates_go_alike_and_living_ones_stay(self):
        rows = [(1, "a", 0), (2, "a", 0), (3, "b", 0), (4, "c", 0), (5, "c", 5), (6, None, 0), (7, None, 0)]
        left = []
        for function, engine in (
            (original.drop_old_duplicate_entries_from_table, self.place.observer),
            (schema.drop_old_duplicate_entries_from_table, self.db.engine),
        ):
            for soft in (False, True):
                with self.place.observer.connect() as connection:
                    connection.execute(THINGS.delete())
                    for number, name, deleted in rows:
                        gone = LONG_AGO if deleted else None
                        connection.execute(
                            THINGS.insert().values(id=number, name=name, deleted=deleted, deleted_at=gone)
                        )
                function(engine, NAME, soft, "name")
                with self.place.observer.connect() as connection:
                    alive = sa.select(THINGS.c.id).where(THINGS.c.deleted == 0).order_by(THINGS.c.id)
                    left.append(list(connection.execute(alive).scalars()))
        # oslo.db keeps the deleted row 5 of the two, so that the living row 4 is lost
        self.assertEqual([[2, 3, 7]] * 2 + [[2, 3, 4, 7]] * 2, left)

    async def test_an_index_stays_unique_only_here(self):
        for function, engine, stays in (
            (original.change_index_columns, self.place.observer, False),
            (schema.change_index_columns, self.db.engine, True),
        ):
            schema.create_index(self.db.engine, NAME, "ix_u", "name", unique=True)
            function(engine, NAME, "ix_u", ["name", "id"])
            self.assertEqual(stays, (await self.index("ix_u")).unique)
            schema.drop_index(self.db.engine, NAME, "ix_u")
