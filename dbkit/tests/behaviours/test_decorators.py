"""What can be decorated: functions of every kind, except those whose body would run outside of the block."""

from __future__ import annotations

import contextlib
import functools
import inspect

from dbkit.exceptions import InvalidDecoration
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ASYNCIO, BLOCKING, SQLITE_FILE
from dbkit.tests.behaviours.tables import Item


@behaviours(SQLITE_FILE & BLOCKING)
class TestBlockingFunctions(Behaviour):
    """Of a Database, by the plain decorators."""

    def test_a_function(self):
        @self.db.writer
        def add(number, *, name="no name"):
            """Say what it does."""
            self.db.session.add(Item(id=number, name=name))
            return name

        self.assertEqual("no name", add(1))
        self.assertEqual("two", add(number=2, name="two"))
        self.assertEqual([1, 2], self.stored())
        self.assertEqual("add", add.__name__)
        self.assertEqual("Say what it does.", add.__doc__)
        self.assertEqual(["number", "name"], list(inspect.signature(add).parameters))

    def test_a_function_without_parameters(self):
        @self.db.writer
        def add():
            self.db.session.add(Item(id=1))

        add()
        self.assertEqual([1], self.stored())

    def test_a_function_that_takes_anything(self):
        @self.db.writer
        def add(*numbers, **names):
            self.db.session.add_all([Item(id=number, name=names.get("name")) for number in numbers])

        add(1)
        add(2, name="two")
        self.assertEqual([1, 2], self.stored())

    def test_methods_of_every_kind(self):
        db = self.db

        class Store:
            @db.writer
            def add(self, number):
                db.session.add(Item(id=number))
                return self

            @classmethod
            @db.writer
            def under(cls, number):
                db.session.add(Item(id=number))
                return cls

            @db.writer
            @classmethod
            def over(cls, number):
                db.session.add(Item(id=number))
                return cls

            @staticmethod
            @db.writer
            def static_under(number):
                db.session.add(Item(id=number))

            @db.writer
            @staticmethod
            def static_over(number):
                db.session.add(Item(id=number))

        store = Store()
        self.assertIs(store, store.add(1))
        self.assertIs(Store, Store.under(2))
        self.assertIs(Store, store.over(3))
        Store.static_under(4)
        store.static_over(5)
        self.assertEqual([1, 2, 3, 4, 5], self.stored())

    def test_a_partial_and_a_callable_object(self):
        db = self.db

        def add(number):
            db.session.add(Item(id=number))

        class Adding:
            def __call__(self, number):
                db.session.add(Item(id=number))

        db.writer(functools.partial(add, 1))()
        db.writer(Adding())(2)
        db.writer(lambda: add(3))()
        self.assertEqual([1, 2, 3], self.stored())

    def test_a_context_manager_spans_the_with_body(self):
        @self.db.writer
        @contextlib.contextmanager
        def adding(number):
            self.db.session.add(Item(id=number))
            yield number
            self.db.session.add(Item(id=number + 10))

        with adding(1) as number:
            self.db.session.add(Item(id=number + 1))
            self.assertEqual([], self.stored())
        self.assertEqual([1, 2, 11], self.stored())

    def test_an_error_in_the_with_body_rolls_a_context_manager_back(self):
        @self.db.writer
        @contextlib.contextmanager
        def adding(number):
            self.db.session.add(Item(id=number))
            yield

        def work():
            with adding(1):
                self.db.session.flush()
                raise ValueError

        self.assertRaises(ValueError, work)
        self.assertEqual([], self.stored())

    def test_an_error_that_a_context_manager_handles_is_no_reason_to_roll_back(self):
        @self.db.writer
        @contextlib.contextmanager
        def forgiving(number):
            try:
                yield
            except ValueError:
                self.db.session.add(Item(id=number))

        with forgiving(1):
            raise ValueError
        self.assertEqual([1], self.stored())

    def test_a_decorator_that_wraps_is_seen_through(self):
        def noting(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)

            return wrapper

        @self.db.writer
        @noting
        def add(number):
            self.db.session.add(Item(id=number))

        add(1)
        self.assertEqual([1], self.stored())

    def test_a_function_may_call_itself(self):
        @self.db.writer
        def add(number):
            self.db.session.add(Item(id=number))
            if number:
                add(number - 1)

        add(3)
        self.assertEqual([0, 1, 2, 3], self.stored())

    def test_a_function_may_be_decorated_twice(self):
        @self.db.writer
        @self.db.writer
        def add(number):
            self.db.session.add(Item(id=number))

        add(1)
        self.assertEqual([1], self.stored())

    def test_generator_functions_are_refused(self):
        def rows():
            yield 1

        async def arows():
            yield 1

        class Store:
            def rows(self):
                yield 1

            @classmethod
            def all(cls):
                yield 1

        refused = (rows, arows, Store.rows, Store.__dict__["all"], functools.partial(rows), functools.partial(arows))
        for function in refused:
            for manager in (self.db.writer, self.db.reader):
                error = self.assertRaises(InvalidDecoration, manager, function)
                self.assertIn("generator", str(error))
                self.assertIn("list", str(error))
                self.assertIsInstance(error, TypeError)

    def test_a_generator_behind_a_decorator_that_wraps_it_is_refused(self):
        def rows():
            yield 1

        @functools.wraps(rows)
        def wrapper():
            return rows()

        # a context manager looks the same from outside: what is made of it must still be one
        decorated = self.db.writer(wrapper)
        self.assertRaises((TypeError, InvalidDecoration, AttributeError), self.enter, decorated)

    def enter(self, function):
        with function():
            raise AssertionError("a generator was entered as a context manager")

    def test_a_class_is_refused_with_the_advice_to_decorate_its_methods(self):
        class Store:
            """Its instances would outlive the block."""

        for manager in (self.db.writer, self.db.reader.independent):
            error = self.assertRaises(InvalidDecoration, manager, Store)
            self.assertIn("Store is a class", str(error))
            self.assertIn("decorate its methods", str(error))

    def test_what_is_no_function_is_refused(self):
        for thing in (5, "text", object()):
            error = self.assertRaises(InvalidDecoration, self.db.writer, thing)
            self.assertIn(type(thing).__name__, str(error))


