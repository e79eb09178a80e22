"""Context objects: what carries a transaction from call to call, and what does not."""

from __future__ import annotations

import copy
import pickle

from dbkit import enginefacade
from dbkit.exceptions import InvalidContext, NoTransaction
from dbkit.tests.behaviours.base import Behaviour, RequestContext, behaviours, on
from dbkit.tests.behaviours.combinations import BOTH_FACES, EVERY_FACE, Face, Product
from dbkit.tests.behaviours.faces import manager_of
from dbkit.tests.behaviours.tables import Audit, Item

CONTEXTS = frozenset(each for each in EVERY_FACE if each.face is Face.CONTEXT)
SERVER_CONTEXTS = frozenset(each for each in CONTEXTS if each.product is Product.POSTGRESQL)


class Plain:
    """An object that nobody has prepared for dbkit."""


class Slotted:
    """An object that takes no attributes."""

    __slots__ = ()


class Prepared:
    """One that makes room for dbkit."""

    __slots__ = ("_dbkit_key",)


class Falsy(RequestContext):
    """A context that is empty, and so false."""

    def __len__(self):
        return 0


@behaviours(CONTEXTS)
class TestContexts(Behaviour):
    def opener(self, context):
        """Return the writer of another context object."""
        return self.face_of(self.db, context).writer

    async def joins(self, context):
        """Return whether a writer of that context takes part in the open one of this test's context."""
        async with self.writer() as outer:
            async with self.opener(context)() as inner:
                return outer.sync_session is inner.sync_session

    async def test_a_copy_joins(self):
        async with self.writer():
            pass
        for duplicate in (copy.copy(self.face.context), copy.deepcopy(self.face.context)):
            self.assertTrue(await self.joins(duplicate))

    async def test_a_copy_made_inside_the_block_joins(self):
        async with self.writer() as outer:
            async with self.opener(copy.deepcopy(self.face.context))() as inner:
                self.assertIs(outer.sync_session, inner.sync_session)

    async def test_a_pickled_one_does_not_join(self):
        async with self.writer():
            pass
        self.assertFalse(await self.joins(pickle.loads(pickle.dumps(self.face.context))))

    async def test_another_object_does_not_join(self):
        self.assertFalse(await self.joins(RequestContext()))

    @on(SERVER_CONTEXTS)
    async def test_two_contexts_have_transactions_of_their_own(self):
        with self.raising(ValueError):
            async with self.writer() as outer:
                outer.add(Item(id=1))
                await outer.flush()
                async with self.opener(RequestContext())() as other:
                    other.add(Audit(id=1))
                raise ValueError
        self.assertEqual(([], [1]), (self.stored(), self.stored(Audit)))

    @on(SERVER_CONTEXTS)
    async def test_the_nearest_block_of_each_context_is_its_own(self):
        other = self.face_of(self.db, RequestContext())
        async with self.writer() as first:
            async with other.writer() as second:
                self.assertIs(first.sync_session, self.session.sync_session)
                self.assertIs(second.sync_session, other.handle("session").sync_session)
                async with self.writer() as third:
                    self.assertIs(first.sync_session, third.sync_session)
            with self.raising(NoTransaction):
                other.handle("session")

    async def test_any_object_may_be_a_context(self):
        async with self.opener(Plain())() as session:
            session.add(Item(id=1))
        async with self.opener(Prepared())() as session:
            session.add(Item(id=2))
        self.assertEqual([1, 2], self.stored())

    async def test_one_that_is_false_is_a_context_too(self):
        context = Falsy()
        manager = manager_of(self.db).writer

        async def body(context):
            context_face = self.face_of(self.db, context)
            context_face.handle("session").add(Item(id=1))

        add = self.colour.awaitable(manager(self.colour.function(body)))
        await add(context=context)
        self.assertEqual([1], self.stored())

    async def test_an_object_that_takes_no_attributes_is_refused_with_what_to_do(self):
        for unfit in (Slotted(), 5, "text", None, object()):
            with self.raising(InvalidContext) as caught:
                self.opener(unfit).block() if unfit is not None else manager_of(self.db).writer.using(None)
            self.assertIn(type(unfit).__name__, str(caught.error))
            self.assertIn("dbkit.Database", str(caught.error))
            self.assertIsInstance(caught.error, TypeError)

    async def test_a_function_called_with_an_unfit_context_is_refused_before_it_runs(self):
        ran = []

        async def body(context):
            ran.append(context)

        call = self.colour.awaitable(manager_of(self.db).writer(self.colour.function(body)))
        await self.raises(InvalidContext, call, 5)
        self.assertEqual([], ran)

    async def test_a_function_called_without_its_context_is_refused_like_any_call(self):
        async def body(context, number=None):
            raise AssertionError("not to be called")

        call = self.colour.awaitable(manager_of(self.db).writer(self.colour.function(body)))
        error = await self.raises(TypeError, call)
        self.assertIn("'context'", str(error))

    async def test_the_attributes_say_who_lacks_the_block(self):
        for name in ("session", "connection", "async_session", "async_connection", "transaction_ctx"):
            context = RequestContext()
            with self.raising(NoTransaction) as caught:
                getattr(context, name)
            self.assertIn("RequestContext", str(caught.error))
            self.assertIn(repr(name), str(caught.error))
            self.assertIsNone(getattr(context, name, None))

    async def test_a_class_that_is_not_decorated_is_named_by_the_error_about_its_attribute(self):
        for name in ("session", "async_session", "connection"):

            async def body(context, name=name):
                getattr(context, name)

            write = self.colour.awaitable(manager_of(self.db).writer(self.colour.function(body)))
            context = Plain()
            error = await self.raises(AttributeError, write, context)
            self.assertEqual(1, len(error.__notes__))
            self.assertIn("Plain", error.__notes__[0])
            self.assertIn("@enginefacade.transaction_context_provider", error.__notes__[0])
            with self.raising(AttributeError) as caught:
                async with self.opener(context)():
                    await write(context)  # it passes two blocks, and is told once
            self.assertEqual(1, len(caught.error.__notes__))

    async def test_other_attribute_errors_stay_as_they_are(self):
        for thing, name in ((Plain(), "session"), (self.face.context, "sesion"), (None, "session")):
            with self.raising(AttributeError) as caught:
                async with self.writer():
                    getattr(thing, name)
            self.assertFalse(hasattr(caught.error, "__notes__"))

    async def test_the_transaction_itself_takes_hooks(self):
        calls = []
        async with self.writer():
            self.face.context.transaction_ctx.after_commit(lambda: calls.append("committed"))
        self.assertEqual(["committed"], calls)


