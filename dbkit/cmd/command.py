"""What all subcommands of ``dbkit`` have in common: one line for an error, and no password on the screen."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn, Protocol

from cliff.app import App
from cliff.command import Command as CliffCommand

from dbkit.exceptions import DBError
from dbkit.masking import mask

_URL = re.compile(r"[a-zA-Z][\w+.-]*://[^\s'\",;]+")


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


class _Runs(Protocol):
    """A subcommand, of whatever kind."""

    @property
    def app(self) -> App:
        """The application that it belongs to."""


class Command(CliffCommand):
    """A subcommand. An error is said in one line and ends it with 1."""

    app: App

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the subcommand's arguments."""
        return guard(super().get_parser(prog_name))

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the subcommand; return the exit code."""
        return run_typed(super().run, self, parsed_args)


def run_typed(run: Callable[[argparse.Namespace], int], command: _Runs, parsed_args: argparse.Namespace) -> int:
    """Run a subcommand; say an error in one line, with --debug in full."""
    try:
        return run(parsed_args) or 0
    except Exception as error:  # the outermost boundary of the process
        if command.app.options.debug:
            raise
        # The text of our own errors never holds a password; another's may hold anything.
        text = str(error) if isinstance(error, DBError) else f"{type(error).__name__}; run it as: dbkit --debug ..."
        command.app.stderr.write(f"dbkit: {' '.join(text.split())}\n")
        return 1
