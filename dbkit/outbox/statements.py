"""The statements of the outbox, in blocking style, each on the connection of an open block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from dbkit.exceptions import DBNonExistentTable
from dbkit.outbox.message import Claimed, Message, Payload, Status, checked_topic, encoded, message_of
from dbkit.outbox.table import ASIDE, DELIVERED, TABLE, WAITING, outbox_table, utc_now
from dbkit.transaction.scope import Scope

P = ParamSpec("P")
R = TypeVar("R")

_TABLE = outbox_table(sa.MetaData())
_MESSAGE = (
    _TABLE.c.message_id, _TABLE.c.topic, _TABLE.c.payload, _TABLE.c.body, _TABLE.c.attempts, _TABLE.c.created_at,
    _TABLE.c.error,
)  # fmt: skip

_LONGEST_ERROR = 255

# inline: nothing is asked back, so that a transaction that is repeated need not get the same numbers again
_INSERT = _TABLE.insert().inline()

_SENT = {"state": WAITING, "attempts": 0, "created_at": utc_now(), "available_at": utc_now()}


@dataclass(frozen=True, slots=True)
class Failure:
    """A message whose handler has raised.

    :param wait_s: seconds from its claim until it is tried again; None if it is set aside.
    """

    claimed: Claimed
    error: BaseException
    wait_s: float | None


def _hinting(work: Callable[Concatenate[Scope, P], R]) -> Callable[Concatenate[Scope, P], R]:
    """Let the error for a missing table say how to make it."""

    @functools.wraps(work)
    def hinting(scope: Scope, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(scope, *args, **kwargs)
        except DBNonExistentTable as error:
            error.add_note(
                f"dbkit: messages are kept in the table {TABLE}; create it with outbox.create_table() or in a "
                "migration (dbkit.outbox.create_outbox_table)"
            )
            raise

    return hinting


@_hinting
def send(scope: Scope, what: str, topic: str, payloads: Iterable[Payload]) -> list[str]:
    """Write messages; return their ids."""
    connection = scope.lend(what)
    transaction = scope.physical()
    topic = checked_topic(topic)
    rows: list[dict[str, Any]] = []
    for payload in payloads:
        text, body = encoded(payload)
        unique, number = transaction.stamp()
        rows.append({"message_id": f"{unique}-{number}", "topic": topic, "payload": text, "body": body})
    if rows:
        connection.execute(_INSERT.values(_SENT), rows if len(rows) > 1 else rows[0])
    return [row["message_id"] for row in rows]


@_hinting
def claim(scope: Scope, limit: int) -> list[Claimed]:
    """Lock the oldest messages whose time has come and that nobody else has locked."""
    statement = (
        sa.select(_TABLE.c.id, utc_now().label("now"), *_MESSAGE)
        .where(_TABLE.c.state == WAITING, _TABLE.c.available_at <= utc_now())
        .order_by(_TABLE.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [Claimed(row.id, row.now, message_of(row)) for row in scope.lend("deliver").execute(statement)]


def settle(scope: Scope, delivered: Sequence[Claimed], failures: Sequence[Failure], keeps: bool) -> None:
    """Write down what became of messages that this transaction has locked."""
    connection = scope.lend("deliver")
    if delivered:
        here = _TABLE.c.id.in_([each.number for each in delivered])
        done = {"state": DELIVERED, "delivered_at": utc_now()}
        connection.execute(_TABLE.update().where(here).values(done) if keeps else _TABLE.delete().where(here))
    for failure in failures:
        number, values = failure.claimed.number, _failed(failure)
        connection.execute(_TABLE.update().where(_TABLE.c.id == number, _TABLE.c.state == WAITING).values(values))


def _failed(failure: Failure) -> Mapping[str, Any]:
    kind = type(failure.error)
    values = {
        "attempts": failure.claimed.message.attempts + 1,
        "error": f"{kind.__module__}.{kind.__qualname__}"[:_LONGEST_ERROR],  # no text: it may quote what is private
    }
    if failure.wait_s is None:
        return {**values, "state": ASIDE}
    return {**values, "available_at": _after(failure.claimed.now, failure.wait_s)}


def _after(moment: datetime, seconds: float) -> datetime:
    return (moment + timedelta(seconds=seconds)).replace(microsecond=0)


@_hinting
def read_aside(scope: Scope, limit: int) -> list[Message]:
    """Return the oldest messages that were set aside."""
    statement = sa.select(*_MESSAGE).where(_TABLE.c.state == ASIDE).order_by(_TABLE.c.id).limit(limit)
    return [message_of(row) for row in scope.lend("set_aside").execute(statement)]


@_hinting
def resume(scope: Scope, ids: Sequence[str]) -> int:
    """Let messages that were set aside be tried again as new ones; all if no ids are given."""
    change = _TABLE.update().where(_TABLE.c.state == ASIDE)
    if ids:
        change = change.where(_TABLE.c.message_id.in_(ids))
    done = scope.lend("resume").execute(change.values(state=WAITING, attempts=0, available_at=utc_now()))
    count: int = done.rowcount
    return count


@_hinting
def purge(scope: Scope, older_than_s: float, limit: int) -> int:
    """Remove the oldest of the delivered messages that were kept."""
    connection = scope.lend("purge")
    now = connection.execute(sa.select(utc_now())).scalar_one()
    old = sa.and_(_TABLE.c.state == DELIVERED, _TABLE.c.delivered_at <= _after(now, -older_than_s))
    numbers = connection.execute(sa.select(_TABLE.c.id).where(old).order_by(_TABLE.c.id).limit(limit)).scalars().all()
    if numbers:
        connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(numbers)))
    return len(numbers)


@_hinting
def status(scope: Scope) -> Status:
    """Count the messages."""
    counting = sa.select(_TABLE.c.state, sa.func.count(), sa.func.min(_TABLE.c.created_at), utc_now())
    found = {row[0]: row for row in scope.lend("status").execute(counting.group_by(_TABLE.c.state))}
    count = {state: int(row[1]) for state, row in found.items()}
    waiting = found.get(WAITING)
    oldest = None if waiting is None else max(0.0, (waiting[3] - waiting[2]).total_seconds())
    return Status(count.get(WAITING, 0), count.get(ASIDE, 0), count.get(DELIVERED, 0), oldest)
