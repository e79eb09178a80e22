"""A mapped object by hand: what SQLAlchemy's mapping and pool cost, and the driver, before anything is made safe.

Nobody writes this in an application. It has no blocks that join, no errors of its own classes, no COMMIT that is
verified, nobody who listens, no rows that are hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, create_engine, select, update
from sqlalchemy.orm import InstanceState, configure_mappers

from benchmarks.bayer.bodies import address_of, change
from benchmarks.bayer.schema import TABLE, FloatingIp
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.schema import now
from benchmarks.subjects.subject import Opened

_CHANGED = ("host", "project_id", "updated_at")


def open_by_hand(place: Place, variant: str) -> Opened:
    """Open SQLAlchemy's engine, of which only the pool and the dialect are used."""
    engine = create_engine(place.url, pool_reset_on_return=None)
    place.watch(engine)
    place.fill(engine)
    with engine.connect():
        pass  # the dialect asks the server who it is
    dialect, pool = engine.dialect, engine.pool
    find = select(TABLE).where(TABLE.c.address == bindparam("address"), TABLE.c.deleted == 0)
    sought: Any = find.compile(dialect=dialect)
    values = {name: bindparam(f"new_{name}", type_=TABLE.c[name].type) for name in _CHANGED}
    stored: Any = update(TABLE).where(TABLE.c.id == bindparam("key")).values(values).compile(dialect=dialect)
    sought_by, stored_by = _binder(sought), _binder(stored)
    made_of = _maker(sought, dialect)
    begins = place.is_sqlite

    def operation(number: int) -> Any:
        lent = pool.connect()
        try:
            connection: Any = lent.dbapi_connection
            cursor = connection.cursor()
            if begins:
                cursor.execute("BEGIN")
            cursor.execute(sought.string, sought_by({"address": address_of(number)}))
            found = made_of(cursor.fetchone())
            change(found, number)
            values = {f"new_{name}": found.__dict__[name] for name in found._sa_instance_state.committed_state}
            cursor.execute(stored.string, stored_by({**values, "new_updated_at": now(), "key": found.id}))
            connection.commit()
            cursor.close()
        except BaseException:
            lent.invalidate()
            raise
        finally:
            lent.close()
        return found

    return Opened({FLOATING_IP_UPDATE: operation}, engine.dispose)


def _binder(compiled: Any) -> Callable[[dict[str, Any]], Any]:
    fixed = {name: each.value for name, each in compiled.binds.items() if not each.required}
    processors = dict(compiled._bind_processors)

    def bind(values: dict[str, Any]) -> Any:
        values = {**fixed, **values}
        for name, process in processors.items():
            values[name] = process(values[name])
        return tuple(map(values.__getitem__, compiled.positiontup)) if compiled.positional else values

    return bind


def _maker(compiled: Any, dialect: Any) -> Callable[[Any], Any]:
    configure_mappers()
    manager: Any = FloatingIp.__mapper__.class_manager
    new: Any = FloatingIp.__new__
    keys = [each.name for each in compiled._result_columns]
    processed = [
        (each.name, process)
        for each in compiled._result_columns
        if (process := each.type._cached_result_processor(dialect, None)) is not None
    ]

    def make(row: Any) -> Any:
        found = new(FloatingIp)
        values = found.__dict__
        values.update(zip(keys, row, strict=True))
        for name, process in processed:
            values[name] = process(values[name])
        found._sa_instance_state = InstanceState(found, manager)
        return found

    return make
