"""One set of models for each flavour of a rule: what is hidden has an id above 100, or a link that is hidden."""

from __future__ import annotations

import datetime
import functools
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    String,
    Table,
    bindparam,
    false,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    backref,
    column_property,
    mapped_column,
    relationship,
)

from dbkit import filters
from dbkit.filters.marks import Removal, Rule, guard, set_removal

FLAVOURS = ("key", "time", "flag", "tenant")

_WHEN = datetime.datetime(2024, 1, 2)

#: For each flavour: the type of the column, what it holds in rows that are seen and in hidden ones, and the condition.
_MARKS: dict[str, tuple[Any, Any, Any, Any]] = {
    "key": (Integer, 0, lambda number: number, lambda each: each.c.mark == literal_column("0")),
    "time": (DateTime, None, lambda number: _WHEN, lambda each: each.c.mark.is_(None)),
    "flag": (Boolean, False, lambda number: True, lambda each: each.c.mark == false()),
    "tenant": (String(10), "mine", lambda number: "theirs", None),
}

_REMOVED: dict[str, Any] = {
    "key": lambda each: {"mark": each.c.id},
    "time": lambda each: {"mark": bindparam(None, callable_=lambda: _WHEN, type_=DateTime(), unique=True)},
    "flag": lambda each: {"mark": true()},
}


