"""The outbox: its faces, blocking and asyncio."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from dbkit.ambient import innermost
from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.exceptions import DBReadOnly, InvalidSetting, NoTransaction, UsageError
from dbkit.outbox import statements
from dbkit.outbox.colours import ASYNCIO_STEPS, BLOCKING_STEPS, Handler, Steps
from dbkit.outbox.delivery import Deliverer, Policy, inside
from dbkit.outbox.message import Delivery, Message, Payload, Status
from dbkit.outbox.table import create_outbox_table
from dbkit.plan import Plan, adrive, drive
from dbkit.spec import Colour, Mode, TransactionSpec
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.manager import Databased
from dbkit.transaction.provider import key_of
from dbkit.transaction.scope import Scope, find

T = TypeVar("T")

_WRITER = TransactionSpec(mode=Mode.WRITER)
_READER = TransactionSpec(mode=Mode.READER)

_PURGED_AT_ONCE = 1000


class Outbox:
    """Messages in a table of a database, sent by its transactions and delivered after them.

    :param database: a ``Database``, or a manager of ``enginefacade``.
    :param max_attempts: a handler that has failed so often with a message has it set aside.
    :param backoff_s: seconds before a failed message is tried again, doubled after each failure.
    :param max_backoff_s: seconds that no such wait exceeds.
    :param keeps_delivered: delivered messages are marked, and removed by :meth:`purge`; otherwise they are removed.
    :raises InvalidSetting: a number is out of bounds.
    :raises UsageError: that is no database.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        database: Databased,
        *,
        max_attempts: int = 10,
        backoff_s: float = 1.0,
        max_backoff_s: float = 3600.0,
        keeps_delivered: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not isinstance(database, Databased):
            raise UsageError(
                "an outbox belongs to a dbkit.Database, or to a reader or writer of enginefacade; an object of class "
                f"{type(database).__name__} was given"
            )
        _at_least("max_attempts", max_attempts, 1)
        _at_least("backoff_s", backoff_s, 0)
        _at_least("max_backoff_s", max_backoff_s, 0)
        self._database = database
        self._policy = Policy(max_attempts, backoff_s, max_backoff_s)
        self._keeps = keeps_delivered
        self._clock = clock

    @property
    def _factory(self) -> Factory:
        return self._database.factory  # each time anew: a test may have put another one in

    # -- the table ----------------------------------------------------------------------------------------------------

    def create_table(self) -> None:
        """Create the table if it is not there."""
        self._create(Colour.BLOCKING)

    async def acreate_table(self) -> None:
        """Create the table if it is not there."""
        await in_task(partial(self._create, Colour.ASYNCIO))

    def _create(self, colour: Colour) -> None:
        with self._factory.lane(True, colour).engine.begin() as connection:
            create_outbox_table(connection)

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, topic: str, payload: Payload, *, context: object = None) -> str:
        """Write a message in the transaction of the open writer block; return its id.

        :param payload: what JSON can hold, or ``bytes``.
        :param context: the context object whose block is meant, where the code passes one along.
        :raises NoTransaction: no block is open.
        :raises DBReadOnly: the open block is a reader.
        :raises UsageError: the topic or the payload is not what it must be.
        """
        return self.send_all(topic, (payload,), context=context)[0]

    async def asend(self, topic: str, payload: Payload, *, context: object = None) -> str:
        """Write a message in the transaction of the open asyncio block; as :meth:`send`."""
        return (await self.asend_all(topic, (payload,), context=context))[0]

    def send_all(self, topic: str, payloads: Iterable[Payload], *, context: object = None) -> list[str]:
        """Write messages in their order, with one statement; return their ids; raises as :meth:`send`."""
        return statements.send(self._writer(context), "send", topic, payloads)

    async def asend_all(self, topic: str, payloads: Iterable[Payload], *, context: object = None) -> list[str]:
        """Write messages in their order, with one statement; return their ids; raises as :meth:`send`."""
        return await in_task(partial(statements.send, self._writer(context), "asend", topic, payloads))

    def _writer(self, context: object) -> Scope:
        factory = self._factory
        scope = find(innermost(), factory if context is None else key_of(context), factory)
        if scope is None:
            raise NoTransaction(
                "a message is sent by a transaction, and no block of this outbox's database is open here; send it in a "
                "function decorated with a writer, or inside a writer's with block" + ("" if context else _PASS_CONTEXT)
            )
        if scope.spec.mode is not Mode.WRITER:
            raise DBReadOnly(
                message="a reader block cannot send a message, which is a row that is written; make the function a "
                "writer"
            )
        return scope

    # -- delivering ---------------------------------------------------------------------------------------------------

    def deliver(self, handler: Handler, *, limit: int = 20) -> Delivery:
        """Hand the oldest messages whose time has come to a handler, one after the other, in one transaction.

        Messages that another deliverer has in hand are left to it. The handler is inside a writer block of the
        database: what it writes there is stored together with the end of the message, or undone if it raises.

        :param limit: how many messages at most.
        :raises DBError: the transaction failed: all that it delivered is delivered again, under the same ids.
        :raises UsageError: the handler is a coroutine function.
        """
        return drive(self._deliverer(BLOCKING_STEPS, handler, limit).delivering())

    async def adeliver(self, handler: Handler, *, limit: int = 20) -> Delivery:
        """Do the same in asyncio; the handler may be a coroutine function."""
        return await adrive(self._deliverer(ASYNCIO_STEPS, handler, limit).delivering())

    def run(
        self,
        handler: Handler,
        *,
        poll_s: float = 1.0,
        limit: int = 20,
        until: Callable[[], object] | None = None,
    ) -> None:
        """Deliver until told to end.

        A database that is out of reach for some time is waited for. What does not pass by itself is raised.

        :param poll_s: seconds between two looks at a table with nothing to deliver.
        :param limit: how many messages a transaction delivers at most.
        :param until: asked before each transaction and each wait; when what it returns is true, this returns.
        :raises DBError: an error that will not pass.
        """
        drive(self._deliverer(BLOCKING_STEPS, handler, limit).running(_checked_poll(poll_s), until))

    async def arun(
        self,
        handler: Handler,
        *,
        poll_s: float = 1.0,
        limit: int = 20,
        until: Callable[[], object] | None = None,
    ) -> None:
        """Do the same in asyncio; the handler may be a coroutine function."""
        await adrive(self._deliverer(ASYNCIO_STEPS, handler, limit).running(_checked_poll(poll_s), until))

    def _deliverer(self, steps: Steps, handler: Handler, limit: int) -> Deliverer:
        _at_least("limit", limit, 1)
        return Deliverer(self._factory, steps, handler, self._policy, self._clock, limit=limit, keeps=self._keeps)

    # -- looking after it ---------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return how many messages there are of each kind, and how old the oldest is that waits."""
        return drive(self._doing(BLOCKING_STEPS, _READER, statements.status))

    async def astatus(self) -> Status:
        """Return how many messages there are of each kind, and how old the oldest is that waits."""
        return await adrive(self._doing(ASYNCIO_STEPS, _READER, statements.status))

    def set_aside(self, *, limit: int = 100) -> list[Message]:
        """Return the messages that were set aside, oldest first."""
        return drive(self._doing(BLOCKING_STEPS, _READER, statements.read_aside, limit))

    async def aset_aside(self, *, limit: int = 100) -> list[Message]:
        """Return the messages that were set aside, oldest first."""
        return await adrive(self._doing(ASYNCIO_STEPS, _READER, statements.read_aside, limit))

    def resume(self, *ids: str) -> int:
        """Let messages that were set aside be tried again, all of them if no id is given; return how many."""
        return drive(self._doing(BLOCKING_STEPS, _WRITER, statements.resume, ids))

    async def aresume(self, *ids: str) -> int:
        """Let messages that were set aside be tried again, all of them if no id is given; return how many."""
        return await adrive(self._doing(ASYNCIO_STEPS, _WRITER, statements.resume, ids))

    def purge(self, *, older_than_s: float = 0.0) -> int:
        """Remove delivered messages that were kept, a thousand in each transaction; return how many."""
        return drive(self._purging(BLOCKING_STEPS, older_than_s))

    async def apurge(self, *, older_than_s: float = 0.0) -> int:
        """Remove delivered messages that were kept, a thousand in each transaction; return how many."""
        return await adrive(self._purging(ASYNCIO_STEPS, older_than_s))

    def _doing(self, steps: Steps, spec: TransactionSpec, work: Callable[..., T], *arguments: Any) -> Plan[T]:
        """Plan: do one piece of work in a block."""

        def body(scope: Scope) -> Plan[T]:
            result: T = yield partial(steps.work, partial(work, scope, *arguments))
            return result

        return inside(steps, self._factory, spec, body)

    def _purging(self, steps: Steps, older_than_s: float) -> Plan[int]:
        _at_least("older_than_s", older_than_s, 0)
        removed = 0
        while True:
            count = yield from self._doing(steps, _WRITER, statements.purge, older_than_s, _PURGED_AT_ONCE)
            removed += count
            if count < _PURGED_AT_ONCE:
                return removed


_PASS_CONTEXT = "; where a context object is passed along, give it as context="


def _at_least(name: str, value: float, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise InvalidSetting(f"{name} is a number, at least {least}; it is {value!r}")


def _checked_poll(poll_s: float) -> float:
    _at_least("poll_s", poll_s, 0)
    return poll_s
