"""Write what the documentation says of the rules: ``python -m dbkit.tests.samples.document``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dbkit.backends.rules import Code, Rule, RuleSet
from dbkit.tests.samples.rulesets import RULESETS
from dbkit.tests.samples.specimen import PRODUCTS, Sample, load

DOCUMENT = Path(__file__).parents[3] / "doc" / "source" / "reference" / "error-rules.rst"

_TITLES = {"postgresql": "PostgreSQL", "mysql": "MySQL, MariaDB and Galera", "sqlite": "SQLite"}

_HEAD = """\
.. Generated from the rules and their samples. Regenerate with:
   python -m dbkit.tests.samples.document

===========
Error rules
===========

How each error of each database becomes one of dbkit's. The first rule that matches decides, so the order of a table is
its precedence. A rule goes by code; a text stands here only where one code means several things, or where the driver
gives none.

The column *Transaction* says what becomes of a transaction in which a statement fails so, and, after a dash, what
becomes of it when it is COMMIT that fails so, where that differs. *Again* says whether the same transaction may succeed
when it is run again.

Each rule has been seen: its samples were recorded from a real server with every driver. A code marked ``*`` was raised
by order, because it is hard to come by; one marked ``?`` was taken from the product's documentation.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for product in PRODUCTS for line in _product(product))])


def _product(product: str) -> Iterator[str]:
    rules, samples = RULESETS[product], load(product)
    title = _TITLES[product]
    drivers = sorted({f"{sample.driver} {sample.driver_version}" for sample in samples})
    servers = sorted({sample.server_version for sample in samples})
    yield f"{title}\n{'=' * len(title)}\n"
    recorded = f"Recorded from {', '.join(servers)} with {', '.join(drivers)}."
    yield _filled(recorded) + "\n"
    yield ".. list-table::\n   :header-rows: 1\n   :widths: 18 24 32 18 8\n"
    yield from _row(("Code", "Error", "What happened", "Transaction", "Again"))
    seen = _seen(samples)
    for rule in rules.rules:
        yield from _row(_cells(rules, rule, seen))
    yield ""


def _filled(text: str, first: str = "", others: str = "") -> str:
    wrapper = textwrap.TextWrapper(
        118, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.fill(text)


def _row(cells: Iterable[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        first = "   * - " if number == 0 else "     - "
        yield _filled(cell, first, " " * 7)


def _cells(rules: RuleSet, rule: Rule, seen: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    happened = rule.means or rule.raises.summary
    if rule.text:
        happened += f"; only where the text matches ``{rule.text.strip()}``"
    if rule.untested:
        happened += f" (not recorded: {rule.untested})"
    outcome, at_commit = rules.outcome_of(rule), rules.commit_outcome_of(rule)
    transaction = outcome.value if outcome is at_commit else f"{outcome.value} -- {at_commit.value}"
    transient = rule.raises.transient if rule.transient is None else rule.transient
    page = f":doc:`{rule.raises.__name__} </errors/{rule.raises.__name__}>`"
    return _codes(rule, seen), page, happened, transaction, "yes" if transient else "no"


def _codes(rule: Rule, seen: Mapping[tuple[str, str], str]) -> str:
    if not rule.codes:
        return f"none; {', '.join(rule.classes) or 'any class'}"
    return ", ".join(_marked(code, seen.get((rule.label, str(code)), "")) for code in rule.codes)


def _marked(code: Code, how: str) -> str:
    mark = {"real": "", "signalled": "*"}.get(how, "?")
    return f"``{code}{mark}``"


def _seen(samples: Iterable[Sample]) -> dict[tuple[str, str], str]:
    """Return how each code of each rule was seen: a real error counts more than one that was signalled."""
    found: dict[tuple[str, str], str] = {}
    for sample in samples:
        signature = None
        for rules in RULESETS.values():
            if sample.expected["rule"] in {rule.label for rule in rules.rules}:
                signature = rules.signature(sample.exception())
        for code in signature.codes if signature else ():
            key = (sample.expected["rule"], str(code))
            if found.get(key) != "real":
                found[key] = sample.how
    return found


def main() -> None:
    """Write the page."""
    DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
    DOCUMENT.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
