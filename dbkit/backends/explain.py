"""Say what an error means: from a code, from a line of a log, or from the name of one of dbkit's classes."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbkit import exceptions
from dbkit.backends.registry import installed
from dbkit.backends.rules import Code, Rule, RuleSet, Signature
from dbkit.exceptions import DBError, Outcome

_UNKNOWN = (
    "no rule knows it. Looked for: a SQLSTATE of PostgreSQL, an error number of MySQL or MariaDB, a name that begins "
    "with SQLITE_, a text that one of them writes, a class of dbkit.exceptions. Try the code alone, such as 40P01, "
    "1213 or SQLITE_BUSY, or a class, such as DBDeadlock; an error without a rule arrives as the class that the driver "
    "gave it"
)

_TRANSIENT = "yes: the transaction may succeed when it is run again"

_MOST_HINTS = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one rule says of what was asked; or, without a rule, that none knows it.

    :param asked: the code that was found, or what was asked.
    :param means: what happened.
    :param outcome: what becomes of a transaction in which a statement fails so, and ``at_commit`` when COMMIT does.
    :param page: the page of the documentation, below ``doc/source``.
    :param hints: codes near to what was asked, where no rule knows it.
    """

    asked: str
    means: str
    product: str = ""
    rule: Rule | None = None
    raises: type[DBError] | None = None
    transient: bool = False
    outcome: Outcome = Outcome.STATEMENT_FAILED
    at_commit: Outcome = Outcome.UNKNOWN
    advice: str = ""
    source: str = ""
    page: str = ""
    hints: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.rule is None or self.raises is None:
            near = f". Near to it: {', '.join(self.hints)}" if self.hints else ""
            return f"{self.asked}: {self.means}{near}"
        only = f"\n  only if     the text matches {self.rule.text}" if self.rule.text else ""
        return (
            f"{self.product} {self.asked}: {self.means}{only}\n"
            f"  raises      {self.raises.__name__}\n"
            f"  transient   {_TRANSIENT if self.transient else 'no'}\n"
            f"  transaction {self.outcome.value}; at COMMIT: {self.at_commit.value}\n"
            f"  to do       {self.advice}\n"
            f"  source      {self.source}\n"
            f"  page        {self.page}"
        )


@dataclass(frozen=True, slots=True)
class ClassExplanation:
    """What one of dbkit's error classes says.

    :param rules: what is said of each rule that raises it.
    :param narrower: the classes below it.
    """

    raises: type[BaseException]
    rules: tuple[Explanation, ...] = ()
    narrower: tuple[str, ...] = ()

    @property
    def means(self) -> str:
        """What happened."""
        return (inspect.getdoc(self.raises) or "").split("\n", 1)[0]

    @property
    def page(self) -> str:
        """The page of the documentation, below ``doc/source``."""
        return f"errors/{self.raises.__name__}"

    def __str__(self) -> str:
        lines = [f"{self.raises.__name__}: {self.means}"]
        if issubclass(self.raises, DBError):
            lines.append(f"  transient   {_TRANSIENT if self.raises.transient else 'no'}")
            otherwise = ", where the rule does not say otherwise" if self.rules else ""
            lines.append(f"  transaction {self.raises.outcome.value}{otherwise}")
            lines.append(f"  to do       {self.raises.advice}")
        if self.narrower:
            lines.append(f"  narrower    {', '.join(self.narrower)}")
        lines.append(f"  page        {self.page}")
        lines += dict.fromkeys(f"  raised for  {each.product} {each.asked}: {each.means}" for each in self.rules)
        return "\n".join(lines)


