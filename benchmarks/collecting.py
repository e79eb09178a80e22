"""Keeps the garbage collector's own work, which grows with all that there is, out of what is measured."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Leave out of every collection, until the block ends, what is there now.

    If something was left out before, all of it stays so: the collector can only take back everything.
    """
    is_first = gc.get_freeze_count() == 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if is_first:
            gc.unfreeze()
