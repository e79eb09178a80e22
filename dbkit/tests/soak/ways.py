"""Ways to run a writer: with dbkit's protections, with a retry that one writes by hand, with oslo.db's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.engine import URL

from dbkit.exceptions import CommitUnknown, DBConnectionError, DBDeadlock

Call = Callable[..., Awaitable[Any]]

_LEVELS = {"serializable": "SERIALIZABLE", "read_committed": "READ COMMITTED"}


def protected(manager: Any, protections: Sequence[str]) -> Any:
    """Return a writer with protections, and a level of isolation, by their names."""
    for name in protections:
        if name == "retrying":
            manager = manager.retrying(-1, interval_s=0.01, max_interval_s=0.2)
        elif name in _LEVELS:
            manager = manager.isolation(_LEVELS[name])
        else:
            manager = getattr(manager, name)
    return manager


def by_hand(call: Call) -> Call:
    """Return a call that is repeated until it succeeds, as one writes it who takes a lost reply for a failure."""

    async def again(*args: Any) -> Any:
        while True:
            try:
                return await call(*args)
            except (DBConnectionError, DBDeadlock, CommitUnknown):
                continue

    return again


def by_oslo_db(url: URL, body: Callable[[Any, int], None]) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return oslo.db's writer under oslo.db's retry, as its documentation shows it, and what closes it.

    :param body: takes a session and a number.
    """
    from oslo_db import api
    from oslo_db.sqlalchemy import enginefacade

    manager = enginefacade.transaction_context()
    manager.configure(connection=url.render_as_string(hide_password=False), max_retries=2, retry_interval=1)

    @enginefacade.transaction_context_provider
    class Context:
        """What its functions take first."""

    # the wait is short, and the rest is what its users write
    @api.wrap_db_retry(
        max_retries=100, retry_interval=0.01, inc_retry_interval=False, retry_on_deadlock=True, retry_on_disconnect=True
    )
    @manager.writer
    def run(context: Any, number: int) -> None:
        body(context.session, number)

    return (lambda number: run(Context(), number)), manager.dispose_pool
