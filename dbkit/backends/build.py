"""Build the typed error from a driver's exception: verdict, phase and text become one :class:`.DBError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbkit.backends.messages import describe, is_quotable, reason
from dbkit.backends.rules import Rule, RuleSet, Signature, Verdict, class_names, layers
from dbkit.exceptions import (
    DBConnectionError,
    DBDataError,
    DBError,
    DBIntegrityError,
    DBInvalidUnicodeParameter,
    DBNotSupportedError,
    DBReadOnly,
    Outcome,
)

# By the class of the exception, nearest first, for errors that no rule knows. PEP 249 gives the names; those of Python
# itself are raised by drivers that look at a parameter before they send it.
_BY_CLASS: dict[str, type[DBError]] = {
    "UnicodeEncodeError": DBInvalidUnicodeParameter,
    "OverflowError": DBDataError,
    "ValueError": DBDataError,
    "IntegrityError": DBIntegrityError,
    "DataError": DBDataError,
    "NotSupportedError": DBNotSupportedError,
}


# How DBConnectionError says which of the two it is: the connection was never made, or was there and is gone.
_NEVER_MADE = "could not connect to the database"
_LOST = "the connection to the database was lost"
_NEVER_MADE_ADVICE = "check that the server runs where the URL says, and try again"
_READER_ADVICE = "the block is a reader: make it a writer"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an error came up, as its engine knows it.

    :param names: ``database`` and ``user`` of the URL, for errors that are about them and do not name them.
    :param secrets: what no text may show.
    :param is_reader: the connection is a reader's.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_reader: bool = False


_NOWHERE = Place()


def build_error(
    rules: RuleSet,
    orig: BaseException,
    *,
    statement: str | None = None,
    parameters: Any = None,
    is_disconnect: bool = False,
    in_transaction: bool = True,
    at_commit: bool = False,
    place: Place = _NOWHERE,
) -> DBError:
    """Return the error that stands for a driver's exception; an error of dbkit's own is returned as it is.

    :param statement: the SQL that failed; None while connecting, and where BEGIN, COMMIT or ROLLBACK failed.
    :param parameters: of the statement. They are only searched, so that no value gets into the text.
    :param is_disconnect: SQLAlchemy found the connection dead.
    :param in_transaction: what the statement did hung on a COMMIT yet to come. A reader's statement, which stores
        nothing, counts as such. False while connecting, and for a statement that commits itself.
    :param at_commit: it was COMMIT that failed; then the outcome says what became of the whole transaction.
    :param place: what the engine knows and the driver's exception does not say.
    """
    if isinstance(orig, DBError):
        return orig
    signature = rules.signature(orig) or Signature((), "", classes=class_names(layers(orig)[-1]))
    verdict = rules.judge(signature)
    connecting = statement is None and not in_transaction and not at_commit
    cls, lost = _class_of(verdict, signature, is_disconnect and not signature.session_lives, connecting)
    fields = {**place.names, **(verdict.fields if verdict else signature.details)}
    fields = {name: value for name, value in fields.items() if value is not None and name in cls.fields()}
    rule = verdict.rule if verdict else None
    happened = rule.means if rule and cls in (rule.raises, DBError) else ""
    quote = advice = ""
    if issubclass(cls, DBConnectionError):
        why = reason(signature.message, (place.secrets, parameters)) or happened
        happened = (_NEVER_MADE if connecting else _LOST) if cls is DBConnectionError else cls.summary
        happened = f"{happened}: {why}" if why else happened
        advice = _NEVER_MADE_ADVICE if connecting and cls is DBConnectionError else ""
    elif issubclass(cls, DBReadOnly) and place.is_reader:
        advice = _READER_ADVICE
    elif rule and rule.quotable and statement is not None and is_quotable(signature.message, parameters):
        quote = signature.message
    outcome = _outcome_of(rules, verdict, signature, lost, in_transaction, at_commit, connecting)
    transient = _transient(cls, rule)
    error = cls.classify(
        describe(cls, fields, happened=happened, code=_code_of(fields), quote=quote, advice=advice),
        **fields,
        inner_exception=orig,
        statement=statement,
        outcome=outcome,
        transient=transient and outcome is not Outcome.UNKNOWN,
    )
    error.__cause__ = orig
    return error


def _class_of(
    verdict: Verdict | None, signature: Signature, is_disconnect: bool, connecting: bool
) -> tuple[type[DBError], bool]:
    """Return the class of the error, and whether the connection is lost or was never made."""
    raises: type[DBError] | None = None
    if verdict is not None:
        raises = verdict.rule.raises
        is_disconnect = is_disconnect or verdict.rule.disconnect
    else:
        raises = next((_BY_CLASS[name] for name in signature.classes if name in _BY_CLASS), DBError)
    if issubclass(raises, DBConnectionError):
        # A connection was lost; whether ours was, the driver knows. A statement can also meet a foreign server's end.
        return (raises, True) if is_disconnect or connecting else (DBError, False)
    if is_disconnect or (connecting and "OSError" in signature.classes):
        # The driver's word goes before the code: 40001 also ends sessions on a standby.
        return DBConnectionError, True
    return raises, False


def _transient(cls: type[DBError], rule: Rule | None) -> bool:
    if rule is None or cls not in (rule.raises, DBError):
        return cls.transient
    return rule.raises.transient if rule.transient is None else rule.transient


def _outcome_of(
    rules: RuleSet,
    verdict: Verdict | None,
    signature: Signature,
    lost: bool,
    in_transaction: bool,
    at_commit: bool,
    connecting: bool,
) -> Outcome:
    if connecting:
        return Outcome.NOT_STARTED
    if at_commit:
        if lost or not signature.codes:
            return Outcome.UNKNOWN  # without a code nothing came from the server
        return verdict.at_commit if verdict else rules.failed_commit
    if not in_transaction:
        return Outcome.UNKNOWN if lost else Outcome.NOT_STARTED
    if lost:
        return verdict.rule.outcome if verdict and verdict.rule.outcome else Outcome.ROLLED_BACK
    if signature.unsent or (verdict is None and not signature.codes):
        return Outcome.STATEMENT_FAILED
    if verdict is None or issubclass(verdict.rule.raises, DBConnectionError):
        return rules.failed_statement
    return verdict.outcome


def _code_of(fields: dict[str, Any]) -> object:
    return fields.get("errname") or fields.get("errno") or fields.get("sqlstate")
