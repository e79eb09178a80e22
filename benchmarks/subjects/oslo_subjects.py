"""oslo.db's enginefacade, by Session, in its default configuration."""

# oslo.db ships no types.
# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

from oslo_db.sqlalchemy import enginefacade

from benchmarks import scenarios as names
from benchmarks import schema
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


def open_enginefacade(place: Place) -> Opened:
    """Open it with decorated functions."""
    manager = enginefacade.transaction_context()
    manager.configure(connection=place.text, sqlite_synchronous=False)
    context: Any = Context()
    engine = manager.writer.get_engine()
    place.watch(engine)
    engine.dispose()  # it has connected already, before anyone could watch it
    place.fill(engine)

    @manager.writer
    def empty_writer(context: Any, number: int) -> None:
        pass

    @manager.reader
    def empty_reader(context: Any, number: int) -> None:
        pass

    @manager.writer
    def select_writer(context: Any, number: int) -> Any:
        return schema.select_one(context.session)

    @manager.reader
    def select_reader(context: Any, number: int) -> Any:
        return schema.select_one(context.session)

    @manager.writer
    def nested_empty(context: Any, number: int) -> None:
        middle_empty(context, number)

    @manager.writer
    def middle_empty(context: Any, number: int) -> None:
        empty_writer(context, number)

    @manager.writer
    def nested_select(context: Any, number: int) -> Any:
        return middle_select(context, number)

    @manager.writer
    def middle_select(context: Any, number: int) -> Any:
        return select_writer(context, number)

    @manager.writer
    def update(context: Any, number: int) -> None:
        schema.update_by_key(context.session, number)

    @manager.writer
    def floating_ip_update(context: Any, number: int) -> Any:
        return schema.floating_ip_update(context.session, number)

    return Opened(
        {
            names.EMPTY_WRITER: partial(empty_writer, context),
            names.EMPTY_READER: partial(empty_reader, context),
            names.SELECT_WRITER: partial(select_writer, context),
            names.SELECT_READER: partial(select_reader, context),
            names.NESTED_EMPTY: partial(nested_empty, context),
            names.NESTED_SELECT: partial(nested_select, context),
            names.UPDATE: partial(update, context),
            names.FLOATING_IP_UPDATE: partial(floating_ip_update, context),
        },
        engine.dispose,
    )
