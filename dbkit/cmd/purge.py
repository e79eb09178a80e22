"""``dbkit purge``: remove for good what was deleted long enough ago."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from oslo_config import cfg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from sqlalchemy import MetaData, Table, inspect

from dbkit.cmd.command import Command
from dbkit.database import Database
from dbkit.exceptions import InvalidSetting, UsageError
from dbkit.models.marking import marking_of
from dbkit.queries.bulk.purges import Purge, Purged, purge

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d+)([smhdw])")
_MOST_AT_ONCE = 100_000
_INTERRUPTED = 130


def age(given: str) -> timedelta:
    """Read how long something is ago from the command line: ``90d``, ``12h``."""
    found = _AGE.fullmatch(given)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{given!r} is no age; write a whole number and its unit: 30s, 15m, 12h, 90d or 8w"
        )
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{given!r} is longer than the calendar") from None


def _batch(given: str) -> int:
    if not given.isdecimal() or not 1 <= int(given) <= _MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"it must be a whole number from 1 to {_MOST_AT_ONCE}, not {given!r}")
    return int(given)


class PurgeCommand(Command):
    """Remove for good the rows that were deleted long enough ago, in batches.

    Each batch is a transaction of its own: the command can be interrupted at any moment, and run again. Without --url
    and --config-file it works on the database that the environment names. It ends with 0 when it is done, also if rows
    are held by others that refer to them; with 1 if it failed, with 130 if it was interrupted.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add = parser.add_argument
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--url", help="the database, as a SQLAlchemy URL")
        where.add_argument(
            "--config-file", action="append", metavar="FILE", help="a file with a [database] section; may be repeated"
        )
        add(
            "--models", action="append", required=True, metavar="MODULE:NAME",
            help="what is purged: a declarative base or MetaData, of which all tables that are marked, a class or a "
            "Table; may be repeated",
        )  # fmt: skip
        add(
            "--older-than", type=age, required=True, metavar="AGE",
            help="how long rows stay after their deletion: 30s, 15m, 12h, 90d, 8w",
        )  # fmt: skip
        add("--batch", type=_batch, default=1000, metavar="N", help="rows in a transaction (default: 1000)")
        add(
            "--archive", nargs="?", const="shadow_{}", metavar="NAME",
            help="move the rows into tables of this name, {} standing for the table's own (default: shadow_{})",
        )  # fmt: skip
        add(
            "--along", action="append", default=[], metavar="MODULE:NAME",
            help="a class or Table without marks, whose rows go with those that they refer to; may be repeated",
        )  # fmt: skip
        add("--dry-run", action="store_true", help="only count")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Purge; return the exit code."""
        tables = [table for each in parsed_args.models for table in marked_tables(each)]
        along = [_one(each) for each in parsed_args.along]
        database = _database(parsed_args)
        out = self.app.stdout
        try:
            with _progress(out) as progress:
                done = purge(
                    database,
                    tables,
                    older_than=parsed_args.older_than,
                    batch=parsed_args.batch,
                    archive=parsed_args.archive,
                    along=along,
                    dry_run=parsed_args.dry_run,
                    progress=progress,
                )
        except KeyboardInterrupt:
            self.app.stderr.write("dbkit: interrupted; the batches that ended are done, run it again for the rest\n")
            return _INTERRUPTED
        finally:
            database.dispose()
        out.writelines(f"{line}\n" for line in _report(done, is_dry=parsed_args.dry_run))
        return 0


def marked_tables(name: str) -> list[Table]:
    """Return the tables that are marked among those that ``module:name`` stands for.

    :raises UsageError: there is no such thing, or nothing that is marked in it.
    """
    found = _found(name)
    metadata = found if isinstance(found, MetaData) else getattr(found, "metadata", None)
    if isinstance(found, Table) or inspect(found, raiseerr=False) is not None:
        return [_one(name)]
    if not isinstance(metadata, MetaData):
        raise UsageError(f"{name} is neither a declarative base nor a MetaData, a mapped class or a Table")
    tables = [each for each in metadata.tables.values() if _is_datable(each)]
    if not tables:
        raise UsageError(
            f"none of the tables of {name} is marked when its rows are deleted; if they are declared in other modules, "
            "name one that imports them all"
        )
    return tables


def _is_datable(table: Table) -> bool:
    marking = marking_of(table)
    return marking is not None and marking.moment is not None


def _one(name: str) -> Any:
    found = _found(name)
    if isinstance(found, Table):
        return found
    mapper: Any = inspect(found, raiseerr=False)
    if mapper is None or not hasattr(mapper, "base_mapper"):
        raise UsageError(f"{name} is neither a mapped class nor a Table")
    return mapper.base_mapper.local_table


def _found(name: str) -> Any:
    module, colon, path = name.partition(":")
    if not colon or not module or not path:
        raise UsageError(f"write {name!r} as MODULE:NAME, such as inventory.models:Base")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the application is often not installed
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise UsageError(f"the module {module} imports {error.name}, which is not installed") from error
        raise UsageError(f"there is no module {module}; it is looked for here and where packages are") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise UsageError(f"the module {module} has no {path}") from error
    return found


def _database(parsed_args: argparse.Namespace) -> Database:
    if parsed_args.url is not None:
        return Database(parsed_args.url)
    if parsed_args.config_file is None:
        return Database()
    conf = cfg.ConfigOpts()
    try:
        conf([], project="dbkit", default_config_files=parsed_args.config_file)
    except cfg.Error as error:
        raise InvalidSetting(f"the configuration cannot be read: {error}") from error
    return Database.from_config(conf)


@contextlib.contextmanager
def _progress(out: TextIO) -> Iterator[Callable[[Purged], None] | None]:
    """Show a bar for each table on a terminal; nothing elsewhere, where the report says it all."""
    if not out.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(state: Purged) -> None:
            if state.table not in tasks:
                tasks[state.table] = bars.add_task(state.table, total=state.found)
            bars.update(tasks[state.table], completed=state.rows)

        yield show


def _report(done: Purge, *, is_dry: bool) -> Iterable[str]:
    for each in done.tables:
        held = f", {each.held} held by rows that refer to them or by other transactions" if each.held else ""
        if is_dry:
            yield f"{each.table}: {each.found} rows old enough{held}"
        else:
            yield f"{each.table}: {each.rows} rows removed{held}"
    if is_dry:
        yield "nothing was removed"
