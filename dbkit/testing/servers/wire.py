"""What the supervisor and its clients say to each other: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dbkit.exceptions import BackendNotAvailable, DBError, UsageError

Message = dict[str, Any]

_ERRORS: Mapping[str, type[DBError]] = {"BackendNotAvailable": BackendNotAvailable, "UsageError": UsageError}


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of a line.

    :raises ValueError: it is not one.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object")
    return message


def value_reply(value: Mapping[str, Any]) -> Message:
    """Return the reply to a request that succeeded."""
    return {"value": dict(value)}


def error_reply(error: BaseException) -> Message:
    """Return the reply to a request that failed."""
    if isinstance(error, UsageError):
        return {"error": "UsageError", "text": str(error)}
    if isinstance(error, BackendNotAvailable):
        return {"error": "BackendNotAvailable", "text": str(error)}
    return {"error": "BackendNotAvailable", "text": f"the supervisor failed: {type(error).__name__}: {error}"}


def result_of(reply: Message) -> Message:
    """Return the value of a reply.

    :raises BackendNotAvailable, UsageError: the reply says so.
    """
    if "error" in reply:
        raise _ERRORS[reply["error"]](reply["text"])
    value: Message = reply["value"]
    return value
