"""oslo.db's enginefacade: many objects written by the unit of work, and read by the ORM."""

# oslo.db ships no types.
# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import select

from benchmarks.bulk.table import Address
from benchmarks.places import Place


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a service does it.

    :ivar write: stores rows.
    :ivar read: returns how many there are.
    """

    write: Callable[[list[dict[str, Any]]], None]
    read: Callable[[], int]


def ways(place: Place) -> Ways:
    """Return both ways, on an enginefacade of their own."""
    manager = enginefacade.transaction_context()
    manager.configure(connection=place.text, sqlite_synchronous=False)
    engine = manager.writer.get_engine()
    place.watch(engine)
    engine.dispose()  # it has connected already, before anyone could watch it

    def write(rows: list[dict[str, Any]]) -> None:
        with manager.writer.using(Context()) as session:
            session.add_all([Address(**row) for row in rows])

    def read() -> int:
        count = 0
        with manager.reader.using(Context()) as session:
            for _ in session.scalars(select(Address).execution_options(yield_per=1000)):
                count += 1
        return count

    return Ways(write, read)
