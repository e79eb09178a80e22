"""How a driver's exception becomes a typed error: signature, rule, rule set.

A :class:`Signature` is what a driver's exception says of itself, read from attributes. A :class:`Rule` is one fact:
this code means that error. A :class:`RuleSet` holds the rules of one product in order of precedence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbkit.exceptions import DBConnectionError, DBError, Outcome

Code = int | str
Details = Mapping[str, Any]


def layers(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exception and, where it is one of SQLAlchemy's, those that it wraps, down to the driver's own."""
    found = [error]
    while type(found[-1]).__module__.startswith("sqlalchemy.") and len(found) < 4:
        inner = getattr(found[-1], "orig", None) or found[-1].__cause__
        if not isinstance(inner, BaseException):
            break
        found.append(inner)
    return tuple(found)


def class_names(error: BaseException) -> tuple[str, ...]:
    """Return the name of the exception's class and of the classes it derives from, nearest first."""
    return tuple(cls.__name__ for cls in type(error).__mro__ if cls not in (Exception, BaseException, object))


@dataclass(frozen=True, slots=True)
class Signature:
    """What a driver's exception says of itself.

    :param codes: the codes it carries, most specific first: ``("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT")``.
    :param message: the server's text, without what the driver or SQLAlchemy puts around it.
    :param details: fields that the driver names itself: ``constraint``, ``table``, ``columns``, ``sqlstate``,
        ``errno``.
    :param classes: names of the exception's class and of those it derives from, for drivers that give no code.
    :param remark: the server's second sentence, where it has one (PostgreSQL's DETAIL).
    :param session_lives: the server said that the session goes on: it is no disconnect, whatever its text looks like.
    :param unsent: the driver itself refused; nothing reached the server.
    """

    codes: tuple[Code, ...]
    message: str
    details: Details = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    remark: str = ""
    session_lives: bool = False
    unsent: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One fact: an exception with one of these codes, and this text if one is given, is that error.

    :param raises: the class of the error.
    :param codes: codes of the product; empty only where the driver gives none.
    :param text: a regular expression that narrows: without a match the rule does not catch.
    :param classes: names of the driver's exception classes; they narrow too. A rule without codes needs these or a
        text.
    :param extract: a regular expression that only reads: its named groups become fields, and no match is no fault,
        because the text changes with the server's language while the code does not.
    :param means: what happened, in words for the operator; the class's own summary where empty.
    :param source: where the fact is documented.
    :param outcome: what becomes of the transaction, where it differs from the class and the product.
    :param at_commit: the same, when COMMIT itself fails with this error.
    :param transient: whether to try again, where it differs from the class.
    :param disconnect: the connection is of no more use. A rule that raises :class:`.DBConnectionError` without it
        says that some connection was lost, and leaves it to the driver to know whether it was this one.
    :param quotable: the server's text names what the statement names and nothing of its data: ours may quote it.
    :param untested: why no sample could be recorded; empty when there is one.
    """

    raises: type[DBError]
    codes: tuple[Code, ...] = ()
    text: str = ""
    classes: tuple[str, ...] = ()
    extract: str = ""
    means: str = ""
    source: str = ""
    outcome: Outcome | None = None
    at_commit: Outcome | None = None
    transient: bool | None = None
    disconnect: bool = False
    quotable: bool = False
    untested: str = ""

    def __post_init__(self) -> None:
        if not (self.codes or self.text or self.classes):
            raise ValueError(f"a rule that raises {self.raises.__name__} would catch everything: give it a code")

    @property
    def label(self) -> str:
        """Name the rule in samples and tables: what it raises, its first code, and the text that narrows it."""
        known_by = str(self.codes[0]) if self.codes else "/".join(self.classes) or "any"
        return f"{self.raises.__name__} {known_by}" + (f" ~ {self.text}" if self.text else "")

    def matches(self, signature: Signature) -> dict[str, str | None] | None:
        """Return the fields that the text yields if the rule catches the signature, else None."""
        if self.codes:
            if not any(code in self.codes for code in signature.codes):
                return None
        elif signature.codes:
            return None
        if self.classes and not set(self.classes).intersection(signature.classes):
            return None
        fields: dict[str, str | None] = {}
        if self.text:
            narrowed = re.search(self.text, signature.message, re.DOTALL)
            if narrowed is None:
                return None
            fields.update(narrowed.groupdict())
        if self.extract:
            read = re.search(self.extract, signature.message, re.DOTALL)
            if read is not None:
                fields.update(read.groupdict())
        return fields


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which rule caught a signature, the fields that the error gets, and what the product does to the transaction.

    :param outcome: what became of a transaction whose statement failed so.
    :param at_commit: what became of it if it was its COMMIT that failed so.
    """

    rule: Rule
    fields: dict[str, Any]
    outcome: Outcome
    at_commit: Outcome


def _no_clues(text: str) -> Iterable[Signature]:
    return ()


def _nothing_more(rule: Rule, fields: dict[str, Any], signature: Signature) -> dict[str, Any]:
    return fields


class RuleSet:
    """The rules of one product, in order of precedence: the first that matches wins, so narrow ones stand first.

    :param signature: reads a driver's exception; returns None for one that is not of this product.
    :param refine: completes the fields from the signature, such as columns from the text of a key.
    :param clues: finds the product's codes in a line of a log, for who asks what an error means.
    :param failed_statement: what a statement that fails does to the transaction it runs in.
    :param failed_commit: what a COMMIT that fails does to the transaction, where the rule does not say.
    """

    def __init__(
        self,
        name: str,
        rules: Iterable[Rule],
        *,
        signature: Callable[[BaseException], Signature | None],
        refine: Callable[[Rule, dict[str, Any], Signature], dict[str, Any]] = _nothing_more,
        clues: Callable[[str], Iterable[Signature]] = _no_clues,
        failed_statement: Outcome = Outcome.STATEMENT_FAILED,
        failed_commit: Outcome = Outcome.UNKNOWN,
    ) -> None:
        self.name = name
        self.rules = tuple(rules)
        self.signature = signature
        self.clues = clues
        self.failed_statement = failed_statement
        self.failed_commit = failed_commit
        self._refine = refine

    def classify(self, error: BaseException) -> Verdict | None:
        """Return the verdict on a driver's exception, or None if no rule knows it."""
        signature = self.signature(error)
        return None if signature is None else self.judge(signature)

    def judge(self, signature: Signature) -> Verdict | None:
        """Return the verdict on a signature, or None if no rule knows it."""
        for rule in self.rules:
            found = rule.matches(signature)
            if found is not None:
                fields = {**signature.details, **{name: text for name, text in found.items() if text is not None}}
                return Verdict(
                    rule, self._refine(rule, fields, signature), self.outcome_of(rule), self.commit_outcome_of(rule)
                )
        return None

    def outcome_of(self, rule: Rule) -> Outcome:
        """Return what becomes of a transaction in which a statement fails as the rule says."""
        if rule.outcome is not None:
            return rule.outcome
        own = rule.raises.outcome
        return self.failed_statement if own in (Outcome.STATEMENT_FAILED, Outcome.NOT_STARTED) else own

    def commit_outcome_of(self, rule: Rule) -> Outcome:
        """Return what becomes of a transaction whose COMMIT fails as the rule says."""
        if rule.at_commit is not None:
            return rule.at_commit
        if rule.disconnect or issubclass(rule.raises, DBConnectionError):
            return Outcome.UNKNOWN
        if self.outcome_of(rule) is Outcome.ROLLED_BACK:
            return Outcome.ROLLED_BACK
        return self.failed_commit