@behaviours(BOTH_FACES)
class TestSeveralManagers(Behaviour):
    """Blocks of two databases nest without meeting, also for the same context object."""

    def setUp(self):
        super().setUp()
        self.second = self.database()

    async def test_each_has_a_transaction_of_its_own(self):
        context = getattr(self.face, "context", None)
        other = self.face_of(self.second, context)
        async with self.writer() as first:
            async with other.reader() as second:
                self.assertIsNot(first.sync_session, second.sync_session)
                async with self.writer() as third:
                    self.assertIs(first.sync_session, third.sync_session)
            first.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_a_writer_of_one_may_run_inside_a_reader_of_the_other(self):
        other = self.face_of(self.second, getattr(self.face, "context", None))
        async with other.reader() as reading:
            await reading.connection()
            async with self.writer() as session:
                session.add(Item(id=1))
        self.assertEqual([1], self.stored())

    async def test_transaction_context_gives_a_manager_of_its_own(self):
        manager = enginefacade.transaction_context()
        url = self.place.url(self.combination.driver)
        manager.configure(connection=str(url), max_retries=0)
        context = RequestContext()
        async with self.colour.block(manager.writer.using(context)) as session:
            session.add(Item(id=1))
        self.assertEqual([1], self.stored())
        self.assertTrue(manager.is_started)
        self.assertFalse(enginefacade.writer.is_started)
        if self.is_asyncio:
            await manager.dispose_pool_async()
        else:
            manager.dispose_pool()
