"""What all subcommands of ``dbkit`` have in common: one line for an error, and no password on the screen."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from cliff.app import App
from cliff.command import Command as CliffCommand

from dbkit.engines.url_mask import mask
from dbkit.exceptions import DBError

_URL = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\"]+")


def without_secrets(text: str) -> str:
    """Return the text with the secrets of every URL in it hidden."""
    return _URL.sub(lambda found: mask(found[0]), text)


def guard(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser's complaints, which quote what was typed, show no password."""
    complain = parser.error

    def error(message: str) -> NoReturn:
        complain(without_secrets(message))

    parser.error = error  # type: ignore[method-assign]
    return parser


class Command(CliffCommand):
    """A subcommand. Errors of dbkit are said in one line and end it with 1; anything else is a defect and shows."""

    app: App

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the subcommand's arguments."""
        return guard(super().get_parser(prog_name))

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the subcommand; return the exit code."""
        return run_typed(super().run, self, parsed_args)


def run_typed(run: Any, command: Any, parsed_args: argparse.Namespace) -> int:
    """Run a subcommand; say an error of dbkit in one line."""
    try:
        return int(run(parsed_args) or 0)
    except DBError as error:
        if command.app.options.debug:
            raise
        command.app.stderr.write(f"dbkit: {without_secrets(' '.join(str(error).split()))}\n")
        return 1
