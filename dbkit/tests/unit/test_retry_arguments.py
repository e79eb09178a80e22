"""The arguments of a function that may be run again: copied, passed, refused."""

from __future__ import annotations

import array
import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import importlib.util
import io
import pathlib
import tempfile
import types
import typing
import uuid

import testtools
from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from dbkit.exceptions import ArgumentNotRepeatable
from dbkit.retry.arguments import ArgumentCopier


class Base(DeclarativeBase):
    pass


class Server(Base):
    __tablename__ = "servers"

    id: Mapped[int] = mapped_column(primary_key=True)


@dataclasses.dataclass
class Order:
    lines: list
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Price:
    amount: int
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slim:
    lines: list


class Point(typing.NamedTuple):
    x: int
    names: list


class Names(list):
    def __init__(self, *names, owner):
        super().__init__(names)
        self.owner = owner


class Colour(enum.Enum):
    RED = 1


class Service:
    """What is no data, and counts its calls."""

    def __init__(self):
        self.calls = []


class Stubborn(list):
    def __copy__(self):
        raise TypeError("not me")


def function(first, second=None, *rest, **others):
    """What may be run again."""


def method(self, first):
    """The same, as a method."""


def runs(*args, **kwargs):
    """Return the arguments of two runs."""
    give = ArgumentCopier(function).repeatable(args, kwargs)
    return give(), give()


class TestWhatIsCopied(testtools.TestCase):
    def assert_copied(self, value):
        (one,), _ = runs(value)[0]
        (other,), _ = runs(value)[1]
        for each in (one, other):
            self.assertIs(type(value), type(each))
            self.assertEqual(value, each)
            self.assertIsNot(value, each)
        self.assertIsNot(one, other)
        return one

    def test_collections_are(self):
        for value in (
            [1], {"a": 1}, {1}, collections.deque([1], maxlen=3), bytearray(b"a"), array.array("i", [1]),
            collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.Counter("aab"),
            collections.UserDict(a=1), collections.UserList([1]),
        ):  # fmt: skip
            with self.subTest(type(value).__name__):
                self.assert_copied(value)

    def test_what_they_are_made_of_is_kept(self):
        self.assertEqual(3, self.assert_copied(collections.deque([1], maxlen=3)).maxlen)
        self.assertIs(list, self.assert_copied(collections.defaultdict(list)).default_factory)
        owner = Service()
        self.assertIs(owner, self.assert_copied(Names("a", owner=owner)).owner)

    def test_so_is_what_is_inside(self):
        value = {"orders": [Order([1])], "pairs": ([1], {2: {3}})}
        copied = self.assert_copied(value)
        copied["orders"][0].lines.append(9)
        copied["pairs"][0].append(9)
        copied["pairs"][1][2].add(9)
        self.assertEqual({"orders": [Order([1])], "pairs": ([1], {2: {3}})}, value)

    def test_records_are(self):
        for value in (Order([1]), Slim([1]), Price(1, ["a"]), Point(1, ["a"]), types.SimpleNamespace(lines=[1])):
            with self.subTest(type(value).__name__):
                self.assert_copied(value)

    def test_models_of_pydantic_are(self):
        if importlib.util.find_spec("pydantic") is None:
            self.skipTest("pydantic is not installed: pip install pydantic")
        import pydantic

        class Request(pydantic.BaseModel):
            lines: list[int]

        value = Request(lines=[1])
        self.assert_copied(value).lines.append(2)
        self.assertEqual(([1], {"lines"}), (value.lines, value.model_fields_set))

    def test_what_the_caller_has_is_never_changed(self):
        order = Order([1])
        for args, _ in runs(order):
            self.assertEqual([1], args[0].lines)
            args[0].lines.append(2)
            args[0].note = "changed"
        self.assertEqual(Order([1], ""), order)

    def test_what_is_one_object_stays_one(self):
        shared = [1]
        args, kwargs = runs(shared, {"again": shared}, third=shared)[0]
        self.assertIs(args[0], args[1]["again"])
        self.assertIs(args[0], kwargs["third"])

    def test_what_holds_itself_does(self):
        ring = [1]
        ring.append(ring)
        (copied,), _ = runs(ring)[0]
        self.assertIs(copied, copied[1])
        self.assertIsNot(ring, copied)


