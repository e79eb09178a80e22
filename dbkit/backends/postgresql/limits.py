"""How PostgreSQL is told of a deadline, and how its connections are cut off."""

from __future__ import annotations

from typing import Any

from dbkit.backends.cord import Cord, socket_cord, transport_cord
from dbkit.backends.limits import milliseconds, run

# What it is told ends with the transaction, and with a savepoint that is rolled back. A timeout of the session's own is
# kept where it is shorter; 0 means that there is none.
_OWN = "nullif(extract(epoch FROM current_setting('{name}')::interval) * 1000, 0) AS {name}"
_SET = "set_config('{name}', least({name}, {ms})::int8::text, true)"
_GIVEN = "coalesce({name}, 0)::int8"
_EACH = ("statement_timeout", "lock_timeout")
_WHOLE = "transaction_timeout"
_WHOLE_SINCE = (17,)
# It ends the session; the statement's own timeout shall come first.
_GRACE_MS = 250
# Each statement may take as long as was told. It is told anew when less than this part of it is left.
_WORTH_TELLING = 0.5


def _telling(mark: str, whole: bool) -> str:
    """Return the statement that asks for the session's own timeouts and sets those of the transaction."""
    asked = [_GIVEN.format(name=name) for name in _EACH]
    asked += [_SET.format(name=name, ms="ms") for name in _EACH]
    own = [f"{mark}::text::float8 AS ms", *(_OWN.format(name=name) for name in _EACH)]
    if whole:
        asked.append(_SET.format(name=_WHOLE, ms=f"ms + {_GRACE_MS}"))
        own.append(_OWN.format(name=_WHOLE))
    return f"SELECT {', '.join(asked)} FROM (SELECT {', '.join(own)} OFFSET 0) AS own"


class PostgreSQLLimits:
    """Timeouts that end with the transaction; told with its first statement, and again as the time shortens."""

    needs_transaction = True

    def __init__(self, driver: str, version: tuple[int, ...] | None, whole: bool) -> None:
        self._is_asyncpg = driver == "asyncpg"
        self._whole = whole and version is not None and version >= _WHOLE_SINCE
        self._told_s = float("inf")
        self._given: tuple[int, ...] | None = None

    def taken(self, connection: Any, left_s: float) -> None:
        """BEGIN goes with the first statement, and so does what is told."""

    def sending(self, connection: Any, statement: str, is_many: bool, left_s: float) -> str:
        """Tell the server how long it has, if it does not know well enough."""
        if statement.startswith("ROLLBACK TO"):
            self._told_s = float("inf")  # perhaps what was told is rolled back too
        elif left_s <= self._told_s * _WORTH_TELLING:
            self._tell(connection, milliseconds(left_s))
            self._told_s = left_s
        return statement

    def _tell(self, connection: Any, told: int) -> None:
        if self._given is None:
            mark = "$1" if self._is_asyncpg else "%s"
            row = run(connection, _telling(mark, self._whole), (str(told),))
            self._given = tuple(int(each) for each in row[: len(_EACH)])
        else:
            self._set(connection, [min(each or told, told) for each in self._given])

    def _set(self, connection: Any, values: list[int]) -> None:
        marks = [f"${number + 1}::text" if self._is_asyncpg else "%s" for number in range(len(_EACH))]
        each = (f"set_config('{name}', {mark}, true)" for name, mark in zip(_EACH, marks, strict=True))
        run(connection, f"SELECT {', '.join(each)}", tuple(map(str, values)))

    def change(self) -> None:
        """Tell anew with the next statement."""
        self._told_s = float("inf")

    def let_go(self, connection: Any, goes_on: bool) -> None:
        """Give a transaction that goes on the session's own timeouts; its end takes what was told along."""
        if goes_on and self._given is not None:
            self._set(connection, list(self._given))


def cord(connection: Any, driver: str) -> Cord | None:
    """Return what cuts the connection off."""
    native = getattr(connection, "driver_connection", connection)
    if driver == "asyncpg":
        return transport_cord(getattr(native, "_transport", None))
    if native.closed:
        return None
    return socket_cord(native.fileno())


def hurried(driver: str, parameters: dict[str, Any], seconds: float) -> None:
    """Let a connect that nobody waits for any more end by itself soon after."""
    name = "timeout" if driver == "asyncpg" else "connect_timeout"
    # whole seconds, and at least two: libpq's and psycopg's own rule
    bound = max(2, int(seconds) + 1)
    given = parameters.get(name)
    if given is None or not isinstance(given, int | float) or given <= 0 or given > bound:
        parameters[name] = bound