@functools.cache
def family(flavour: str) -> SimpleNamespace:
    """Return the models of a flavour; the name of their rule is ``leak_`` and the flavour."""
    kind, seen, hidden, criterion = _MARKS[flavour]
    rule = f"leak_{flavour}"
    at = f"leak_{flavour}_".__add__

    class Base(DeclarativeBase):
        pass

    def marked() -> Any:
        return mapped_column(kind, default=seen, nullable=True)

    link = Table(
        at("link"), Base.metadata, Column("id", Integer, primary_key=True, autoincrement=False),
        Column("owner_id", Integer), Column("tag_id", Integer), Column("mark", kind, default=seen, nullable=True),
    )  # fmt: skip

    class Pet(Base):
        __tablename__ = at("pet")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str | None] = mapped_column(String(20))
        owner_id: Mapped[int | None]
        mark: Mapped[Any] = marked()

    class Owner(Base):
        __tablename__ = at("owner")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str | None] = mapped_column(String(20))
        mark: Mapped[Any] = marked()
        pets = relationship(
            Pet, primaryjoin=id == Pet.owner_id, foreign_keys=Pet.owner_id, backref=backref("owner"), order_by=Pet.id
        )
        written = relationship(
            Pet, primaryjoin=id == Pet.owner_id, foreign_keys=Pet.owner_id, lazy="write_only", viewonly=True
        )
        dynamic = relationship(
            Pet, primaryjoin=id == Pet.owner_id, foreign_keys=Pet.owner_id, lazy="dynamic", viewonly=True
        )

    Owner.pet_count = column_property(
        select(func.count(Pet.id)).where(Pet.owner_id == Owner.id).correlate_except(Pet).scalar_subquery(),
        deferred=True,
    )

    def _pet_total(owner: Any) -> Any:
        return len(owner.pets)

    Owner.pet_total = hybrid_property(
        _pet_total,
        expr=lambda cls: (
            select(func.count(Pet.id)).where(Pet.owner_id == cls.id).correlate_except(Pet).scalar_subquery()
        ),
    )
    Owner.pet_names = association_proxy("pets", "name")

    class Tag(Base):
        __tablename__ = at("tag")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        mark: Mapped[Any] = marked()
        owners = relationship(
            Owner, secondary=link, primaryjoin=id == link.c.tag_id, secondaryjoin=Owner.id == link.c.owner_id,
            foreign_keys=[link.c.tag_id, link.c.owner_id], backref="tags",
        )  # fmt: skip

    class Node(Base):
        __tablename__ = at("node")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        parent_id: Mapped[int | None]
        mark: Mapped[Any] = marked()

    Node.children = relationship(
        Node, primaryjoin=Node.id == Node.parent_id.expression, foreign_keys=Node.parent_id,
        remote_side=Node.parent_id, backref=backref("parent", remote_side=Node.id),
    )  # fmt: skip

    class Thing(Base):
        __tablename__ = at("thing")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        kind: Mapped[str] = mapped_column(String(10))
        owner_id: Mapped[int | None]
        mark: Mapped[Any] = marked()
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}

    class Gadget(Thing):
        __tablename__ = at("gadget")
        id: Mapped[int] = mapped_column(ForeignKey(Thing.id), primary_key=True, autoincrement=False)
        power: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "gadget"}

    class Toy(Thing):
        __mapper_args__ = {"polymorphic_identity": "toy"}

    for name, target in (("things", Thing), ("gadgets", Gadget), ("toys", Toy)):
        setattr(
            Owner, name,
            relationship(target, primaryjoin=Owner.id == Thing.owner_id, foreign_keys=Thing.owner_id, viewonly=True),
        )  # fmt: skip

    # one class for each table, without a common one: each table has the rule
    class Shape(Base):
        __tablename__ = at("shape")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        mark: Mapped[Any] = marked()

    class Circle(Shape):
        __tablename__ = at("circle")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        radius: Mapped[int | None]
        mark: Mapped[Any] = marked()
        __mapper_args__ = {"concrete": True}

    class Note(Base):
        __tablename__ = at("note")
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        owner_id: Mapped[int | None]
        pet_id: Mapped[int | None]
        owner = relationship(Owner, primaryjoin=lambda: Note.owner_id == Owner.id, foreign_keys=lambda: Note.owner_id)

    Base.registry.configure()
    if flavour == "tenant":
        for target in (Pet, Owner, Tag, Node, Thing, link, Shape.__table__, Circle.__table__):
            filters.scoped(rule, target, "mark")
    else:
        for table in (*(each.__table__ for each in (Pet, Owner, Tag, Node, Thing, Shape, Circle)), link):
            guard(table, Rule(rule, criterion))
            set_removal(table, Removal(rule, _REMOVED[flavour], lambda each: {"mark": seen}))
        filters.rule(rule, Thing, criterion)

    def state(number: int, *, dead: bool | None = None) -> Any:
        return hidden(number) if (number > 100 if dead is None else dead) else seen

    rows = {
        Owner.__table__: [{"id": n, "name": f"o{n}", "mark": state(n)} for n in (1, 101)],
        Pet.__table__: [
            {"id": n, "name": f"p{n}", "owner_id": o, "mark": state(n)}
            for n, o in ((1, 1), (2, 101), (101, 1), (102, 101))
        ],
        Tag.__table__: [{"id": n, "mark": state(n)} for n in (1, 2, 101)],
        link: [
            {"id": n, "owner_id": o, "tag_id": t, "mark": state(n, dead=n == 2)}
            for n, o, t in ((1, 1, 1), (2, 1, 2), (3, 1, 101), (4, 101, 1))
        ],
        Node.__table__: [
            {"id": n, "parent_id": p, "mark": state(n)} for n, p in ((1, None), (2, 1), (101, 1), (3, 101))
        ],
        Thing.__table__: [
            {"id": n, "kind": kind, "owner_id": 1, "mark": state(n)}
            for n, kind in ((1, "gadget"), (101, "gadget"), (2, "toy"), (102, "toy"), (3, "thing"))
        ],
        Gadget.__table__: [{"id": n, "power": n} for n in (1, 101)],
        Shape.__table__: [{"id": n, "mark": state(n)} for n in (1, 101)],
        Circle.__table__: [{"id": n, "radius": n, "mark": state(n)} for n in (2, 102)],
        Note.__table__: [{"id": 1, "owner_id": 1, "pet_id": 1}, {"id": 2, "owner_id": 101, "pet_id": 101}],
    }
    return SimpleNamespace(
        flavour=flavour, rule=rule, Base=Base, Owner=Owner, Pet=Pet, Tag=Tag, Node=Node, Thing=Thing, Gadget=Gadget,
        Toy=Toy, Note=Note, Shape=Shape, Circle=Circle, link=link, rows=rows, marks=flavour != "tenant",
    )  # fmt: skip


def build(engine: Any, models: SimpleNamespace) -> None:
    """Make the tables of a family anew and fill them, past all rules, with an engine of plain SQLAlchemy."""
    models.Base.metadata.drop_all(engine)
    models.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for table, rows in models.rows.items():
            connection.execute(insert(table), rows)
