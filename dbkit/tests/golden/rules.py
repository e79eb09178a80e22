"""All rules for drivers' errors, in order of precedence; ``python -m dbkit.tests.golden.rules`` writes the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dbkit.backends.rules import Rule, RuleSet
from dbkit.tests.samples.rulesets import RULESETS

GOLDEN = Path(__file__).with_name("rules.txt")


def render() -> str:
    """Return the list of all rules."""
    lines = ["# All rules, in order of precedence. Regenerate with: python -m dbkit.tests.golden.rules"]
    for name, rules in RULESETS.items():
        lines += ["", f"[{name}]", *(" | ".join(_parts(rules, rule)) for rule in rules.rules)]
    return "\n".join(lines) + "\n"


def _parts(rules: RuleSet, rule: Rule) -> Iterator[str]:
    yield " ".join(map(str, rule.codes)) or "no code"
    if rule.classes:
        yield f"class {' '.join(rule.classes)}"
    if rule.text:
        yield f"text {rule.text}"
    yield rule.raises.__name__
    yield f"{rules.outcome_of(rule).value}, at COMMIT {rules.commit_outcome_of(rule).value}"
    if rule.raises.transient if rule.transient is None else rule.transient:
        yield "transient"
    if rule.disconnect:
        yield "disconnect"


def main() -> None:
    """Write the list."""
    GOLDEN.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
