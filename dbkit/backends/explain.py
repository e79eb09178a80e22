"""Say what an error means: from a code, or from a line of a log."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbkit.backends.registry import installed
from dbkit.backends.rules import Code, Rule, RuleSet, Signature
from dbkit.exceptions import DBError, Outcome

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
            near = f"; near to it: {', '.join(self.hints)}" if self.hints else ""
            return f"{self.asked}: {self.means}{near}"
        only = f"\n  only if     the text matches {self.rule.text}" if self.rule.text else ""
        return (
            f"{self.product} {self.asked}: {self.means}{only}\n"
            f"  raises      {self.raises.__name__}\n"
            f"  transient   {'yes: the transaction may succeed when it is run again' if self.transient else 'no'}\n"
            f"  transaction {self.outcome.value}; at COMMIT: {self.at_commit.value}\n"
            f"  to do       {self.advice}\n"
            f"  source      {self.source}\n"
            f"  page        {self.page}"
        )


def explain(text: str, rulesets: Iterable[RuleSet] | None = None) -> list[Explanation]:
    """Return what the rules say of a code such as ``1213``, ``40P01`` or ``SQLITE_BUSY``, or of a line of a log.

    A code alone can be caught by several rules, which the server's text would tell apart; all are returned. So are
    those of every product that knows the code. There is always an answer: where no rule knows it, one that says so.

    :param rulesets: those to ask; None asks all backends that are installed.
    """
    known = tuple(rulesets) if rulesets is not None else _installed_rules()
    asked = text.strip()
    found = [_explained(rules, rule, code) for rules in known for rule, code in _caught(rules, asked)]
    return found or [
        Explanation(
            asked or "nothing",
            "no rule knows it, so it arrives as the class that the driver gave it",
            hints=_near(known, asked),
        )
    ]


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
    codes = {str(code): rules.name for rules in rulesets for rule in rules.rules for code in rule.codes}
    words = [word.strip("()[],.:;'\"").upper() for word in asked.split()]
    near = dict.fromkeys(
        code for word in words for code in difflib.get_close_matches(word, codes, n=_MOST_HINTS, cutoff=0.6)
    )
    return tuple(f"{code} ({codes[code]})" for code in list(near)[:_MOST_HINTS])
