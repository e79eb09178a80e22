"""The request context: who asks, for which project, and the transactions that are open on his behalf."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbkit import enginefacade

#: The inventory's database. Functions are decorated with its ``writer`` and ``reader`` when their module is imported;
#: ``main_context.configure(connection=...)`` says later, and once, where the database is.
main_context = enginefacade.transaction_context()


@enginefacade.transaction_context_provider
class RequestContext:
    """One request. It is handed from function to function, and carries the open transaction with it.

    :param project_id: the project that asks; it may touch only what belongs to it.
    :param request_id: names the request, and with it its row in the journal.
    """

    # Supplied by the decorator; named here for readers and type checkers. Each is there only while a block is open.
    session: Session
    async_session: AsyncSession

    def __init__(self, project_id: str, request_id: str) -> None:
        self.project_id = project_id
        self.request_id = request_id
        self.notifications: list[str] = []

    def notify(self, event: str) -> None:
        """Tell the outside world. Others act on it, so it is called from ``after_commit`` hooks only."""
        self.notifications.append(event)


def takes_one_writer_at_a_time() -> bool:
    """Return whether an independent writer would have to wait for the writer that it is called from: on SQLite."""
    return main_context.factory.settings.connection.get_backend_name() == "sqlite"
