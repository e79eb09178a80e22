"""The sessions of a MySQL or MariaDB database, as whoever drops it must know them.

It stands beside the folder of the product, not in it: who looks after test servers needs it and imports no SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbkit.clock import SYSTEM_CLOCK, Clock

_LOOKS = 10
_PAUSE_S = 0.02
# An unlike case is another name, but where the server makes all names lower; the bytes don't depend on sql_mode.
_QUERY = (
    "SELECT ID, COMMAND, INFO FROM information_schema.PROCESSLIST "
    "WHERE CAST(IF(@@lower_case_table_names, LOWER(DB), DB) AS BINARY) "
    "= CAST(IF(@@lower_case_table_names, LOWER({name}), {name}) AS BINARY)"
)


def sessions_in(
    ask: Callable[[str], Sequence[Sequence[Any]]], database: str, clock: Clock = SYSTEM_CLOCK
) -> Sequence[int]:
    """Return the numbers of the sessions that have a database as theirs.

    While MariaDB looks for a session into all databases, as for ``information_schema.TRIGGERS``, that session shows
    each of them as its own for a moment. So one that executes something is believed only if it shows the same one most
    of the time; and one whose statement may be such a look, only if it does so all the time.

    Source: MariaDB, sql/sql_trigger.cc, ``Table_triggers_list::check_n_load``.

    :param ask: executes a statement and returns its rows.
    """
    query = _QUERY.format(name=f"CONVERT(X'{database.encode().hex()}' USING utf8mb4)")
    idle: set[int] = set()
    seen: dict[int, int] = {}
    before: Mapping[int, bool] = {}
    busy: Mapping[int, bool] = {}
    for look in range(_LOOKS):
        if look > 1:
            clock.sleep(_PAUSE_S)
        before, busy = busy, _busy(ask(query), idle)
        for number, may_look in busy.items():
            seen[number] = seen.get(number, 0) + (1 if may_look else 2)
        if look == 1 and not seen:  # one look may miss a session whose lock another thread has
            break
    still = before.keys() | busy.keys()
    return sorted(idle | {number for number, weight in seen.items() if weight >= _LOOKS and number in still})


def _busy(rows: Sequence[Sequence[Any]], idle: set[int]) -> Mapping[int, bool]:
    """Return for each session at work whether its statement may be a look into all databases; add those at rest."""
    busy = {}
    for number, command, statement in rows:
        if _text(command) == "Sleep":
            idle.add(int(number))
        else:
            words = _text(statement).lower()
            busy[int(number)] = not words or "information_schema" in words or words.startswith("show")
    return busy


def _text(value: Any) -> str:
    """Return what some drivers give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
