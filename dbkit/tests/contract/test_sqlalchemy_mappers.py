"""What the models read from the inside of SQLAlchemy's mappers and sessions is still there and means the same."""

from __future__ import annotations

import inspect
from typing import Any

import sqlalchemy as sa
import testtools
from sqlalchemy.orm import Mapped, MappedAsDataclass, Session, declared_attr, mapped_column, relationship
from sqlalchemy.orm.attributes import manager_of_class

from dbkit import models

Base = models.new_base()


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[list[Thing]] = relationship(back_populates="owner", cascade="all, delete-orphan")


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey("owner.id"))
    owner: Mapped[Owner] = relationship(back_populates="things")


class TestMappers(testtools.TestCase):
    def setUp(self):
        super().setUp()
        engine = sa.create_engine("sqlite://")
        self.session = Session(engine.connect())
        self.addCleanup(engine.dispose)
        self.addCleanup(self.session.connection().close)
        Base.metadata.create_all(self.session.connection())
        self.owner = Owner(id=1, things=[Thing(id=1)])
        self.session.add(self.owner)
        self.session.flush()

    def test_an_orphan_is_told_and_given_back(self):
        thing = self.owner.things[0]
        mapper, state = sa.inspect(Thing), sa.inspect(thing)
        self.assertEqual([("things", Owner)], list(mapper._delete_orphans))
        self.assertFalse(mapper._is_orphan(state))
        self.owner.things.remove(thing)
        self.assertTrue(mapper._is_orphan(state))
        self.assertIn(state, self.session.identity_map._modified)
        manager_of_class(Owner)["things"].impl.sethasparent(state, sa.inspect(self.owner), True)
        self.assertFalse(mapper._is_orphan(state))
        back = sa.inspect(Owner).relationships["things"]._reverse_property
        self.assertEqual(["owner"], [each.key for each in back])

    def test_a_new_object_joins_the_session_as_a_flushed_one(self):
        thing = Thing(owner_id=1)
        state = sa.inspect(thing)
        self.session._save_impl(state)
        self.assertTrue(state.pending)
        thing.id = 7
        self.session._register_persistent({state})
        self.assertTrue(state.persistent and not state.modified)
        self.assertIn(state, self.session._transaction._new)
        self.assertEqual((sa.inspect(Thing)._identity_class, (7,), None), state.key)
        self.assertEqual(
            (self.session.hash_key, state, self.session._transaction),
            (state.session_id, self.session.identity_map._dict[state.key], self.session._autobegin_t()),
        )

    def test_a_mapper_tells_what_an_insert_sends_and_asks_for(self):
        mapper, dialect = sa.inspect(Owner), self.session.connection().dialect
        table = Owner.__table__
        self.assertEqual(
            (frozenset(), False, set()),
            (
                mapper._insert_cols_as_none[table],
                bool(mapper._prefer_eager_defaults(dialect, table) and mapper._server_default_cols[table]),
                set(mapper._server_default_col_keys[table]),
            ),
        )
        self.assertEqual({"owner_id"}, set(sa.inspect(Thing)._insert_cols_as_none[Thing.__table__]))
        compiled = table.insert().compile(dialect=dialect, column_keys=[])
        self.assertEqual([], [*compiled.insert_prefetch, *compiled.postfetch])
        self.assertTrue(compiled.effective_returning or compiled.postfetch_lastrowid)

    def test_an_object_leaves_the_session_as_a_deleted_one(self):
        thing = self.owner.things[0]
        savepoint = self.session.begin_nested()
        self.session._remove_newly_deleted([sa.inspect(thing)])
        self.assertIsNone(self.session.identity_map.get(sa.inspect(thing).identity_key))
        self.assertTrue(sa.inspect(thing).deleted)
        savepoint.rollback()
        self.assertTrue(sa.inspect(thing).persistent)

    def test_a_collection_has_an_adapter_that_yields_its_members(self):
        self.assertEqual(self.owner.things, list(self.owner.things._sa_adapter))

    def test_a_mixin_that_is_no_dataclass_may_add_columns_by_functions_without_a_return_type(self):
        def make(cls: Any) -> Mapped[int]:
            return mapped_column(sa.Integer, default=1)

        make.__annotations__ = {}
        mixin = type("Mixin", (), {"count": declared_attr(make)})
        base = models.new_base(dataclasses=True)
        body = {"__tablename__": "counted", "id": mapped_column(primary_key=True)}
        made = type("Counted", (mixin, base), {**body, "__annotations__": {"id": Mapped[int]}})
        self.assertTrue(issubclass(made, MappedAsDataclass))
        self.assertEqual(["self", "id"], list(inspect.signature(made.__init__).parameters))
        self.assertIn("count", made.__table__.c)

    def test_the_version_of_a_mapper_can_be_set_when_its_class_is_instrumented(self):
        class Counted(models.VersionMixin, models.new_base()):
            __tablename__ = "counted"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.assertIs(Counted.__table__.c.version, Counted.__mapper__.version_id_col)
        self.assertTrue(callable(Counted.__mapper__.version_id_generator))

    def test_expired_attributes_are_loaded_by_a_function_of_the_class(self):
        asked = []

        class Loaded(models.new_base()):
            __tablename__ = "loaded"
            id: Mapped[int] = mapped_column(primary_key=True)

        manager = sa.inspect(Loaded).class_manager
        manager.expired_attribute_loader = lambda state, toload, passive: asked.append(toload)
        thing = Loaded(id=1)
        sa.orm.make_transient_to_detached(thing)
        self.session.add(thing)
        self.session.expire(thing)
        self.assertRaises(KeyError, getattr, thing, "id")  # it has loaded nothing
        self.assertEqual([{"id"}], asked)
