"""A fault on a proxy, as a test handles it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from dbkit.testing.faults.journal import Event
from dbkit.testing.faults.rules import Rule

_WAIT_S = 10.0


class Seen(Counter[str]):
    """Counts that read well in a text."""

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.items())) or "nothing"


def saw(counts: Mapping[str, int]) -> Seen:
    """Return what a proxy has counted."""
    return Seen(counts)


class Proxied(Protocol):
    """What a fault asks of its proxy."""

    def ask_about(self, fault: int, request: str) -> int:
        """Ask something about a fault."""

    def awaited(self, what: str, timeout_s: float, **fields: Any) -> Event:
        """Block until something has happened."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What the proxy has seen."""


class Fault:
    """A fault on a proxy. It stays until it is removed.

    As a ``with`` statement it is removed at the end of the block, and it must have struck by then, unless it strikes
    by chance: a test whose fault has not happened proves nothing.

    :ivar rule: where and when it strikes.
    """

    def __init__(self, proxy: Proxied, rule: Rule, number: int) -> None:
        self.rule = rule
        self.number = number
        self._proxy = proxy

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}: {self.rule}>"

    @property
    def fired(self) -> int:
        """How often it has struck."""
        return self._proxy.ask_about(self.number, "fired")

    def wait(self, times: int = 1, *, timeout_s: float = _WAIT_S) -> Event:
        """Block until it has struck so often, and return what is known of that time.

        :raises TimeoutError: it has not, in time.
        """
        often = "" if times == 1 else f" {times} times"
        return self._proxy.awaited(f"the fault ({self.rule}){often}", timeout_s, fault=self.number, times=times)

    def awaiting(self, times: int = 1, *, timeout_s: float = _WAIT_S) -> Coroutine[Any, Any, Event]:
        """As :meth:`wait`, for ``await``."""
        return asyncio.to_thread(self.wait, times, timeout_s=timeout_s)

    def release(self) -> int:
        """Let go on what it holds or delays, and return how many that were. It may hold others later."""
        return self._proxy.ask_about(self.number, "release")

    def remove(self) -> int:
        """Remove it, let go on what it holds, and return how often it has struck."""
        return self._proxy.ask_about(self.number, "remove")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fired = self.remove()
        if not fired and error is None and self.rule.probability is None:
            raise AssertionError(f"the fault ({self.rule}) has not struck; the proxy has seen {self._proxy.counts}")
