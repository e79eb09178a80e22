"""Where a fault strikes, what it does and which occurrence it chooses: pure decisions."""

from __future__ import annotations

import difflib
import enum
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dbkit.exceptions import UsageError
from dbkit.testing.faults.dialogue import CANCEL, CONNECT, QUIT, Operation
from dbkit.testing.faults.sql import PING, STATEMENT

#: Names of what is no SQL, and of any SQL. They are written in any case, as verbs are.
ACTS = frozenset({CONNECT, PING, QUIT, CANCEL, STATEMENT})

# A misspelt verb would make a fault that never strikes, and a test that proves nothing.
_VERBS = frozenset(
    """
    ALTER ANALYZE BEGIN CALL CHECK CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE
    DESCRIBE DISCARD DO DROP EXECUTE EXPLAIN FETCH FLUSH GRANT HANDLER IMPORT INSERT KILL LISTEN LOAD LOCK MERGE MOVE
    NOTIFY OPTIMIZE PREPARE REASSIGN REFRESH REINDEX RELEASE RENAME REPAIR REPLACE RESET RESIGNAL REVOKE ROLLBACK
    SAVEPOINT SECURITY SELECT SET SHOW SIGNAL START STOP TABLE TRUNCATE UNLISTEN UNLOCK UPDATE USE VACUUM VALUES WITH
    XA
    """.split()
) | {"ROLLBACK TO"}


class Moment(enum.Enum):
    """When, as seen from the server."""

    BEFORE = "before"
    AFTER = "after"
    DURING = "during"


class Action(enum.Enum):
    """What happens then."""

    CUT = "cut"
    DROP = "drop"
    DELAY = "delay"
    ABANDON = "abandon"
    HOLD = "hold"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression for the text of a statement, as it can travel."""

    text: str
    flags: int = 0

    @classmethod
    def of(cls, what: str | re.Pattern[str]) -> Pattern:
        """Return the expression; in one that is given as text, case makes no difference.

        :raises UsageError: it is none.
        """
        if isinstance(what, re.Pattern):
            return cls(what.pattern, what.flags)
        try:
            re.compile(what)
        except re.error as wrong:
            raise UsageError(f"{what!r} is no regular expression: {wrong}") from wrong
        return cls(what, int(re.IGNORECASE | re.DOTALL))

    def finds(self, text: str) -> bool:
        """Return whether it matches anywhere in the text."""
        return re.search(self.text, text, self.flags & ~re.UNICODE) is not None


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the exchange between client and server; :func:`before`, :func:`after` and :func:`during` make it."""

    moment: Moment
    name: str | None = None
    pattern: Pattern | None = None
    bytes: int = 0

    def __str__(self) -> str:
        what = self.name if self.pattern is None else f"a statement that matches {self.pattern.text!r}"
        return f"{self.moment.value} {what}" + (f", {self.bytes} bytes" if self.moment is Moment.DURING else "")

    def is_at(self, operation: Operation) -> bool:
        """Return whether this operation is meant."""
        if self.pattern is None:
            return self.name in operation.names
        return operation.is_statement and self.pattern.finds(operation.text)


def before(what: str | re.Pattern[str]) -> Point:
    """Return the point at which a message has been read from the client and not been passed on to the server.

    :param what: an SQL verb such as ``"COMMIT"``, which may stand anywhere in a text of several statements;
        ``"statement"`` for any; ``"connect"``, ``"ping"``, ``"quit"`` or ``"cancel"``; or a compiled regular
        expression, which is searched for in the text that the client sends.
    :raises UsageError: there is no such verb; the text names the nearest.
    """
    return _point(Moment.BEFORE, what)


def after(what: str | re.Pattern[str]) -> Point:
    """Return the point at which the server's whole reply has arrived, and nothing of it been passed on to the client.

    :param what: as for :func:`before`.
    :raises UsageError: there is no such verb; the text names the nearest.
    """
    return _point(Moment.AFTER, what)


def during(what: str | re.Pattern[str], bytes: int) -> Point:
    """Return the point at which that many bytes of the server's reply have been passed on to the client, and no more.

    The server's whole reply has arrived at the proxy then, so what was asked for has been done. A connect cannot wait
    for that, because client and server take turns in it.

    :param what: as for :func:`before`.
    :raises UsageError: there is no such verb, or the number is negative.
    """
    if bytes < 0:
        raise UsageError(f"a reply cannot be torn after {bytes} bytes; give a number from 0 on")
    return replace(_point(Moment.DURING, what), bytes=bytes)


