"""oslo.db's enginefacade: objects of the ORM in a reader."""

# oslo.db ships no types.
# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import select

from benchmarks.bayer.schema import FloatingIp
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_name, checked, key_of
from benchmarks.subjects.subject import Opened


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


def open_enginefacade(place: Place) -> Opened:
    """Open it with decorated functions."""
    manager = enginefacade.transaction_context()
    manager.configure(connection=place.text, sqlite_synchronous=False)
    engine = manager.writer.get_engine()
    place.watch(engine)
    engine.dispose()  # it has connected already, before anyone could watch it
    place.fill(engine)

    @manager.reader
    def many(context: Any, number: int) -> Any:
        return context.session.scalars(select(FloatingIp).where(FloatingIp.deleted == 0)).all()

    @manager.reader
    def one(context: Any, number: int) -> Any:
        statement = select(FloatingIp).where(FloatingIp.id == key_of(number, place.rows), FloatingIp.deleted == 0)
        return context.session.scalars(statement).one()

    context = Context()
    operations = {MANY: partial(many, context), ONE: partial(one, context)}
    return checked(Opened(operations, engine.dispose), place.rows, by_name)
