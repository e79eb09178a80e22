"""What the fast path knows of a mapping stays true, whatever a class says of itself and whatever joins it later."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from functools import partial

import testtools
from sqlalchemy import Column, ForeignKey, Integer, String, Table, event, select
from sqlalchemy import inspect as look_at
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from dbkit import models, queries
from dbkit.queries.fast.adding import adder_of
from dbkit.queries.fast.plans import MOST, keep
from dbkit.queries.where import transaction_of
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE
from dbkit.transaction.greenlets import in_task


class Pile(list):
    """A list that says it is empty."""

    def __bool__(self):
        return False


class _Mapped(Behaviour):
    """Each test has classes of its own, for what joins them does not leave them."""

    def setUp(self):
        super().setUp()

        class Base(DeclarativeBase):
            """Of this test alone."""

        self.base = Base

    def create(self):
        self.base.metadata.create_all(self.place.observer)
        self.addCleanup(self.base.metadata.drop_all, self.place.observer)

    def rows(self, *columns):
        """Return what another client reads."""
        with self.place.observer.connect() as connection:
            return [tuple(each) for each in connection.execute(select(*columns))]

    async def call(self, function, *args, **values):
        return await in_task(partial(function, *args, **values)) if self.is_asyncio else function(*args, **values)

    async def save(self, *instances):
        async with self.writer.connection():
            for each in instances:
                await self.call(queries.save, self.db, each)

    async def find(self, model, number=1):
        async with self.reader.connection():
            return await self.call(queries.find(model).one, self.db, id=number)

    def went(self, instance):
        """Store a new object past the unit of work, if it can be; return whether it could."""
        return adder_of(look_at(instance)).add(transaction_of(self.db), look_at(instance), instance.__dict__)


@behaviours(ONE)
class TestMappings(_Mapped):
    async def test_a_default_for_updates_of_a_column_that_is_not_mapped_is_called(self):
        numbers = itertools.count(1)
        table = Table(
            "mapped_partly",
            self.base.metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(20)),
            Column("touched", Integer, onupdate=lambda: next(numbers)),
        )

        class Partly(self.base):
            __table__ = table
            __mapper_args__ = {"exclude_properties": ["touched"]}

        self.create()
        await self.save(Partly(id=1))
        for touched, name in ((1, "a"), (2, "b")):
            found = await self.find(Partly)
            found.name = name
            await self.save(found)
            self.assertEqual([(1, name, touched)], self.rows(table))

    async def test_what_joins_a_mapping_is_stored_and_read(self):
        class User(self.base):
            __tablename__ = "mapped_users"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None] = mapped_column(String(20))

        class Post(self.base):
            __tablename__ = "mapped_posts"
            id: Mapped[int] = mapped_column(primary_key=True)
            user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))

        columns, posts = User.__table__.c, Post.__table__.c
        self.create()
        await self.save(User(id=1, name="a"), Post(id=1))
        lookup = queries.find(User)
        async with self.writer.connection():
            found = await self.call(lookup.one, self.db, id=1)
            found.name = "b"
            await self.call(queries.save, self.db, found)

        User.later = mapped_column(String(20))
        User.touched = mapped_column(Integer, onupdate=lambda: 7)
        for added in ("later VARCHAR(20)", "touched INTEGER"):
            self.place.do(f"ALTER TABLE mapped_users ADD COLUMN {added}")
        Post.user = relationship(User, backref="posts")
        await self.save(User(id=2, later="new", posts=[Post(id=2)]))
        self.assertEqual([(1, "b", None), (2, None, "new")], self.rows(columns.id, columns.name, columns.later))
        async with self.writer.connection():
            found = await self.call(lookup.one, self.db, id=2)
            found.name = "d"
            await self.call(queries.save, self.db, found)
        self.assertEqual([(1, None), (2, 7)], self.rows(columns.id, columns.touched))
        self.assertEqual([(1, None), (2, 2)], self.rows(posts.id, posts.user_id))
        async with self.writer.connection():
            found = await self.call(lookup.one, self.db, id=1)
            self.assertIsNone(found.later)
            found.name = "c"
            found.later = "changed"
            await self.call(queries.save, self.db, found)
            loaded = await self.call(queries.related, found, "posts")
            self.assertEqual([], loaded)
            found = await self.call(lookup.one, self.db, id=2)
            self.assertEqual([2], [each.id for each in await self.call(getattr, found, "posts")])
        self.assertEqual([(1, "c", "changed"), (2, "d", "new")], self.rows(columns.id, columns.name, columns.later))

    async def test_what_is_related_is_stored_though_it_is_falsy(self):
        class Basket(self.base):
            __tablename__ = "mapped_baskets"
            id: Mapped[int] = mapped_column(primary_key=True)
            items: Mapped[list[Item]] = relationship("Item", back_populates="basket", collection_class=Pile)

            def __len__(self):
                return 0

        class Item(self.base):
            __tablename__ = "mapped_items"
            id: Mapped[int] = mapped_column(primary_key=True)
            basket_id: Mapped[int | None] = mapped_column(ForeignKey(Basket.id))
            basket: Mapped[Basket | None] = relationship(Basket, back_populates="items")

        self.create()
        await self.save(Item(id=1, basket=Basket(id=1)))
        await self.save(Basket(id=2, items=[Item(id=2)]))
        items = Item.__table__.c
        self.assertEqual([(1, 1), (2, 2)], self.rows(items.id, items.basket_id))
        async with self.writer.connection():
            self.assertTrue(await self.call(self.went, Basket(id=3, items=[])), "an empty collection is no work")
            self.assertFalse(await self.call(self.went, Basket(id=4, items=[Item(id=4)])))


@behaviours(ONE)
class TestTold(_Mapped):
    def setUp(self):
        super().setUp()

        class Leaf(models.VersionMixin, self.base):
            __tablename__ = "mapped_leaves"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None] = mapped_column(String(20))

        class Stamped(self.base):
            __tablename__ = "mapped_stamped"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None] = mapped_column(String(20))
            touched: Mapped[int | None] = mapped_column(onupdate=lambda: 1)

        class Bare(self.base):
            __tablename__ = "mapped_bare"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str | None] = mapped_column(String(20))

        self.models = self.leaf, self.stamped, self.bare = Leaf, Stamped, Bare
        self.create()
        self.run_plain(partial(self.save, Leaf(id=1), Stamped(id=1), Bare(id=1)))
        self.told = []

    @contextmanager
    def listening(self, target, name, **how):
        def listener(*args):
            self.told.append(args)

        event.listen(target, name, listener, **how)
        try:
            yield
        finally:
            event.remove(target, name, listener)

    async def change(self, model):
        found = await self.find(model)
        found.name = (found.name or "") + "x"
        await self.save(found)

    async def test_who_listens_before_dbkit_does(self):
        for name in ("before_flush", "after_flush"):
            with self.listening(Session, name, insert=True):
                await self.change(self.leaf)
                self.assertEqual(1, len(self.told), name)
                await self.save(self.leaf(id=2 if name == "before_flush" else 3))
                self.assertEqual(2, len(self.told), name)
            self.told.clear()

    async def test_who_listens_to_what_a_flush_fills_in(self):
        for model, times in ((self.leaf, 1), (self.stamped, 1), (self.bare, 0)):
            self.told.clear()
            with self.listening(model, "refresh_flush"):
                await self.change(model)
            self.assertEqual(times, len(self.told), model)


@behaviours(ONE)
class TestManyForms(_Mapped):
    """A client that chooses which attributes it sends, and in which order, chooses no amount of memory."""

    def setUp(self):
        super().setUp()
        self.names = [f"name_{number}" for number in range(6)]
        self.model = type(
            "Wide",
            (self.base,),
            {
                "__tablename__": "mapped_wide",
                "id": mapped_column(Integer, primary_key=True),
                **{each: mapped_column(String(20)) for each in self.names},
            },
        )
        self.create()

    def plans(self, key):
        return self.model.__mapper__.class_manager.info[key]._plans.last[1]

    async def test_an_order_makes_no_other_statement(self):
        orders = list(itertools.permutations(self.names[:3]))
        await self.save(self.model(id=1))
        find = queries.find(self.model)
        async with self.writer.connection():
            for number, order in enumerate(orders):
                found = await self.call(find.one, self.db, id=1)
                for each in order:
                    setattr(found, each, f"{each} of {number}")
                await self.call(queries.save, self.db, found)
        last = len(orders) - 1
        self.assertEqual(
            [(1, *(f"{each} of {last}" for each in self.names[:3]), None, None, None)], self.rows(self.model.__table__)
        )
        self.assertEqual(len(orders), len(self.plans("dbkit.saver")))
        self.assertEqual(1, len({id(each) for each in self.plans("dbkit.saver").values()}))

    async def test_there_is_a_most(self):
        await self.save(self.model(id=1))
        find = queries.find(self.model)
        async with self.writer.connection():
            for order in itertools.islice(itertools.permutations(self.names), MOST + 50):
                found = await self.call(find.one, self.db, id=1)
                for each in order:
                    setattr(found, each, "x")
                await self.call(queries.save, self.db, found)
        self.assertLessEqual(len(self.plans("dbkit.saver")), MOST)
        self.assertEqual([(1, *"xxxxxx")], self.rows(self.model.__table__))


class TestForgetting(testtools.TestCase):
    def test_the_older_half_goes(self):
        plans = {}
        for number in range(MOST + 1):
            keep(plans, (str(number),), number)
        self.assertEqual(list(range(MOST // 2, MOST + 1)), list(plans.values()))
        keep(plans, (str(MOST),), "again")
        self.assertEqual("again", plans[(str(MOST),)])