class TestWhatIsPassed(testtools.TestCase):
    def test_what_cannot_change_is(self):
        for value in (
            None, True, 1, 1.5, 2j, "a", b"a", range(3), (1, "a", (2,)), frozenset({1}), decimal.Decimal(1),
            datetime.date(2026, 1, 1), datetime.timedelta(1), uuid.UUID(int=1), pathlib.Path("a"), Colour.RED,
            Price(1, ()), len, function, Service, Server, Order,
        ):  # fmt: skip
            with self.subTest(repr(value)):
                self.assertIs(value, runs(value)[0][0][0])

    def test_what_does_things_is(self):
        engine = create_engine("sqlite://")
        for value in (Service(), io, object(), engine, sessionmaker(engine), asyncio.Lock()):
            self.assertIs(value, runs(value)[0][0][0])

    def test_constant_arguments_are_given_as_they_came(self):
        args, kwargs = (1, "a"), {"b": None}
        give = ArgumentCopier(function).repeatable(args, kwargs)
        self.assertIs(args, give()[0])
        self.assertIs(kwargs, give()[1])

    def test_self_is_though_it_is_a_record(self):
        order, given = Order([]), [1]
        (this, first), _ = ArgumentCopier(method).repeatable((order, given), {})()
        self.assertIs(order, this)
        self.assertIsNot(given, first)

    def test_what_the_caller_says_is(self):
        order = Order([])
        give = ArgumentCopier(function).repeatable((order,), {}, lambda value: value is order)
        self.assertIs(order, give()[0][0])


class TestWhatIsRefused(testtools.TestCase):
    def refused(self, *args, copier=None, **kwargs):
        """Return the text with which it is."""
        give = (copier or ArgumentCopier(function)).repeatable(args, kwargs)
        return str(self.assertRaises(ArgumentNotRepeatable, give))

    def test_what_would_be_used_up_is(self):
        self.assertEqual(
            "function() may be run again, and its argument 'second' is or holds a generator; its first run would use "
            "it up: pass a list",
            self.refused(1, (each for each in "a")),
        )
        for value in (iter([1]), map(str, [1]), zip(), reversed([1]), enumerate("a"), _numbers()):
            self.assertIn("argument 'first' is or holds an iterator", self.refused(value))

    def test_open_files_are(self):
        with tempfile.TemporaryFile() as bare, tempfile.NamedTemporaryFile() as named:
            for value in (bare, named, io.StringIO(), io.BytesIO()):
                self.assertIn("an open file", self.refused(value))

    def test_coroutines_are(self):
        async def work():
            """Never run."""

        value = work()
        self.addCleanup(value.close)
        self.assertIn("a coroutine", self.refused(value))

    def test_mapped_objects_are(self):
        self.assertIn("a mapped object of class Server", self.refused(Server(id=1)))
        self.assertIn("pass its primary key", self.refused(first=[{"a": Server(id=1)}]))
        self.assertIn("a mapped object", self.refused(Order([Server(id=1)])))
        self.assertIn("'self' is or holds a mapped", self.refused(Server(id=1), 1, copier=ArgumentCopier(method)))

    def test_what_belongs_to_a_transaction_is(self):
        engine = create_engine("sqlite://")
        with Session(engine) as session, engine.connect() as connection:
            values = [session, connection, scoped_session(sessionmaker(engine)), session.query(Server)]
            values += [connection.execute(text("SELECT 1")), connection.execute(text("SELECT 1")).scalars()]
            for value in values:
                with self.subTest(type(value).__name__):
                    self.assertIn("'first' is or holds a", self.refused(value))

    def test_what_belongs_to_an_asyncio_transaction_is(self):
        try:
            from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
        except ImportError as missing:
            self.skipTest(str(missing))
        engine = create_async_engine("sqlite+aiosqlite://")
        for value in (AsyncSession(engine), engine.connect()):
            self.assertIn(f"a session, connection or result ({type(value).__name__})", self.refused(value))
        self.assertIs(engine, runs(engine)[0][0][0])

    def test_what_cannot_be_copied_is(self):
        self.assertIn("copy.copy() can't copy", self.refused(Stubborn([1])))

    def test_it_is_named_wherever_it_stands(self):
        for args, kwargs, name in (
            ((1, 2, 3, iter("")), {}, "*rest[1]"),
            ((), {"extra": iter("")}, "extra"),
            (([[iter("")]],), {}, "first"),
        ):
            self.assertIn(f"argument {name!r} is or holds", self.refused(*args, **kwargs))

    def test_a_text_shows_no_value(self):
        self.assertNotIn("secret", self.refused("secret", ["secret", iter("secret")]))


async def _numbers():
    yield 1