def explain(text: str, rulesets: Iterable[RuleSet] | None = None) -> list[Explanation]:
    """Return what the rules say of a code such as ``1213``, ``40P01`` or ``SQLITE_BUSY``, or of a line of a log.

    A code alone can be caught by several rules, which the server's text would tell apart; all are returned. So are
    those of every product that knows the code. There is always an answer: where no rule knows it, one that says so.

    :param rulesets: those to ask; None asks all backends that are installed.
    """
    known = _known(rulesets)
    asked = text.strip()
    forms = (asked,) if re.search(r"\s", asked) else (asked, asked.upper())  # a code by itself may be typed in small
    for form in forms:
        found = [_explained(rules, rule, code) for rules in known for rule, code in _caught(rules, form)]
        if found:
            return found
    return [Explanation(asked or "nothing", _UNKNOWN, hints=_near(known, asked))]


def explain_class(text: str, rulesets: Iterable[RuleSet] | None = None) -> ClassExplanation | None:
    """Return what the class says that a text names: ``DBDeadlock``, or ``dbkit.exceptions.DBDeadlock: the ...``.

    :param rulesets: as for :func:`explain`.
    :returns: None where the text names none.
    """
    classes = _classes()
    raises = next((classes[word.lower()] for word in re.findall(r"\w+", text) if word.lower() in classes), None)
    if raises is None:
        return None
    rules = tuple(
        _explained(each, rule, ", ".join(map(str, rule.codes)) or "without a code")
        for each in _known(rulesets)
        for rule in each.rules
        if rule.raises is raises
    )
    narrower = {cls.__name__ for cls in classes.values() if issubclass(cls, raises) and cls is not raises}
    return ClassExplanation(raises, rules, tuple(sorted(narrower)))


def _classes() -> dict[str, type[BaseException]]:
    """Return dbkit's error classes by their names in small letters, those known from oslo.db too."""
    values = {name: getattr(exceptions, name) for name in exceptions.__all__}
    return {name.lower(): each for name, each in values.items() if issubclass(each, BaseException)}


def _known(rulesets: Iterable[RuleSet] | None) -> tuple[RuleSet, ...]:
    return tuple(rulesets) if rulesets is not None else _installed_rules()


def _installed_rules() -> tuple[RuleSet, ...]:
    by_name = {backend.rules.name: backend.rules for backend in installed().backends.values()}
    return tuple(by_name[name] for name in sorted(by_name))


def _caught(rules: RuleSet, asked: str) -> Iterator[tuple[Rule, Code]]:
    seen: set[int] = set()
    for signature in rules.clues(asked):
        for rule in _rules_for(rules, signature):
            if id(rule) not in seen:
                seen.add(id(rule))
                yield rule, signature.codes[0]


def _rules_for(rules: RuleSet, signature: Signature) -> Iterator[Rule]:
    if signature.message:
        verdict = rules.judge(signature)
        if verdict is not None:
            yield verdict.rule
        return
    for rule in rules.rules:
        if any(code in rule.codes for code in signature.codes):
            yield rule
            if not rule.text and not rule.classes:
                return  # the rules after it never see this code


def _explained(rules: RuleSet, rule: Rule, code: Code) -> Explanation:
    return Explanation(
        asked=str(code),
        means=rule.means or rule.raises.summary,
        product=rules.name,
        rule=rule,
        raises=rule.raises,
        transient=rule.raises.transient if rule.transient is None else rule.transient,
        outcome=rules.outcome_of(rule),
        at_commit=rules.commit_outcome_of(rule),
        advice=rule.raises.advice,
        source=rule.source,
        page=f"errors/{rule.raises.__name__}",
    )


def _near(rulesets: Iterable[RuleSet], asked: str) -> tuple[str, ...]:
    names = {
        str(code): f"{code} ({rules.name})" for rules in rulesets for rule in rules.rules for code in rule.codes
    } | {name.upper(): cls.__name__ for name, cls in _classes().items()}
    words = [word.strip("()[],.:;'\"").upper() for word in asked.split()]
    near = dict.fromkeys(
        name for word in words for name in difflib.get_close_matches(word, names, n=_MOST_HINTS, cutoff=0.6)
    )
    return tuple(dict.fromkeys(names[name] for name in near))[:_MOST_HINTS]
