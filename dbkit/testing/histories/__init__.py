"""Histories of concurrent transactions, and what was wrong with them.

.. code-block:: python

    recorder = histories.Recorder()
    call = recorder.invoke(process=1, operations=[Append("x", 7), Read("y")])
    ...                                              # run it against the database
    call.ok([Append("x", 7), Read("y", (3, 5))])     # or call.fail(), or call.info() when nobody knows
    histories.check(recorder.history(), Level.SERIALIZABLE).raise_if_broken()

A history is a list of transactions that append elements to lists and read whole lists. Because no element is appended
twice, a read tells which appends came before it and in which order, and from all reads together follows which
transaction must have come before which. A circle among them is a proof that the database, or what stands before it,
has broken a promise.

The method is that of Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations",
VLDB 2020). Histories are written in Elle's own form, so that ``elle-cli --model list-append`` can give a second
opinion.
"""

from __future__ import annotations

from dbkit.testing.histories.anomalies import Anomaly, Level
from dbkit.testing.histories.check import Report, check
from dbkit.testing.histories.edn import read_edn, to_edn
from dbkit.testing.histories.findings import Finding
from dbkit.testing.histories.history import Event, History, Transaction
from dbkit.testing.histories.operations import Append, Kind, Read
from dbkit.testing.histories.recorder import Call, Recorder, kind_of

__all__ = [
    "Anomaly",
    "Append",
    "Call",
    "Event",
    "Finding",
    "History",
    "Kind",
    "Level",
    "Read",
    "Recorder",
    "Report",
    "Transaction",
    "check",
    "kind_of",
    "read_edn",
    "to_edn",
]
