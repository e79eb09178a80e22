"""The command line: its subcommands, and what they all do alike."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from dbkit.cmd.command import guard, without_secrets
from dbkit.cmd.demo.command import Demo
from dbkit.cmd.explain import Explain
from dbkit.cmd.purge import PurgeCommand

#: A distribution can add subcommands by entry points of this group.
NAMESPACE = "dbkit.commands"

_NOT_UNDERSTOOD = 2


class Application(App):
    """The ``dbkit`` command."""

    NAME = "dbkit"
    LOG = logging.getLogger("dbkit.cmd")

    def __init__(self) -> None:
        commands = CommandManager(NAMESPACE)
        commands.add_command("demo", Demo)
        commands.add_command("explain", Explain)
        commands.add_command("purge", PurgeCommand)
        super().__init__(
            description="Declared transactions on SQLAlchemy: what dbkit can do from the command line.",
            version=importlib.metadata.version("dbkit"),
            command_manager=commands,
            deferred_help=True,
        )

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Return the parser of the options that stand before the subcommand."""
        parser = argparse.ArgumentParser(
            prog=self.NAME, description=description, add_help=False, **(argparse_kwargs or {})
        )
        add = parser.add_argument
        add("-h", "--help", action="store_true", dest="deferred_help", help="show this, or the help of a command")
        add("--version", action="version", version=f"{self.NAME} {version}", help="show the version")
        add("--debug", action="store_true", help="show where an error comes from")
        add("--log-file", metavar="FILE", help="write everything that is logged into a file")
        loudness = parser.add_mutually_exclusive_group()
        loudness.add_argument(
            "-v", "--verbose", action="count", dest="verbose_level", default=self.DEFAULT_VERBOSE_LEVEL,
            help="show more of what is logged; twice shows all",
        )  # fmt: skip
        loudness.add_argument(
            "-q", "--quiet", action="store_const", dest="verbose_level", const=0, help="show warnings and errors only"
        )
        return guard(parser)

    def configure_logging(self) -> None:
        """Show warnings; with -v everything that dbkit logs."""
        super().configure_logging()
        if self.options.verbose_level == self.DEFAULT_VERBOSE_LEVEL:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is self.stderr:
                    handler.setLevel(logging.WARNING)

    def run(self, argv: list[str]) -> int:
        """Run the command line; return the exit code."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            return super().run(argv)
        finally:  # a program that calls main() keeps its own logging
            root.handlers[:] = handlers
            root.setLevel(level)

    def run_subcommand(self, argv: list[str]) -> int:
        """Find the subcommand and run it; return the exit code."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            known = ", ".join(name for name, _ in sorted(self.command_manager))
            self.stderr.write(f"dbkit: there is no command {without_secrets(argv[0])!r}; there are: {known}\n")
            return _NOT_UNDERSTOOD
        return super().run_subcommand(argv)


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code. Without a subcommand it shows the help: there is no prompt."""
    try:
        return Application().run(argv or ["--help"])
    except SystemExit as ended:  # argparse: help was shown, or the arguments were not understood
        return ended.code if isinstance(ended.code, int) else 0