def _point(moment: Moment, what: str | re.Pattern[str]) -> Point:
    if isinstance(what, re.Pattern):
        return Point(moment, pattern=Pattern.of(what))
    name = " ".join(what.split())
    if name.lower() in ACTS:
        return Point(moment, name.lower())
    if name.upper() in _VERBS:
        return Point(moment, name.upper())
    near = difflib.get_close_matches(name.upper(), [*_VERBS, *map(str.upper, ACTS)], n=1)
    advice = f"did you mean {(near[0].lower() if near[0].lower() in ACTS else near[0])!r}? " if near else ""
    raise UsageError(
        f"a fault cannot strike at {what!r}, which is no SQL verb: {advice}"
        "for part of a statement's text give re.compile(...)"
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault that is yet to happen.

    :param point: where.
    :param action: what.
    :param reset: for a cut: with a reset, or in order as a server that closes does.
    :param seconds: for a delay, and for what goes on without its client.
    :param everywhere: for a freeze: all connections of the proxy and not only the one that came to the point.
    :param nth: the first occurrence to strike at, counted from 1 when the rule is made.
    :param times: how many occurrences it strikes at; None for all from then on.
    :param probability: the chance with which it strikes at each of those.
    :param seed: makes the same choices each time, for the same sequence of occurrences; one is chosen and can be read
        here if none is given.
    :param connection: the number of the only connection that counts.
    :param last_ran: only the connection counts that was the last to run a statement that this finds.
    """

    point: Point
    action: Action
    reset: bool = True
    seconds: float = 0.0
    everywhere: bool = False
    nth: int = 1
    times: int | None = 1
    probability: float | None = None
    seed: int | None = None
    connection: int | None = None
    last_ran: Pattern | None = None

    def __post_init__(self) -> None:
        if self.nth < 1:
            raise UsageError(f"occurrences are counted from 1, and nth is {self.nth}")
        if self.times is not None and self.times < 1:
            raise UsageError(f"a fault strikes once at least, and times is {self.times}; None means always")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise UsageError(f"a probability lies between 0 and 1, and this is {self.probability:g}")
        if self.seed is not None and self.probability is None:
            raise UsageError("a seed makes chance reproducible; give the probability too")
        if self.probability is not None and self.seed is None:
            object.__setattr__(self, "seed", random.randrange(1 << 32))
        if self.seconds < 0:
            raise UsageError(f"a delay cannot be {self.seconds:g} seconds; give a number from 0 on")
        if self.action is Action.ABANDON and self.point.moment is not Moment.BEFORE:
            raise UsageError("a client can be parted only from what has not reached the server; use before(...)")

    def __str__(self) -> str:
        parts = [f"{self.action.value} {self.point}"]
        for name in ("nth", "times", "probability", "seed", "connection"):
            value, default = getattr(self, name), _DEFAULTS[name]
            if value != default:
                parts.append(f"{name}={value}")
        return ", ".join(parts)

    def to_wire(self) -> dict[str, Any]:
        """Return the rule as JSON can carry it."""
        told = asdict(self)
        told["action"] = self.action.value
        told["point"]["moment"] = self.point.moment.value
        return told

    @classmethod
    def from_wire(cls, told: Mapping[str, Any]) -> Rule:
        """Return the rule that :meth:`to_wire` described."""
        point = told["point"]
        where = Point(Moment(point["moment"]), point["name"], _pattern(point["pattern"]), point["bytes"])
        return cls(**{**told, "point": where, "action": Action(told["action"]), "last_ran": _pattern(told["last_ran"])})


_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(Rule)}


def _pattern(told: Mapping[str, Any] | None) -> Pattern | None:
    return None if told is None else Pattern(**told)


class Armed:
    """A rule that watches what passes, and what it has done.

    :ivar fired: how often it has come to its point and acted.
    """

    def __init__(self, number: int, rule: Rule) -> None:
        self.number = number
        self.rule = rule
        self.fired = 0
        self._seen = 0
        self._chosen = 0
        self._chance = random.Random(rule.seed)
        self._last_runner: int | None = None

    def chooses(self, operation: Operation, connection: int) -> bool:
        """Count an occurrence, if it is one, and return whether the rule strikes at it."""
        rule = self.rule
        if rule.last_ran is not None and operation.is_statement and rule.last_ran.finds(operation.text):
            self._last_runner = connection
        if not rule.point.is_at(operation):
            return False
        if rule.connection not in (None, connection) or (rule.last_ran is not None and self._last_runner != connection):
            return False
        self._seen += 1
        if self._seen < rule.nth or (rule.times is not None and self._chosen >= rule.times):
            return False
        # Chance is asked at every occurrence, so that a choice depends on the number of its occurrence alone.
        if rule.probability is not None and self._chance.random() >= rule.probability:
            return False
        self._chosen += 1
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen to one operation."""

    before: Armed | None = None
    after: Armed | None = None


class Book:
    """The rules of a proxy. Where two strike at one point the older one acts, and the other has spent its turn."""

    def __init__(self) -> None:
        self._armed: dict[int, Armed] = {}
        self._numbers = 0

    def __iter__(self) -> Iterator[Armed]:
        return iter(list(self._armed.values()))

    def add(self, rule: Rule) -> Armed:
        """Take in a rule, which counts occurrences from now on."""
        self._numbers += 1
        self._armed[self._numbers] = Armed(self._numbers, rule)
        return self._armed[self._numbers]

    def find(self, number: int) -> Armed:
        """Return a rule by its number.

        :raises UsageError: it has been removed.
        """
        try:
            return self._armed[number]
        except KeyError:
            raise UsageError("the fault has been removed from its proxy; add it again") from None

    def remove(self, number: int) -> None:
        """Forget a rule; that it is gone already is no error."""
        self._armed.pop(number, None)

    def judge(self, operation: Operation, connection: int) -> Verdict:
        """Return what is to happen to an operation that a connection's client has sent."""
        if not self._armed:
            return _NOTHING
        chosen = [each for each in self._armed.values() if each.chooses(operation, connection)]
        early = next((each for each in chosen if each.rule.point.moment is Moment.BEFORE), None)
        late = next((each for each in chosen if each.rule.point.moment is not Moment.BEFORE), None)
        return Verdict(early, late)


_NOTHING = Verdict()
