"""Running a function again when its transaction is known to be rolled back by something that may pass.

A function that is a block is declared so, with ``writer.retrying()``; :func:`wrap_db_retry` is oslo.db's decorator, for
one that opens its block itself.
"""

from __future__ import annotations

from dbkit.retry.decorator import wrap_db_retry
from dbkit.retry.statistics import GaveUp, RetryEvent, RetryHook, RetryStatistics
from dbkit.retry.verdict import Kind

__all__ = ["GaveUp", "Kind", "RetryEvent", "RetryHook", "RetryStatistics", "wrap_db_retry"]
