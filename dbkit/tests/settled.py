"""What has come to stay in the tests' process: the garbage collector need not look through it."""

from __future__ import annotations

import gc

_MUCH = 50_000
_YOUNG, _OLD = 0, 2

_collections = (0, 0)


def settle() -> None:
    """Let the collector look no more through what the tests before this one have left for good, once that is much.

    Their engines, statements and models become a million objects: a test that collects garbage to see what is left
    would take seconds. What a test makes itself, after the call, is collected as ever.
    """
    global _collections
    young, old = _collections
    stats = gc.get_stats()
    grown = (stats[_YOUNG]["collections"] - young) * gc.get_threshold()[0] >= _MUCH
    if grown or stats[_OLD]["collections"] != old:
        gc.collect()
        gc.freeze()
        stats = gc.get_stats()
        _collections = (stats[_YOUNG]["collections"], stats[_OLD]["collections"])
