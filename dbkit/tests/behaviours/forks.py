"""Children of this process, and what they report."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

_PATIENCE_S = 30


class Child:
    """A forked child that runs the work and reports what it returned, or the error that it raised.

    :param leave: how the child ends; ``os._exit`` by default.
    """

    def __init__(self, work: Callable[[], Any], leave: Callable[[int], Any] = os._exit) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(writing)
            return
        os.close(self._reading)
        signal.alarm(_PATIENCE_S)  # a child that hangs must not outlive the test
        try:
            report = ("returned", work())
        except BaseException as error:
            report = ("raised", f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as stream:
            stream.write(pickle.dumps(report))
        leave(0)

    def report(self) -> Any:
        """Wait for the child's end and return what it reported."""
        with os.fdopen(self._reading, "rb") as stream:
            data = stream.read()
        _, status = os.waitpid(self._pid, 0)
        if not data:
            raise AssertionError(f"the child reported nothing and ended with status {status}")
        kind, value = pickle.loads(data)
        if kind == "raised":
            raise AssertionError(f"the child raised {value}")
        return value
