"""Tables for the documentation, in reST, each file with the command that measured it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.choice import load
from benchmarks.versions import versions


def table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table as reST."""
    rows = [f"   {_cells(line)}" for line in lines]
    return "\n".join([f".. csv-table:: {title}", f"   :header: {_cells(header)}", "", *rows, ""])


def _cells(line: Sequence[str]) -> str:
    return ", ".join('"' + cell.replace('"', '""') + '"' for cell in line)


def command_of(name: str, arguments: Sequence[str]) -> str:
    """Return the command as others would type it, without the files that it writes."""
    kept, is_file = [], False
    for each in arguments:
        if not is_file and each not in ("--rst", "--json"):
            kept.append(each)
        is_file = each in ("--rst", "--json")
    return " ".join([f"python -m benchmarks {name}", *kept])


def write(file: str, command: str, notes: Sequence[str], tables: Sequence[str]) -> None:
    """Write tables into a file that a page of the documentation includes.

    :param command: what measured them.
    :param notes: what must be known of this run.
    """
    measured_with = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = "\n".join(
        [
            f".. Written by: {command} --rst FILE",
            "   Don't edit: measure again.",
            "",
            f"Measured by ``{command}``, with {measured_with}; {load()}.",
            *notes,
            "",
            *tables,
        ]
    )
    Path(file).write_text(text, encoding="utf-8")