@behaviours(SQLITE_FILE & ASYNCIO)
class TestCoroutineFunctions(Behaviour):
    async def test_a_coroutine_function(self):
        @self.db.writer
        async def add(number, *, name="no name"):
            """Say what it does."""
            self.db.async_session.add(Item(id=number, name=name))
            return name

        self.assertTrue(inspect.iscoroutinefunction(add))
        self.assertEqual("no name", await add(1))
        self.assertEqual("two", await add(number=2, name="two"))
        self.assertEqual([1, 2], self.stored())
        self.assertEqual(("add", "Say what it does."), (add.__name__, add.__doc__))

    async def test_methods_of_every_kind(self):
        db = self.db

        class Store:
            @db.writer
            async def add(self, number):
                db.async_session.add(Item(id=number))
                return self

            @classmethod
            @db.writer
            async def under(cls, number):
                db.async_session.add(Item(id=number))
                return cls

            @db.writer
            @classmethod
            async def over(cls, number):
                db.async_session.add(Item(id=number))
                return cls

            @staticmethod
            @db.writer
            async def static(number):
                db.async_session.add(Item(id=number))

        store = Store()
        self.assertIs(store, await store.add(1))
        self.assertIs(Store, await Store.under(2))
        self.assertIs(Store, await store.over(3))
        await Store.static(4)
        self.assertEqual([1, 2, 3, 4], self.stored())

    async def test_a_partial_and_a_callable_object(self):
        db = self.db

        async def add(number):
            db.async_session.add(Item(id=number))

        class Adding:
            async def __call__(self, number):
                db.async_session.add(Item(id=number))

        await db.writer(functools.partial(add, 1))()
        await db.writer(Adding())(2)
        self.assertEqual([1, 2], self.stored())

    async def test_a_context_manager_spans_the_with_body(self):
        @self.db.writer
        @contextlib.asynccontextmanager
        async def adding(number):
            self.db.async_session.add(Item(id=number))
            yield number
            self.db.async_session.add(Item(id=number + 10))

        async with adding(1) as number:
            self.db.async_session.add(Item(id=number + 1))
            self.assertEqual([], self.stored())
        self.assertEqual([1, 2, 11], self.stored())
        with self.raising(ValueError):
            async with adding(5):
                raise ValueError
        self.assertEqual([1, 2, 11], self.stored())

    async def test_async_generator_functions_are_refused(self):
        async def rows():
            yield 1

        error = self.assertRaises(InvalidDecoration, self.db.reader, rows)
        self.assertIn("generator", str(error))

    async def test_an_awaitable_that_was_never_awaited_opens_nothing(self):
        @self.db.writer
        async def add(number):
            self.db.async_session.add(Item(id=number))

        add(1).close()
        self.assertEqual([], self.stored())
