"""What a test leaves open on purpose, and what Python, SQLAlchemy and the drivers say of it."""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import SAWarning


@contextlib.contextmanager
def quiet_collection() -> Iterator[None]:
    """Collect the garbage at the entry and at the end; what was left open goes without a word.

    Drivers and coroutines whose event loop is closed raise when they are finalized, and Python prints a traceback.
    """
    spoken = sys.unraisablehook

    def hush(unraisable: Any) -> None:
        if not _is_finalized(unraisable.object):
            spoken(unraisable)

    with warnings.catch_warnings():
        for category in (ResourceWarning, SAWarning):
            warnings.simplefilter("ignore", category)
        sys.unraisablehook = hush
        try:
            gc.collect()
            yield
            gc.collect()
        finally:
            sys.unraisablehook = spoken


def _is_finalized(thing: Any) -> bool:
    return inspect.iscoroutine(thing) or getattr(thing, "__name__", "") == "__del__"
