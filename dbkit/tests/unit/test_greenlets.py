"""The bridge between asyncio and blocking-style code, without a database."""

from __future__ import annotations

import asyncio

import testtools
from sqlalchemy.util import await_only

from dbkit.transaction.greenlets import to_the_end


class TestToTheEnd(testtools.TestCase):
    def test_one_that_waits_can_be_closed(self):
        async def body():
            goes_on, ended = asyncio.Event(), asyncio.Event()

            def work():
                await_only(goes_on.wait())
                ended.set()

            waiting = to_the_end(work)
            waiting.send(None)
            waiting.close()
            goes_on.set()
            async with asyncio.timeout(20):
                await ended.wait()  # the work goes on all the same

        asyncio.run(body())
