"""``dbkit explain``: what an error code, a line of a log, or a class of dbkit's errors means."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

from cliff.app import App
from cliff.lister import Lister

from dbkit.backends.explain import ClassExplanation, Explanation, explain, explain_class
from dbkit.cmd.command import guard, run_typed, without_secrets
from dbkit.exceptions import DBError

_COLUMNS = (
    "product", "code", "only if", "raises", "means", "transient", "transaction", "at commit", "to do", "source", "page",
)  # fmt: skip


class Explain(Lister):
    """Say which rules catch an error, what it means, and what becomes of the transaction.

    The error is a code, such as 1213, 40P01 or SQLITE_BUSY, a message as it stands in a log, or a class, such as
    DBDeadlock. The answer is written as text for people, or in the form that -f names. It ends with 1 if nothing is
    known of the error.
    """

    app: App

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the subcommand's arguments."""
        parser = guard(super().get_parser(prog_name))
        parser.add_argument(
            "error", nargs="+", metavar="CODE|MESSAGE|CLASS", help="an error code, a line of a log, or a class"
        )
        parser.set_defaults(formatter=None, fit_width=True)  # None: as text; a table of so many columns is unreadable
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the subcommand; return the exit code."""
        return run_typed(self._run, self, parsed_args)

    def _run(self, parsed_args: argparse.Namespace) -> int:
        found: Sequence[Explanation | ClassExplanation] = _found(_asked(parsed_args))
        if any(isinstance(each, Explanation) and each.rule is None for each in found):
            self.app.stderr.writelines(f"dbkit: {without_secrets(str(each))}\n" for each in found)
            return 1
        if parsed_args.formatter is None and not parsed_args.columns:
            self.app.stdout.write("\n\n".join(map(str, found)) + "\n")
            return 0
        parsed_args.formatter = parsed_args.formatter or "table"
        return super().run(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
        """Return the columns and a row for each rule."""
        return _COLUMNS, [row for each in _found(_asked(parsed_args)) for row in _rows(each)]


def _found(asked: str) -> Sequence[Explanation | ClassExplanation]:
    """Return what is known: of the code, or else of the class."""
    found = explain(asked)
    if found[0].rule is None:
        named = explain_class(asked)
        if named is not None:
            return [named]
    return found


def _asked(parsed_args: argparse.Namespace) -> str:
    return " ".join(parsed_args.error)


def _rows(found: Explanation | ClassExplanation) -> Iterator[Sequence[str]]:
    """Yield a row for each rule; for a class that no rule raises, one that says what the class says."""
    if isinstance(found, Explanation):
        yield _row(found)
    elif found.rules:
        yield from map(_row, found.rules)
    else:
        cls = found.raises
        says = (
            ("yes" if cls.transient else "no", cls.outcome.value, "", cls.advice)
            if issubclass(cls, DBError)
            else ("", "", "", "")
        )
        yield ("", "", "", cls.__name__, found.means, *says, "", found.page)


def _row(found: Explanation) -> Sequence[str]:
    assert found.rule is not None and found.raises is not None
    return (
        found.product,
        found.asked,
        found.rule.text,
        found.raises.__name__,
        found.means,
        "yes" if found.transient else "no",
        found.outcome.value,
        found.at_commit.value,
        found.advice,
        found.source,
        found.page,
    )
