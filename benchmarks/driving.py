"""Opens a subject on a place and repeats its operations, in either colour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from benchmarks.places import Place
from benchmarks.schema import ROWS
from benchmarks.subjects.subject import Opened, Operation, Subject


class Numbers:
    """Hands out numbers that no operation has had, so that each has something to change.

    :param rows: how many rows there are; the numbers name only these, see :mod:`benchmarks.schema`.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        self._next = 1

    def take(self, count: int) -> Sequence[int]:
        """Return the next numbers."""
        first = self._next
        self._next += count
        return [each // self._rows * ROWS + each % self._rows for each in range(first, first + count)]

    @property
    def last(self) -> int:
        """The last number that was handed out."""
        return self._next - 1


class Course:
    """A subject that is open on a place, until the ``with`` block ends."""

    def __init__(self, subject: Subject, place: Place, numbers: Numbers) -> None:
        self.subject = subject
        self.place = place
        self._numbers = numbers
        self._runner = asyncio.Runner() if place.backend.is_asyncio else None
        self._opened: Opened | None = None

    def __enter__(self) -> Self:
        if self._runner is None:
            self._opened = self.subject.open(self.place)
        else:
            self._opened = self._runner.run(self.subject.open(self.place))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._opened is not None
        if self._runner is None:
            self._opened.close()
            return
        self._runner.run(self._opened.close())
        self._runner.close()

    def has(self, scenario: str) -> bool:
        """Return whether the subject knows this scenario."""
        assert self._opened is not None
        return scenario in self._opened.operations

    def batch(
        self, scenario: str, count: int, during: AbstractContextManager[object] | None = None
    ) -> Callable[[], None]:
        """Return a function without arguments that does the operation ``count`` times, each with another number.

        :param during: is entered around the operations alone, inside the event loop if there is one.
        """
        assert self._opened is not None
        operation = self._opened.operations[scenario]
        numbers = self._numbers.take(count)
        around = nullcontext() if during is None else during
        if self._runner is None:
            return lambda: _repeat(operation, numbers, around)
        run = self._runner.run
        return lambda: run(_arepeat(operation, numbers, around))


def _repeat(operation: Operation, numbers: Sequence[int], around: AbstractContextManager[object]) -> None:
    with around:
        for number in numbers:
            operation(number)


async def _arepeat(operation: Operation, numbers: Sequence[int], around: AbstractContextManager[object]) -> None:
    with around:
        for number in numbers:
            await operation(number)
