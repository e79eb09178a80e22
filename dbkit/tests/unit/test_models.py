"""Base class and mixins: the same table comes out of every kind of mapping."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
import testtools
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column, registry
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from dbkit import models
from dbkit.clock import dated
from dbkit.exceptions import InvalidModel, UsageError
from dbkit.filters.marks import Parent, parent_of, removal_of, rules_of, version_of

MIXINS = {"key": models.SoftDeleteMixin, "time": models.DeletedAtMixin, "flag": models.DeletedFlagMixin}
KEYS = {
    "integer": (sa.Integer, int, 7),
    "text": (sa.String(36), str, "k"),
    "uuid": (sa.Uuid, uuid.UUID, uuid.UUID(int=7)),
}


def annotated(flavour: str, key: str) -> Any:
    base = models.new_base()
    kind, python, _ = KEYS[key]
    made = mapped_column(kind, primary_key=True)
    body = {"__tablename__": "thing", "__annotations__": {"id": Mapped[python], "name": Mapped[str | None]}}
    body.update(id=made, name=mapped_column(sa.String(20)), __table_args__=(models.UniqueAlive("name"),))
    above = (MIXINS[flavour], models.TimestampMixin, models.VersionMixin, base)
    return type("Thing", above, body)


def abstract(flavour: str, key: str) -> Any:
    base = models.new_base()
    above = (MIXINS[flavour], models.TimestampMixin, models.VersionMixin, base)
    between = type("Between", above, {"__abstract__": True})
    body = {"__tablename__": "thing", "id": sa.Column(KEYS[key][0], primary_key=True), "name": sa.Column(sa.String(20))}
    return type("Thing", (between,), {**body, "__table_args__": (models.UniqueAlive("name"),)})


def dataclass(flavour: str, key: str) -> Any:
    base = models.new_base(dataclasses=True)
    kind, python, _ = KEYS[key]
    body: dict[str, Any] = {"__tablename__": "thing", "__table_args__": (models.UniqueAlive("name"),)}
    body["__annotations__"] = {"id": Mapped[python], "name": Mapped[str | None]}
    body.update(id=mapped_column(kind, primary_key=True), name=mapped_column(sa.String(20), default=None))
    above = (MIXINS[flavour], models.TimestampMixin, models.VersionMixin, base)
    return type("Thing", above, body)


def plain_table(flavour: str, key: str) -> sa.Table:
    table = sa.Table(
        "thing",
        models.new_metadata(),
        sa.Column("id", KEYS[key][0], primary_key=True),
        sa.Column("name", sa.String(20)),
        models.UniqueAlive("name"),
    )
    return models.versioned(models.timestamped(models.soft_deletable(table, flavour)))


def imperative(flavour: str, key: str) -> Any:
    class Thing(models.ModelBase):
        def __init__(self, **values: Any) -> None:
            self.update(values)

    registry().map_imperatively(Thing, plain_table(flavour, key))
    return Thing


MAPPED = {each.__name__: each for each in (annotated, abstract, dataclass, imperative)}


def engine() -> sa.Engine:
    return sa.create_engine("sqlite://", poolclass=StaticPool)


def shape(table: sa.Table) -> list[Any]:
    """Return what matters of a table."""
    columns = sorted((each.name, str(each.type), each.nullable) for each in table.columns)
    return [columns, [each.name for each in rules_of(table)], str(version_of(table)), removal_of(table) is not None]


class TestEveryMapping(testtools.TestCase):
    def test_the_same_table_comes_out(self):
        wrong = []
        for flavour in MIXINS:
            for key in KEYS:
                expected = shape(plain_table(flavour, key))
                for way, make in MAPPED.items():
                    found = shape(
                        make(flavour, key).__table__
                        if way != "imperative"
                        else sa.inspect(make(flavour, key)).local_table
                    )
                    if found != expected:
                        wrong.append((flavour, key, way, found, expected))
        self.assertEqual([], wrong)

    def test_rows_are_written_and_their_changes_counted(self):
        wrong = []
        moments = [datetime(2030, 1, day, tzinfo=UTC) for day in (1, 2)]
        for flavour in MIXINS:
            for key, (_, _, value) in KEYS.items():
                for way, make in MAPPED.items():
                    model = make(flavour, key)
                    table = sa.inspect(model).local_table
                    with engine().connect() as connection, Session(connection) as session:
                        table.create(connection)
                        thing = model(id=value, name="a")
                        session.add(thing)
                        with dated(lambda: moments[0]):
                            session.flush()
                        thing.name = "b"
                        with dated(lambda: moments[1]):
                            session.flush()
                        rule, removal = rules_of(table)[0], removal_of(table)
                        alive = sa.select(table.c.version, table.c.created_at, table.c.updated_at)
                        rows = session.execute(alive.where(rule.criterion(table))).all()
                        with dated(lambda: moments[1]):
                            session.execute(sa.update(table).values(removal.values(table)))
                        dead = session.execute(alive.where(rule.criterion(table))).all()
                        kept = session.execute(sa.select(table.c.deleted_at, table.c.updated_at)).one()
                        session.execute(sa.update(table).values(removal.restored(table)))
                        back = session.scalar(sa.select(sa.func.count()).where(rule.criterion(table)))
                    expected = [(2, *(each.replace(tzinfo=None) for each in moments))]
                    if (rows, dead, back) != (expected, [], 1) or kept != (expected[0][2], expected[0][2]):
                        wrong.append((flavour, key, way, rows, dead, kept, back))
        self.assertEqual([], wrong)

    def test_the_mark_of_a_row_is_its_own_key(self):
        wrong = []
        for key, (_, _, value) in KEYS.items():
            table = plain_table("key", key)
            with engine().connect() as connection:
                table.create(connection)
                connection.execute(table.insert().values(id=value))
                before = connection.scalar(sa.select(table.c.deleted))
                connection.execute(table.update().values(removal_of(table).values(table)))
                after = connection.scalar(sa.select(table.c.deleted))
            if after != value or before not in (0, "", uuid.UUID(int=0)):
                wrong.append((key, before, after))
        self.assertEqual([], wrong)


class TestInheritance(testtools.TestCase):
    def test_the_marks_stand_on_the_root_s_table(self):
        base = models.new_base()

        class Animal(models.SoftDeleteMixin, models.VersionMixin, base):
            __tablename__ = "animal"
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str] = mapped_column(sa.String(10))

        class Cat(Animal):
            __tablename__ = "cat"
            __mapper_args__ = {"polymorphic_identity": "cat"}
            id: Mapped[int] = mapped_column(sa.ForeignKey("animal.id"), primary_key=True)

        class Dog(Animal):
            __mapper_args__ = {"polymorphic_identity": "dog"}
            bark: Mapped[str | None]

        self.assertEqual(["soft_delete"], [each.name for each in rules_of(Animal.__table__)])
        self.assertNotIn("deleted", Cat.__table__.c)
        self.assertEqual(Parent(Animal.__table__, (("id", "id"),)), parent_of(Cat.__table__))
        self.assertIsNone(parent_of(Animal.__table__))
        self.assertEqual({"animal.version"}, {str(each.__mapper__.version_id_col) for each in (Animal, Cat, Dog)})

    def test_half_a_row_is_not_marked(self):
        base = models.new_base()

        class Animal(base):
            __tablename__ = "animal"
            id: Mapped[int] = mapped_column(primary_key=True)

        error = self.assertRaises(
            InvalidModel,
            type,
            "Cat",
            (models.SoftDeleteMixin, Animal),
            {"__tablename__": "cat", "id": sa.Column(sa.Integer, sa.ForeignKey("animal.id"), primary_key=True)},
        )
        self.assertIn("put the mixin on Animal", str(error))


class TestRefused(testtools.TestCase):
    def test_what_cannot_be_marked(self):
        def table(*columns: Any) -> sa.Table:
            return sa.Table("t", sa.MetaData(), *columns)

        def number(name: str) -> Any:
            return sa.Column(name, sa.Integer, primary_key=True)

        cases = {
            "no flavour": lambda: models.soft_deletable(table(number("id")), "colour"),
            "has 2 columns": lambda: models.soft_deletable(table(number("a"), number("b"))),
            "no empty value": lambda: models.soft_deletable(table(sa.Column("d", sa.Date, primary_key=True))),
            "cannot be the version": lambda: models.versioned(table(sa.Column("version", sa.DateTime))),
            "no living ones": lambda: models.unique_among_living(table(number("id")), "id"),
            "no column x": lambda: models.unique_among_living(models.soft_deletable(table(number("id"))), "x"),
            "not both": lambda: models.new_base(metadata=sa.MetaData(), schema="s"),
            "exclude each other": lambda: models.JsonEncodedType(mysql_as_long=True, mysql_as_medium=True),
        }
        wrong = {}
        for text, declare in cases.items():
            error = self.assertRaises(InvalidModel, declare)
            if text not in str(error):
                wrong[text] = str(error)
        self.assertEqual({}, wrong)

    def test_a_composite_key_names_the_column_that_counts(self):
        table = sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("a", sa.Integer, primary_key=True),
            sa.Column("b", sa.String(5), primary_key=True),
        )
        models.soft_deletable(table, key="b")
        self.assertEqual("t.b", str(removal_of(table).values(table)["deleted"]))


class TestNames(testtools.TestCase):
    def test_every_constraint_has_a_name_of_at_most_63_bytes(self):
        metadata = models.new_metadata()
        long = "a_very_long_name_of_a_table_or_of_a_column_that_goes_on"
        other = sa.Table(long, metadata, sa.Column(long + "x", sa.Integer, primary_key=True))
        table = sa.Table(
            f"{long}_2",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column(long, sa.Integer, sa.ForeignKey(other.c[long + "x"]), index=True),
            sa.UniqueConstraint(long),
            sa.CheckConstraint("id > 0"),
            sa.CheckConstraint("id < 9", name="small"),
        )
        seen = {}
        for dialect in (postgresql.dialect(), mysql.dialect(), sqlite.dialect()):
            text = str(CreateTable(table).compile(dialect=dialect)).replace("`", '"').replace('"', "")
            text += "".join(str(CreateIndex(each).compile(dialect=dialect)).replace("`", "") for each in table.indexes)
            names = [each for each in text.replace("(", " ").split() if each[:3] in ("pk_", "uq_", "fk_", "ck_", "ix_")]
            seen[dialect.name] = sorted(names)
            self.assertTrue(all(len(name) <= 63 for name in names), names)
        self.assertEqual(6, len(set(seen["sqlite"])), seen)
        self.assertEqual(seen["sqlite"], seen["postgresql"])
        self.assertEqual(
            set(seen["sqlite"]) - {each for each in seen["sqlite"] if each.startswith("pk")},
            set(seen["mysql"]) - {each for each in seen["mysql"] if each.startswith("pk")},
        )

    def test_a_name_is_cut_between_characters(self):
        name = models.shortened("ä" * 60)
        self.assertTrue(len(name.encode()) <= 63)
        self.assertEqual("short", models.shortened("short"))


class TestAsADict(testtools.TestCase):
    def test_it_is_read_and_written_as_oslo_db_s(self):
        thing = annotated("key", "integer")(id=1)
        thing["name"] = "a"
        self.assertEqual("a", thing["name"])
        self.assertIn("name", thing)
        self.assertNotIn("nothing", thing)
        self.assertEqual((1, None, 5), (thing.get("id"), thing.get("nothing"), thing.get("nothing", 5)))
        thing.update({"name": "b"})
        columns = ["id", "name", "created_at", "updated_at", "version", "deleted", "deleted_at"]
        self.assertEqual(columns, [name for name, _ in thing])
        self.assertEqual("b", dict(thing)["name"])
        thing.seen = 3
        self.assertEqual({*columns, "seen"}, set(thing.keys()))
        self.assertEqual(dict(thing.items()), dict(thing.iteritems()))

    def test_extra_keys_belong_to_it(self):
        model = annotated("key", "integer")
        model._extra_keys = property(lambda self: ["double"])
        model.double = property(lambda self: 2 * self.id)
        self.assertEqual(4, dict(model(id=2))["double"])

    def test_only_a_missing_attribute_means_absent(self):
        model = annotated("key", "integer")
        model.broken = property(lambda self: 1 / 0)
        self.assertRaises(ZeroDivisionError, lambda: "broken" in model(id=1))

    def test_it_is_saved_by_a_session(self):
        model = annotated("key", "integer")
        with engine().connect() as connection, Session(connection) as session:
            model.__table__.create(connection)
            thing = model(id=1)
            thing.save(session)
            self.assertTrue(sa.inspect(thing).persistent)
        error = self.assertRaises(UsageError, thing.save, object())
        self.assertIn("run_sync", str(error))
