"""The operations that are measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of operation.

    :param batch: operations in one timed batch; a batch takes some tens of milliseconds.
    """

    name: str
    text: str
    batch: int


EMPTY_WRITER = "empty-writer"
EMPTY_READER = "empty-reader"
SELECT_WRITER = "select-writer"
SELECT_READER = "select-reader"
NESTED_EMPTY = "nested-empty"
NESTED_SELECT = "nested-select"
UPDATE = "update"
FLOATING_IP_UPDATE = "floating-ip-update"

#: In the order of the tables.
SCENARIOS: tuple[Scenario, ...] = (
    Scenario(EMPTY_WRITER, "a writer that does nothing", 1000),
    Scenario(EMPTY_READER, "a reader that does nothing", 1000),
    Scenario(SELECT_WRITER, "a writer that sends SELECT 1", 200),
    Scenario(SELECT_READER, "a reader that sends SELECT 1", 200),
    Scenario(NESTED_EMPTY, "three writers inside each other that do nothing", 1000),
    Scenario(NESTED_SELECT, "three writers inside each other, the innermost sends SELECT 1", 200),
    Scenario(UPDATE, "a writer that sends one UPDATE by primary key", 200),
    Scenario(FLOATING_IP_UPDATE, "select one of 10,000 by address where not deleted, set values, save, commit", 100),
)
