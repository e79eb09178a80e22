"""Messages that are stored with the transaction that sends them, and delivered after it, at least once.

.. code-block:: python

    outbox = Outbox(db)

    @db.writer
    def place_order(number):
        db.session.add(Order(number=number))
        outbox.send("orders", {"number": number})     # stored if the order is, and only then

    outbox.run(publish)                               # in a process of its own, or in several

.. versionadded:: 0.1
"""

from __future__ import annotations

from dbkit.outbox.message import Delivery, Message, Status
from dbkit.outbox.outbox import Outbox
from dbkit.outbox.table import create_outbox_table, drop_outbox_table, outbox_table

__all__ = [
    "Delivery",
    "Message",
    "Outbox",
    "Status",
    "create_outbox_table",
    "drop_outbox_table",
    "outbox_table",
]
