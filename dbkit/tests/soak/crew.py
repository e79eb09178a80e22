"""Workers that run at the same time: threads, or tasks of one loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from dbkit.tests.behaviours.colours import AsyncioColour, BlockingColour

Work = Callable[[], Coroutine[Any, Any, None]]

_LONGEST_S = 1800.0


def run_together(colour: AsyncioColour | BlockingColour, works: Sequence[Work]) -> None:
    """Run coroutine functions at the same time, to their ends.

    :raises BaseException: the first error that left one of them, when all have ended.
    """
    if isinstance(colour, AsyncioColour):
        colour.run(_gathered(works))
        return
    errors: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Work) -> None:
        try:
            start.wait(_LONGEST_S)
            colour.run(work())
        except BaseException as error:  # raised below, in the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONGEST_S)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError(f"a worker has not ended within {_LONGEST_S:g} s")
    if errors:
        raise errors[0]


async def _gathered(works: Sequence[Work]) -> None:
    async with asyncio.timeout(_LONGEST_S):
        for found in await asyncio.gather(*(work() for work in works), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
