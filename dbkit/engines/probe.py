"""The first connection: tried again for a while, because a service often starts before its database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from dbkit.deadline import Deadline
from dbkit.exceptions import DBConnectionError

LOG = logging.getLogger(__name__)


def probing(
    connect: Callable[[], Any],
    sleep: Callable[[float], Any],
    max_retries: int,
    interval_s: float,
    target: str,
    deadline: Deadline | None = None,
) -> Generator[Callable[[], Any], Any, Any]:
    """Plan: connect, and while the database is out of reach wait and connect again.

    :param max_retries: attempts after the first; -1 for as long as it takes.
    :param target: the database's URL without its secrets, for the log.
    :param deadline: no wait begins that would end after it.
    :returns: what ``connect`` returned.
    :raises DBConnectionError: the last attempt's error. No wait follows it. Other errors end the plan at once.
    """
    attempt = 0
    while True:
        try:
            return (yield connect)
        except DBConnectionError as error:
            if attempt == max_retries or (deadline is not None and deadline.left_s <= interval_s):
                raise
            attempt += 1
            left = "more will follow" if max_retries < 0 else f"{max_retries - attempt} more after it"
            LOG.warning("%s is out of reach (%s); trying again in %g s, %s", target, error, interval_s, left)
        yield partial(sleep, interval_s)
