"""Behaviours of the outbox: its table stands beside the others, and its methods are called alike in both colours."""

from __future__ import annotations

from functools import cache
from typing import Any

from dbkit.outbox import Outbox, create_outbox_table
from dbkit.tests.behaviours.base import Behaviour
from dbkit.tests.behaviours.places import Place


@cache
def _prepare(place: Place) -> None:
    with place.observer.connect() as connection:
        create_outbox_table(connection)


class OutboxBehaviour(Behaviour):
    """A behaviour with an outbox whose failures are tried again at once."""

    def setUp(self) -> None:
        super().setUp()
        _prepare(self.place)
        self.place.do("DELETE FROM dbkit_outbox")
        self.seen: list[Any] = []
        self.outbox = self.outbox_of()

    def outbox_of(self, database: Any = None, **arguments: Any) -> Outbox:
        """Return an outbox of the test's database, or of another one."""
        return Outbox(self.db if database is None else database, **{"backoff_s": 0, **arguments})

    async def call(self, name: str, *args: Any, outbox: Outbox | None = None, **kwargs: Any) -> Any:
        """Call a method of the outbox in the colour of the test."""
        owner = self.outbox if outbox is None else outbox
        if self.is_asyncio:
            return await getattr(owner, f"a{name}")(*args, **kwargs)
        return getattr(owner, name)(*args, **kwargs)

    async def send(self, *payloads: Any) -> list[str]:
        """Send messages in a block of their own."""
        async with self.writer():
            ids: list[str] = await self.call("send_all", "topic", payloads, context=self.context)
            return ids

    @property
    def context(self) -> Any:
        """The context object, where the face has one."""
        return getattr(self.face, "context", None)

    def see(self, message: Any) -> None:
        """Be a handler that notes the payload."""
        self.seen.append(message.payload)

    def handler(self, body: Any) -> Any:
        """Return a body as a handler of the test's colour."""
        return self.colour.function(body)

    def waiting(self) -> list[str]:
        """Return the ids of the messages that wait, as another client sees them."""
        return self.place.ask("SELECT message_id FROM dbkit_outbox WHERE state = 'waiting' ORDER BY id")
