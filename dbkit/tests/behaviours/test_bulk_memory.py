"""Many rows are written and read in bounded memory; who gathers them first needs more than the bound."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT
from dbkit.tests.behaviours.heaps import Long
from dbkit.tests.behaviours.test_bulk import Bulk

_ROWS = 5_000
_TEXT = "x" * 1000
_BATCH = 250
_MOST = 2 << 20


def _given() -> Iterator[dict[str, Any]]:
    return ({"id": number, "text": f"{number}{_TEXT}"} for number in range(_ROWS))


class _Peak:
    """How much Python's own memory has grown inside, at most. What a driver written in C holds is not seen."""

    found = 0

    def __enter__(self) -> _Peak:
        tracemalloc.start(1)
        return self

    def __exit__(self, *error: object) -> None:
        self.found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestMemory(Bulk):
    async def test_a_stream_of_rows_comes_and_goes_in_bounded_memory(self):
        first = [{"id": -number, "text": "what is made once is no part of it"} for number in (1, 2)]
        await self.do("insert_many", self.db, Long, first)
        with _Peak() as writing:
            self.assertEqual(_ROWS, (await self.do("insert_many", self.db, Long, _given(), batch=_BATCH)).rows)
        with _Peak() as gathering:
            gathered = list(_given())
        del gathered
        statement = sa.select(Long.__table__)
        async with self.reader.connection() as connection:
            with _Peak() as streaming:
                self.assertEqual(_ROWS + 2, await self.counted_stream(connection, statement, batch=_BATCH))
            with _Peak() as fetching:
                self.assertEqual(_ROWS + 2, len((await connection.execute(statement)).all()))
        found = {"writing": writing.found, "streaming": streaming.found}
        self.assertEqual({}, {name: peak for name, peak in found.items() if peak > _MOST})
        self.assertGreater(min(gathering.found, fetching.found), 2 * _MOST)
