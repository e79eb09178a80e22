"""Tables whose rows are marked when they are deleted: a family of each flavour."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, registry, relationship

from dbkit import models
from dbkit.tests.behaviours import places
from dbkit.tests.behaviours.combinations import Product

Base = models.new_base()

MIXINS = {"key": models.SoftDeleteMixin, "time": models.DeletedAtMixin, "flag": models.DeletedFlagMixin}


class Family:
    """The classes of one flavour: a parent, its marked children of two kinds, and children that are not marked.

    :ivar Parent: unique by its name among the living.
    :ivar Child: dies with its parent, or when it is taken from it.
    :ivar Late: dies with it too; its relationship leaves deletions to the database.
    :ivar Grandchild: dies with the child.
    :ivar Kept: isn't marked, and stays.
    """

    def __init__(self, flavour: str) -> None:
        mixin = MIXINS[flavour]
        name = f"mortal_{flavour}"
        of = {"base": (mixin, models.TimestampMixin, Base)}["base"]

        def parent_id(table: str) -> Any:
            return mapped_column(sa.ForeignKey(f"{table}.id"))

        def made(title: str, bases: tuple[type, ...], **body: Any) -> Any:
            body.setdefault("id", mapped_column(sa.Integer, primary_key=True, autoincrement=False))
            return type(f"{title}{flavour.title()}", bases, {"__module__": __name__, **body})

        self.Parent = made(
            "Parent",
            (models.VersionMixin, *of),
            __tablename__=name,
            __table_args__=(models.UniqueAlive("name"),),
            name=mapped_column(sa.String(20)),
            children=relationship(f"Child{flavour.title()}", back_populates="parent", cascade="all, delete-orphan"),
            late=relationship(f"Late{flavour.title()}", cascade="all", passive_deletes=True),
            written=relationship(f"Written{flavour.title()}", cascade="all", lazy="write_only", passive_deletes=True),
            kept=relationship(f"Kept{flavour.title()}", cascade="all"),
        )
        self.Child = made(
            "Child",
            of,
            __tablename__=f"{name}_child",
            parent_id=parent_id(name),
            parent=relationship(f"Parent{flavour.title()}", back_populates="children"),
            grandchildren=relationship(f"Grandchild{flavour.title()}", cascade="all", lazy="raise"),
        )
        self.Grandchild = made(
            "Grandchild", of, __tablename__=f"{name}_grandchild", parent_id=parent_id(f"{name}_child")
        )
        self.Late = made("Late", of, __tablename__=f"{name}_late", parent_id=parent_id(name))
        self.Written = made("Written", of, __tablename__=f"{name}_written", parent_id=parent_id(name))
        self.Kept = made("Kept", (Base,), __tablename__=f"{name}_kept", parent_id=parent_id(name))

    @property
    def marked(self) -> tuple[Any, ...]:
        """All but the one that is not marked, parents first."""
        return self.Parent, self.Child, self.Grandchild, self.Late, self.Written

    def tree(self, number: int) -> Any:
        """Return a parent with two of each kind of descendant."""
        both = (10 * number + 1, 10 * number + 2)
        made = self.Parent(id=number, name=f"name {number}")
        made.children = [self.Child(id=each, grandchildren=[self.Grandchild(id=each)]) for each in both]
        made.late = [self.Late(id=each) for each in both]
        made.written.add_all([self.Written(id=each) for each in both])
        made.kept = [self.Kept(id=each) for each in both]
        return made


FAMILIES = {flavour: Family(flavour) for flavour in MIXINS}


class Animal(models.SoftDeleteMixin, models.VersionMixin, Base):
    """The root of an inheritance by joins."""

    __tablename__ = "mortal_animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(sa.String(10))


class Cat(Animal):
    """Has half of its row in a table of its own."""

    __tablename__ = "mortal_cat"
    __mapper_args__ = {"polymorphic_identity": "cat"}
    id: Mapped[int] = mapped_column(sa.ForeignKey("mortal_animal.id"), primary_key=True)
    lives: Mapped[int] = mapped_column(default=9)


class Dog(Animal):
    """Has its row in its parent's table."""

    __mapper_args__ = {"polymorphic_identity": "dog"}
    bark: Mapped[str | None] = mapped_column(sa.String(10))


class Tag(models.SoftDeleteMixin, Base):
    """Has a key that is no number."""

    __tablename__ = "mortal_tag"
    __table_args__ = (models.UniqueAlive("name"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(sa.String(20))


class Label(models.SoftDeleteMixin, Base):
    """Has a text as its key."""

    __tablename__ = "mortal_label"
    __table_args__ = (models.UniqueAlive("name"),)
    id: Mapped[str] = mapped_column(sa.String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    name: Mapped[str] = mapped_column(sa.String(20))


class Node(models.DeletedAtMixin, Base):
    """Refers to others of its kind."""

    __tablename__ = "mortal_node"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    above_id: Mapped[int | None] = mapped_column(sa.ForeignKey("mortal_node.id"))


class Imperative:
    """Mapped to a table that was made without it."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


PLAIN = models.soft_deletable(
    sa.Table(
        "mortal_plain",
        Base.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20)),
        models.UniqueAlive("name"),
    ),
    "flag",
    mark="is_dead",
    moment="died_at",
)
registry().map_imperatively(Imperative, PLAIN)


@cache
def tables(product: Product) -> places.Place:
    """Make the tables in a product's database, once."""
    place = places.place(product)
    Base.metadata.create_all(place.observer)
    return place


def emptied(product: Product) -> places.Place:
    """Delete all rows."""
    place = tables(product)
    place.do("UPDATE mortal_node SET above_id = NULL WHERE above_id IS NOT NULL")
    place.delete_from(*(table.name for table in reversed(Base.metadata.sorted_tables)))
    return place
