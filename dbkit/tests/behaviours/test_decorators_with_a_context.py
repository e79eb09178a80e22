"""Functions that are given a context object: how it is found among their arguments."""

from __future__ import annotations

import contextlib

from dbkit.exceptions import InvalidDecoration
from dbkit.tests.behaviours.base import Behaviour, RequestContext, behaviours, on
from dbkit.tests.behaviours.combinations import BLOCKING, BOTH_FACES, Face
from dbkit.tests.behaviours.faces import manager_of
from dbkit.tests.behaviours.tables import Item

CONTEXT = frozenset(each for each in BOTH_FACES if each.face is Face.CONTEXT)


@behaviours(CONTEXT)
class TestFunctionsWithAContext(Behaviour):
    def setUp(self):
        super().setUp()
        self.manager = manager_of(self.db).writer

    def decorated(self, body):
        """Return a body, made a function of the test's colour, as a writer that can be awaited."""
        return self.colour.awaitable(self.manager(self.colour.function(body)))

    async def add(self, context, number):
        self.colour.handle(context, "session").add(Item(id=number))

    async def test_the_context_comes_first_or_by_name(self):
        async def body(context, number, name=None):
            await self.add(context, number)

        call = self.decorated(body)
        await call(RequestContext(), 1)
        await call(RequestContext(), number=2)
        await call(context=RequestContext(), number=3)
        await call(number=4, context=RequestContext())
        self.assertEqual([1, 2, 3, 4], self.stored())

    async def test_its_parameter_may_have_any_name_and_be_positional_only(self):
        async def named(ctxt, number):
            await self.add(ctxt, number)

        async def positional(context, /, number):
            await self.add(context, number)

        await self.decorated(named)(RequestContext(), 1)
        await self.decorated(named)(number=2, ctxt=RequestContext())
        await self.decorated(positional)(RequestContext(), 3)
        self.assertEqual([1, 2, 3], self.stored())

    async def test_a_function_that_takes_anything_takes_its_context_first(self):
        async def body(*args, **kwargs):
            await self.add(args[0], kwargs["number"])

        await self.decorated(body)(RequestContext(), number=1)
        self.assertEqual([1], self.stored())

    async def test_a_context_given_by_name_only(self):
        async def body(*, context, number):
            await self.add(context, number)

        try:
            call = self.decorated(body)
        except InvalidDecoration as refused:
            self.assertIn("comes first", str(refused))
        else:
            await call(context=RequestContext(), number=1)
            self.assertEqual([1], self.stored())

    async def test_in_a_method_it_comes_after_self(self):
        test = self

        class Store:
            @test.manager
            @test.colour.function
            async def add(self, context, number):
                await test.add(context, number)
                return self

            @classmethod
            @test.manager
            @test.colour.function
            async def under(cls, context, number):
                await test.add(context, number)
                return cls

            @test.manager
            @classmethod
            @test.colour.function
            async def over(cls, context, number):
                await test.add(context, number)
                return cls

            @staticmethod
            @test.manager
            @test.colour.function
            async def static(context, number):
                await test.add(context, number)

        store = Store()
        for number, method in enumerate((store.add, Store.under, store.over, Store.static), 1):
            await self.colour.awaitable(method)(RequestContext(), number)
        await self.colour.awaitable(store.add)(number=5, context=RequestContext())
        self.assertEqual([1, 2, 3, 4, 5], self.stored())

    async def test_a_default_context_is_used_when_none_is_given(self):
        default = RequestContext()

        async def body(context=default, number=1):
            await self.add(context, number)

        await self.decorated(body)()
        self.assertEqual([1], self.stored())

    async def test_functions_without_a_parameter_for_it_are_refused(self):
        async def none():
            raise AssertionError("not to be called")

        async def only_self(self):
            raise AssertionError("not to be called")

        for body in (none, only_self):
            error = self.assertRaises(InvalidDecoration, self.decorated, body)
            self.assertIn("context object", str(error))
            self.assertIn("dbkit.Database", str(error))

    @on(CONTEXT & BLOCKING)
    async def test_a_context_manager_spans_the_with_body(self):
        @self.manager
        @contextlib.contextmanager
        def adding(context, number):
            context.session.add(Item(id=number))
            yield context.session

        context = RequestContext()
        with adding(context, 1) as session:
            self.assertIs(session, context.session)
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    @on(CONTEXT & BLOCKING)
    async def test_generator_functions_are_refused(self):
        def rows(context):
            yield 1

        error = self.assertRaises(InvalidDecoration, self.manager, rows)
        self.assertIn("generator", str(error))
