"""The operation's five forms with SQLAlchemy's Session, as one can write them without dbkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, inspect, select, update
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from benchmarks.bayer.schema import TABLE, FixedIp, FloatingIp
from benchmarks.bayer.variants import BOTH, DEFAULT, FAST_SAVE, PLAIN, PREPARED
from benchmarks.schema import ADDRESSES, ROWS

#: Changes the row of a number in the session of a transaction.
Body = Callable[[Session, int], Any]

_FIND = select(FloatingIp).where(FloatingIp.address == bindparam("address"), FloatingIp.deleted == 0)
_CHANGE = update(TABLE).where(TABLE.c.id == bindparam("key"))


def address_of(number: int) -> str:
    """Return the address that an operation changes."""
    return ADDRESSES[number % ROWS]


def change(found: Any, number: int) -> None:
    """Set the two values."""
    found.host = f"host-{number}"
    found.project_id = f"project-{number}"


def _default(session: Session, number: int) -> FloatingIp:
    eager = joinedload(FloatingIp.fixed_ip).joinedload(FixedIp.instance)
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    found = session.scalars(statement.options(eager)).one()
    change(found, number)
    found.save(session)
    return found


def _plain(session: Session, number: int) -> FloatingIp:
    found = _found(session, number)
    change(found, number)
    found.save(session)
    return found


def _fast_save(session: Session, number: int) -> FloatingIp:
    found = _found(session, number)
    change(found, number)
    save_changes(session, found)
    return found


def _prepared(session: Session, number: int) -> FloatingIp:
    found: FloatingIp = session.scalars(_FIND, {"address": ADDRESSES[number % ROWS]}).one()
    change(found, number)
    found.save(session)
    return found


def _both(session: Session, number: int) -> FloatingIp:
    found: FloatingIp = session.scalars(_FIND, {"address": ADDRESSES[number % ROWS]}).one()
    change(found, number)
    save_changes(session, found)
    return found


def _found(session: Session, number: int) -> FloatingIp:
    statement = select(FloatingIp).where(FloatingIp.address == ADDRESSES[number % ROWS], FloatingIp.deleted == 0)
    return session.scalars(statement).one()


def save_changes(session: Session, found: FloatingIp) -> None:
    """Send one UPDATE of what was changed, by hand: no unit of work, no events, no version."""
    changes = {name: getattr(found, name) for name in inspect(found).committed_state}
    for name, value in changes.items():
        set_committed_value(found, name, value)  # or the statement would be preceded by a flush that does the same
    session.execute(_CHANGE, {"key": found.id, **changes})


BODIES: dict[str, Body] = {
    DEFAULT: _default,
    PLAIN: _plain,
    FAST_SAVE: _fast_save,
    PREPARED: _prepared,
    BOTH: _both,
}
