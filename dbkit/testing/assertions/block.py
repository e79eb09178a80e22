"""The ``with`` and ``async with`` of an assertion."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from dbkit.exceptions import UsageError
from dbkit.testing.assertions.targets import Stop


class Check:
    """A block that watches, and judges when it ends.

    ``with`` and ``async with`` do the same: an assertion sends nothing, so that it has nothing to wait for. A block
    that ends with an error is not judged: the error says more.
    """

    _stop: Stop | None = None
    _was_entered = False

    def _start(self) -> Stop:
        """Begin to watch; return what ends it."""
        raise NotImplementedError

    def _judge(self) -> None:
        """Judge what was seen.

        :raises AssertionError: it must not be so.
        """

    def __enter__(self) -> Self:
        if self._was_entered:
            raise UsageError("an assertion is entered once; write the call that makes it into each with statement")
        self._was_entered = True
        self._stop = self._start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True  # pytest shows the line of the block instead
        assert self._stop is not None
        self._stop()
        if error is None:
            self._judge()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True
        self.__exit__(kind, error, trace)
