"""A cursor that has all rows of its result at once, so that the result outlives the connection it came over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class HeldCursor:
    """Stands for a driver's cursor. The rows are read when they arrive; the rest is the driver's.

    SQLAlchemy keeps a cursor in several places while it executes a statement. All of them see another one of the
    driver's when the statement had to be sent again over another connection.

    :param real: the driver's cursor.
    :param lives: tells whether the connection that it belongs to is still in use.
    """

    __slots__ = ("_description", "_lives", "_rows", "real")

    real: Any
    _description: Any
    _lives: Callable[[], bool]
    _rows: deque[Any]

    def __init__(self, real: Any, lives: Callable[[], bool]) -> None:
        self.stand_for(real, lives)

    def stand_for(self, real: Any, lives: Callable[[], bool]) -> None:
        """Stand for another cursor from now on."""
        put = object.__setattr__
        put(self, "real", real)
        put(self, "_lives", lives)
        put(self, "_rows", deque())
        put(self, "_description", None)

    @property
    def description(self) -> Any:
        """The columns of the result. Some drivers make this anew each time that they are asked, so it is kept."""
        return self._description

    def hold(self) -> Sequence[Any] | None:
        """Read all rows of the statement that was just executed; return them, or None if it gives no rows."""
        description = self.real.description
        rows = None if description is None else self.real.fetchall()
        object.__setattr__(self, "_rows", deque(rows or ()))
        object.__setattr__(self, "_description", description)
        return rows

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        rows = self._rows
        return [rows.popleft() for _ in range(min(self.real.arraysize if size is None else size, len(rows)))]

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.popleft()

    def close(self) -> None:
        """Forget the rows, and close the driver's cursor unless its connection is closed anyway."""
        self._rows.clear()
        if self._lives():
            self.real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.real, name, value)
