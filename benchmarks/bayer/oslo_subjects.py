"""oslo.db's enginefacade, in its default configuration, in the five forms: what OpenStack's services run today."""

# oslo.db ships no types.
# mypy: disable-error-code="import-untyped,untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

from oslo_db.sqlalchemy import enginefacade

from benchmarks.bayer.bodies import BODIES
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.subjects.subject import Opened


@enginefacade.transaction_context_provider
class Context:
    """What a service passes along."""


def open_enginefacade(place: Place, variant: str) -> Opened:
    """Open it with a decorated function."""
    manager = enginefacade.transaction_context()
    manager.configure(connection=place.text, sqlite_synchronous=False)
    engine = manager.writer.get_engine()
    place.watch(engine)
    engine.dispose()  # it has connected already, before anyone could watch it
    place.fill(engine)
    body = BODIES[variant]

    @manager.writer
    def operation(context: Any, number: int) -> Any:
        return body(context.session, number)

    return Opened({FLOATING_IP_UPDATE: partial(operation, Context())}, engine.dispose)
