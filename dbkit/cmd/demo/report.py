"""The demo's tables on the screen, and its progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dbkit.cmd.demo.check import Finding
from dbkit.cmd.demo.requests import SHARES
from dbkit.cmd.demo.workload import Answer, Phase
from dbkit.exceptions import DBError

_PLAIN_WIDTH = 110
_PLAIN_STEPS = 5


class Report:
    """Writes for a terminal, or plainly for a file or pipe."""

    def __init__(self, stream: TextIO) -> None:
        is_terminal = stream.isatty()
        self._console = Console(file=stream, width=None if is_terminal else _PLAIN_WIDTH, highlight=False)

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(escape(text), soft_wrap=True)

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[], None]]:
        """Show how far it is; the function that is handed out counts one more, from any thread."""
        if self._console.is_terminal:
            bar = Progress(
                TextColumn("carrying out requests"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            with bar:
                task = bar.add_task("", total=total)
                yield lambda: bar.advance(task)
        else:
            yield _PlainProgress(total, self.say)

    def tables(self, phases: Sequence[Phase], findings: Sequence[Finding]) -> None:
        """Write what was asked, what failed, how fast it went, and what the check found."""
        answers = [answer for phase in phases for answer in phase.answers]
        for table in (_requests(answers), _rollbacks(answers), _speed(phases), _findings(findings)):
            self._console.print(table)
            self._console.print()
        for finding in findings:
            for line in finding.shown():
                self.say(f"BROKEN, {finding.invariant}: {line}")


class _PlainProgress:
    """Says now and then how far it is."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._lock = Lock()
        self._total = total
        self._say = say
        self._done = 0

    def __call__(self) -> None:
        with self._lock:
            self._done += 1
            step = self._done * _PLAIN_STEPS // self._total
            if step > (self._done - 1) * _PLAIN_STEPS // self._total:
                self._say(f"{self._done} of {self._total} requests carried out")


def _table(title: str, *columns: str, texts: int = 1) -> Table:
    """Return a table whose first columns are texts and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < texts else "right", overflow="fold")
    return table


def _requests(answers: Sequence[Answer]) -> Table:
    table = _table("Requests", "kind", "asked", "committed", "rolled back", "run again")
    rows = [(kind, [answer for answer in answers if answer.asked.kind == kind]) for kind in SHARES]
    for kind, those in [*rows, ("all", list(answers))]:
        if kind == "all":
            table.add_section()
        failed = sum(answer.error is not None for answer in those)
        again = sum(len(answer.conflicts) for answer in those)
        table.add_row(kind, str(len(those)), str(len(those) - failed), str(failed), str(again))
    return table


def _rollbacks(answers: Sequence[Answer]) -> Table:
    table = _table("Transactions rolled back", "error", "outcome", "what was done", "times", texts=3)
    counted: Counter[tuple[str, str, str]] = Counter()
    for answer in answers:
        counted.update((*_named(error), "run again") for error in answer.conflicts)
        if answer.error is not None:
            counted[(*_named(answer.error), "raised to the caller")] += 1
    for (name, outcome, done), times in sorted(counted.items(), key=lambda item: -item[1]):
        table.add_row(name, outcome, done, str(times))
    return table


def _named(error: Exception) -> tuple[str, str]:
    return type(error).__name__, error.outcome.value if isinstance(error, DBError) else "the application's own"


def _speed(phases: Sequence[Phase]) -> Table:
    table = _table("Speed", "carried out by", "requests", "seconds", "requests a second")
    for phase in phases:
        done = len(phase.answers)
        table.add_row(phase.name, str(done), f"{phase.seconds:.1f}", f"{done / max(phase.seconds, 1e-9):.0f}")
    return table


def _findings(findings: Sequence[Finding]) -> Table:
    table = _table("What the database holds", "invariant", "", "looked at", texts=2)
    for finding in findings:
        verdict = "holds" if finding.holds else f"BROKEN {len(finding.broken)} times"
        table.add_row(finding.invariant, verdict, str(finding.looked_at), style=None if finding.holds else "bold red")
    return table
