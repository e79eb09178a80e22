"""The outbox when its process is killed between the handler and COMMIT."""

from __future__ import annotations

import os
import signal

from dbkit.tests import warm
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT
from dbkit.tests.behaviours.outboxes import OutboxBehaviour

# Its handler tells which message it got, and is the last thing that the process does.
_DELIVERER = """
import asyncio, os, signal, sys
import dbkit
from dbkit.outbox import Outbox

url, colour = os.environ["DATABASE_URL"], sys.argv[1]

def handler(message):
    print(message.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

outbox = Outbox(dbkit.Database(url))
if colour == "asyncio":
    asyncio.run(outbox.adeliver(handler))
else:
    outbox.deliver(handler)
"""


@behaviours(ONE_PER_PRODUCT)
class TestKilledDeliverers(OutboxBehaviour):
    def deliver_and_die(self):
        url = self.place.url(self.combination.driver, self.combination.scheme).render_as_string(hide_password=False)
        colour = "asyncio" if self.is_asyncio else "blocking"
        return warm.run("-c", _DELIVERER, colour, timeout_s=50, env={**os.environ, "DATABASE_URL": url})

    async def test_its_messages_become_free_by_themselves_and_keep_their_ids(self):
        ids = await self.send(1, 2)
        done = self.deliver_and_die()
        self.assertEqual((-signal.SIGKILL, ids[:1]), (done.returncode, done.stdout.split()), done.stderr)
        self.assertEqual(ids, self.waiting())

        def note(message):
            self.seen.append(message.id)

        while len(self.seen) < 2:  # the server notices in its own time that the client is gone
            await self.call("deliver", note)
        self.assertEqual((ids, []), (sorted(self.seen), self.waiting()))
