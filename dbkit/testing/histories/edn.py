"""Histories as text, in the form that Elle reads: EDN, one event a line.

.. code-block:: clojure

    {:index 0, :type :invoke, :process 0, :f :txn, :value [[:append :x 1] [:r :y nil]]}
    {:index 1, :type :ok, :process 0, :f :txn, :value [[:append :x 1] [:r :y [3 5]]]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dbkit.exceptions import UsageError
from dbkit.testing.histories.history import Event, History
from dbkit.testing.histories.operations import Append, Key, Kind, Operation, Read

_TOKEN = re.compile(r"[\s,]+|;[^\n]*|(?P<open>[\[{(])|(?P<close>[\]})])|:(?P<word>[^\s,\[\]{}()]+)|(?P<number>-?\d+)"
                    r"|\"(?P<text>[^\"\\]*)\"|(?P<nil>nil\b)")  # fmt: skip

_PAIRS = {"[": "]", "{": "}", "(": ")"}
_NAME = re.compile(r"[A-Za-z_][\w.-]*\Z")


def to_edn(history: History) -> str:
    """Return a history as ``elle-cli --model list-append`` reads it."""
    return "".join(f"{_line(number, event)}\n" for number, event in enumerate(history.events))


def _line(number: int, event: Event) -> str:
    value = " ".join(_operation(each) for each in event.operations)
    return f"{{:index {number}, :type :{event.kind.value}, :process {event.process}, :f :txn, :value [{value}]}}"


def _operation(operation: Operation) -> str:
    if isinstance(operation, Append):
        return f"[:append {_key(operation.key)} {operation.element}]"
    elements = "nil" if operation.elements is None else f"[{' '.join(map(str, operation.elements))}]"
    return f"[:r {_key(operation.key)} {elements}]"


def _key(key: Key) -> str:
    if isinstance(key, int):
        return str(key)
    if not _NAME.match(key):
        raise UsageError(
            f"a list is named by a number or an identifier, and not {key!r}; rename it to write the history"
        )
    return f":{key}"


def read_edn(text: str) -> History:
    """Return the history that a text holds: events one after another, or in one vector. Comments are left out.

    :raises UsageError: it is no such text; the text of the error says where it goes wrong.
    """
    values = list(_values(text))
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    return History(_event(each) for each in values)


def _values(text: str) -> Iterator[Any]:
    stack: list[tuple[str, list[Any]]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise UsageError(f"line {_line_of(text, place)} of the history is not EDN: {text[place : place + 20]!r}")
        place = found.end()
        if found["open"]:
            stack.append((_PAIRS[found["open"]], []))
            continue
        if found["close"]:
            value = _closed(stack, found["close"], _line_of(text, place))
        elif found["number"]:
            value = int(found["number"])
        elif found["word"] or found["text"] is not None or found["nil"]:
            value = found["word"] or found["text"]
        else:
            continue
        if stack:
            stack[-1][1].append(value)
        else:
            yield value
    if stack:
        raise UsageError(f"the history ends before a {stack[-1][0]!r}; it was cut off")


def _closed(stack: list[tuple[str, list[Any]]], mark: str, line: int) -> Any:
    wanted, values = stack.pop() if stack else ("", [])
    if wanted != mark:
        raise UsageError(f"line {line} of the history has a {mark!r} that closes nothing")
    return dict(zip(values[::2], values[1::2], strict=False)) if mark == "}" else values


def _line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _event(told: Any) -> Event:
    try:
        return Event(Kind(told["type"]), int(told["process"]), tuple(map(_operation_of, told["value"])))
    except (KeyError, TypeError, ValueError) as wrong:
        raise UsageError(f"this is no event of a history of appends and reads: {told!r}") from wrong


def _operation_of(told: Sequence[Any]) -> Operation:
    name, key, value = told
    if name == "append":
        return Append(key, int(value))
    if name == "r":
        return Read(key, None if value is None else tuple(value))
    raise ValueError(name)
