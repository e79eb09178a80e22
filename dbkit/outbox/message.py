"""A message of the outbox, and what a round of deliveries, or a look at the table, tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dbkit.exceptions import UsageError

Payload = Any
"""What JSON can hold, or ``bytes``."""

_LONGEST_TOPIC = 255


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a handler gets it.

    :ivar id: the same at each delivery of it, and no other message's: what an idempotent consumer remembers.
    :ivar attempts: how often a handler has failed with it before.
    :ivar created_at: when it was sent, by the database's clock, in UTC and whole seconds.
    :ivar error: the class of what the handler raised last; None if it never did.
    """

    id: str
    topic: str
    payload: Payload
    attempts: int
    created_at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message with its row's number and the time at which it was claimed, by the database's clock."""

    number: int
    now: datetime
    message: Message


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a round of deliveries did.

    :ivar failed: those whose handler raised; they are tried again.
    :ivar set_aside: those whose handler raised for the last time.
    """

    delivered: int = 0
    failed: int = 0
    set_aside: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """How the outbox stands.

    :ivar oldest_s: the age of the oldest message that waits, in seconds; None if none does.
    """

    waiting: int
    set_aside: int
    delivered: int
    oldest_s: float | None


def encoded(payload: Payload) -> tuple[str | None, bytes | None]:
    """Return a payload as it is stored: as JSON, or as it is if it is ``bytes``.

    :raises UsageError: it is neither.
    """
    if isinstance(payload, bytes | bytearray | memoryview):
        return None, bytes(payload)
    try:
        return json.dumps(payload, allow_nan=False), None
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the payload of a message is what JSON can hold, or bytes; a {type(payload).__name__} was given, and it "
            "is neither, or has something in it that is not"
        ) from error


def checked_topic(topic: str) -> str:
    """Return the topic.

    :raises UsageError: it is no text, or too long.
    """
    if not isinstance(topic, str) or not 0 < len(topic) <= _LONGEST_TOPIC:
        raise UsageError(f"a topic is a text of 1 to {_LONGEST_TOPIC} characters; it is {topic!r:.60}")
    return topic


def message_of(row: Any) -> Message:
    """Return the message that a row of the table holds."""
    payload = bytes(row.body) if row.payload is None else json.loads(row.payload)
    created = row.created_at.replace(tzinfo=UTC)
    return Message(row.message_id, row.topic, payload, row.attempts, created, row.error)
