"""The sessions of a MySQL or MariaDB database, as whoever drops it must know them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dbkit.clock import SYSTEM_CLOCK, Clock

_LOOKS = 10
_PAUSE_S = 0.02


def sessions_in(
    ask: Callable[[str], Sequence[Sequence[Any]]], database: str, clock: Clock = SYSTEM_CLOCK
) -> Sequence[int]:
    """Return the numbers of the sessions that have a database as theirs.

    While the server fills a table of information_schema, the session that asked shows each database that is looked
    into as its own, for a moment. So one that executes something is only believed if it shows the same one for a while.

    :param ask: executes a statement and returns its rows.
    """
    query = f"SELECT ID, COMMAND FROM information_schema.PROCESSLIST WHERE DB = {_literal(database)}"
    idle: set[int] = set()
    busy: set[int] = set()
    for look in range(_LOOKS):
        if look:
            clock.sleep(_PAUSE_S)
        commands = {int(number): str(command) for number, command in ask(query)}
        idle |= {number for number, command in commands.items() if command == "Sleep"}
        busy = commands.keys() - idle if look == 0 else busy & commands.keys() - idle
        if not busy:
            break
    return sorted(idle | busy)


def _literal(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"
