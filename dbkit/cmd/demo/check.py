"""The proof: what callers were told, compared with what the database holds, by plain SQL on a plain connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dbkit.cmd.demo.models import PREFIX
from dbkit.cmd.demo.rules import InventoryError
from dbkit.cmd.demo.workload import Answer, Interrupted
from dbkit.exceptions import DBDeadlock, DBDuplicateEntry, DBError

#: What a caller may see: refusals of the inventory, the injected failure, a value that is taken, and a conflict of
#: which too many attempts were made. DBDeadlock has the other conflicts for its subclasses.
EXPECTED = (InventoryError, Interrupted, DBDuplicateEntry, DBDeadlock)

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant, how much was looked at, and what breaks it."""

    invariant: str
    looked_at: int
    broken: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.broken

    def shown(self) -> list[str]:
        """Return the first things that break it, for the screen."""
        more = len(self.broken) - _SHOWN
        return [*self.broken[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def check(connection: Connection, answers: Sequence[Answer], rows: int) -> list[Finding]:
    """Return what was found, an invariant each.

    :param rows: how many floating addresses there were at the beginning.
    """
    writes = [answer for answer in answers if answer.is_write]
    told = {answer.asked.id: answer.changes for answer in writes if answer.changes is not None}
    return [
        _nothing_lost(connection, told),
        _nothing_of_the_failed(connection, told),
        _nothing_half_written(connection, told),
        _quotas(connection),
        _histories(connection),
        _rows(connection, answers, rows),
        _audit(connection, writes),
        _hooks(writes),
        _readers(answers),
        _errors(answers),
    ]


def _nothing_lost(connection: Connection, told: dict[str, int]) -> Finding:
    stored = _journal(connection)
    missing = [f"{each} was answered with success and is not stored" for each in told if not stored[each]]
    twice = [f"{each} is stored {count} times" for each, count in stored.items() if count > 1]
    return Finding("every acknowledged request is stored, once", len(told), (*missing, *twice))


def _nothing_of_the_failed(connection: Connection, told: dict[str, int]) -> Finding:
    stored = _journal(connection)
    return Finding(
        "no failed request is stored",
        len(stored),
        tuple(f"{each} is stored, and its caller was told that it failed" for each in stored if each not in told),
    )


def _nothing_half_written(connection: Connection, told: dict[str, int]) -> Finding:
    stored = _counted(connection, f"SELECT request_id, count(*) FROM {PREFIX}changes GROUP BY request_id")
    return Finding(
        "no request is stored in part",
        stored.total(),
        tuple(
            f"{each} has stored {stored[each]} changes, and its caller was told {told.get(each, 0)}"
            for each in stored.keys() | told.keys()
            if stored[each] != told.get(each, 0)
        ),
    )


def _quotas(connection: Connection) -> Finding:
    counted = f"""
        SELECT i.hostname, q.in_use, q.hard_limit, count(f.id)
        FROM {PREFIX}quotas q
        JOIN {PREFIX}instances i ON i.id = q.instance_id
        LEFT JOIN {PREFIX}fixed_ips x ON x.instance_id = q.instance_id
        LEFT JOIN {PREFIX}floating_ips f ON f.fixed_ip_id = x.id
        GROUP BY i.hostname, q.in_use, q.hard_limit"""
    rows = connection.execute(text(counted)).all()
    return Finding(
        "each quota is the number of addresses in use",
        len(rows),
        tuple(
            f"{host} has {count} addresses; its quota says {in_use} of {limit}"
            for host, in_use, limit, count in rows
            if count != in_use or count > limit
        ),
    )


def _histories(connection: Connection) -> Finding:
    # An address of version n has n changes; each goes on where the one before ended; the last one is what is stored.
    wrong = f"""
        SELECT f.address FROM {PREFIX}floating_ips f
        WHERE f.version <> (SELECT count(*) FROM {PREFIX}changes c WHERE c.floating_ip_id = f.id)
        UNION
        SELECT f.address FROM {PREFIX}floating_ips f JOIN {PREFIX}changes c ON c.floating_ip_id = f.id
        LEFT JOIN {PREFIX}changes p ON p.floating_ip_id = c.floating_ip_id AND p.version = c.version - 1
        WHERE coalesce(c.from_fixed_ip_id, 0) <> coalesce(p.to_fixed_ip_id, 0)
        UNION
        SELECT f.address FROM {PREFIX}floating_ips f
        LEFT JOIN {PREFIX}changes c ON c.floating_ip_id = f.id AND c.version = f.version
        WHERE coalesce(f.fixed_ip_id, 0) <> coalesce(c.to_fixed_ip_id, 0)"""
    return Finding(
        "no update of an address is lost",
        _number(connection, f"SELECT count(*) FROM {PREFIX}changes"),
        tuple(f"the history of {address} does not add up" for (address,) in connection.execute(text(wrong))),
    )


def _rows(connection: Connection, answers: Iterable[Answer], rows: int) -> Finding:
    added = sum(answer.asked.action == "register" and answer.error is None for answer in answers)
    stored = _number(connection, f"SELECT count(*) FROM {PREFIX}floating_ips")
    broken = () if stored == rows + added else (f"{stored} addresses are stored, of {rows} and {added} registered",)
    return Finding("every registered address is there", stored, broken)


def _audit(connection: Connection, writes: Iterable[Answer]) -> Finding:
    stored = _counted(connection, f"SELECT request_id, count(*) FROM {PREFIX}attempts GROUP BY request_id")
    begun = {answer.asked.id: answer.attempts for answer in writes if answer.asked.action == "move"}
    return Finding(
        "every attempt to move is on record, whatever became of it",
        sum(begun.values()),
        tuple(
            f"{each} was begun {begun.get(each, 0)} times, and {stored[each]} are on record"
            for each in stored.keys() | begun.keys()
            if stored[each] != begun.get(each, 0)
        ),
    )


def _hooks(writes: Sequence[Answer]) -> Finding:
    # One for the request and one for each change, if it was committed; none if it was not.
    return Finding(
        "after_commit hooks ran once for what was committed, and for nothing else",
        sum(answer.notifications for answer in writes),
        tuple(
            f"{answer.asked.id}: {answer.notifications} hooks ran"
            for answer in writes
            if answer.notifications != (0 if answer.changes is None else answer.changes + 1)
        ),
    )


def _readers(answers: Iterable[Answer]) -> Finding:
    reads = [answer for answer in answers if not answer.is_write]
    return Finding(
        "no reader saw half a transaction",
        len(reads),
        tuple(f"{answer.asked.id} saw a quota that was not true" for answer in reads if not answer.is_consistent),
    )


def _errors(answers: Iterable[Answer]) -> Finding:
    errors = [each for answer in answers for each in (*answer.conflicts, answer.error) if each is not None]
    untyped = Counter(_named(error) for error in errors if not isinstance(error, EXPECTED))
    return Finding(
        "every error is of an expected class",
        len(errors),
        tuple(f"{error} ({count} times)" for error, count in untyped.items()),
    )


def _named(error: Exception) -> str:
    """Return the error's class, and the text of ours; another's text may hold anything."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, DBError) else name


def _journal(connection: Connection) -> Counter[str]:
    return _counted(connection, f"SELECT id, count(*) FROM {PREFIX}requests GROUP BY id")


def _counted(connection: Connection, statement: str) -> Counter[str]:
    return Counter(dict(connection.execute(text(statement)).tuples().all()))


def _number(connection: Connection, statement: str) -> int:
    return int(connection.execute(text(statement)).scalar_one())
