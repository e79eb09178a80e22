"""``dbkit demo``: make an inventory, drive it hard, and check what is left of it."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine

from dbkit.cmd.command import Command
from dbkit.cmd.demo.check import Finding, check
from dbkit.cmd.demo.context import RequestContext, main_context
from dbkit.cmd.demo.inventory import MOST_ROWS, PROJECT, draw, store, tables
from dbkit.cmd.demo.report import Report
from dbkit.cmd.demo.requests import planned
from dbkit.cmd.demo.workload import Crew, phases
from dbkit.engines.url import for_colour
from dbkit.exceptions import CantStartEngineError, DBError, DriverMissing
from dbkit.masking import mask
from dbkit.spec import Colour
from dbkit.testing import servers
from dbkit.testing.servers.kinds import database_names

_MOST_WORKERS = 20
"""Each may hold two connections at once, and a server gives away about a hundred."""


def number_between(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number between two bounds from the command line."""

    def read(given: str) -> int:
        try:
            number = int(given)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{given!r} is not a whole number") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"it must be from {low} to {high}, not {number}")
        return number

    return read


class Demo(Command):
    """Drive a small cloud inventory from many threads and asyncio tasks, and check that its rows are right.

    Without --url or --server it works on an SQLite file in a temporary folder. It ends with 0 if every invariant holds,
    with 1 if not.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--url", help="the database to make the demo's tables in, as a SQLAlchemy URL")
        where.add_argument(
            "--server",
            choices=database_names(),
            help="start a server of this kind for the demo; mysql and mariadb mean the same",
        )
        sizes: tuple[tuple[str, int, int, int, str], ...] = (
            ("--rows", 10_000, 100, MOST_ROWS, "floating addresses"),
            ("--operations", 2_000, 1, 1_000_000, "requests to carry out"),
            ("--threads", 4, 1, _MOST_WORKERS, "threads that carry them out"),
            ("--tasks", 8, 0, _MOST_WORKERS, "asyncio tasks that carry them out; 0 leaves asyncio out"),
            ("--seed", 1, 0, 2**32, "what chance begins with: the same seed asks the same requests"),
        )
        for name, default, low, high, what in sizes:
            parser.add_argument(
                name, type=number_between(low, high), default=default, metavar="N", help=f"{what} (default: {default})"
            )
        parser.add_argument("--keep", action="store_true", help="leave the file or the tables behind")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run the demo; return the exit code."""
        report = Report(self.app.stdout)
        with ExitStack() as stack:
            url = stack.enter_context(_database(parsed_args))
            _refuse_missing_drivers(url, parsed_args.tasks)
            main_context.configure(
                connection=url,
                max_pool_size=2 * _MOST_WORKERS + 2,
                max_overflow=0,
                max_retries=0 if parsed_args.url else 3,
                retry_interval=1,
            )
            stack.callback(main_context.dispose_pool)
            return _run(parsed_args, report, mask(url))


@contextmanager
def _database(parsed_args: argparse.Namespace) -> Iterator[str]:
    """Provide the URL of the database to work on, and whatever has to run behind it."""
    if parsed_args.url:
        yield parsed_args.url
    elif parsed_args.server:
        with servers.private(parsed_args.server) as server:
            yield server.url(database=server.create_database()).render_as_string(hide_password=False)
    elif parsed_args.keep:
        yield f"sqlite:///{Path(tempfile.mkdtemp(prefix='dbkit-demo-')) / 'inventory.db'}"
    else:
        with tempfile.TemporaryDirectory(prefix="dbkit-demo-") as folder:
            yield f"sqlite:///{Path(folder) / 'inventory.db'}"


def _refuse_missing_drivers(url: str, tasks: int) -> None:
    """Say so before anything is made in the database.

    :raises DriverMissing: a driver that the demo needs is not installed.
    """
    for_colour(url, Colour.BLOCKING)
    if not tasks:
        return
    try:
        for_colour(url, Colour.ASYNCIO)
    except DriverMissing as missing:
        raise DriverMissing(f"{missing}; or run the demo without asyncio: --tasks 0") from missing


def _reached(engine: Engine, masked_url: str) -> Engine:
    """Return the engine if its database can be used.

    :raises CantStartEngineError: it cannot, and the text says which one.
    """
    try:
        engine.connect().close()
    except DBError as error:
        raise CantStartEngineError(f"the demo cannot start on {masked_url}: {error}") from error
    return engine


def _run(parsed_args: argparse.Namespace, report: Report, masked_url: str) -> int:
    chance = random.Random(parsed_args.seed)
    inventory = draw(chance, parsed_args.rows)
    asked = list(planned(chance, inventory, parsed_args.operations))
    engine = _reached(main_context.writer.get_engine(), masked_url)
    with tables(engine, parsed_args.keep):
        store(RequestContext(PROJECT, "req-load"), inventory)
        report.say(f"{parsed_args.rows} floating addresses stored in {masked_url}")
        with report.progress(len(asked)) as advance:
            done = phases(asked, Crew(parsed_args.threads, parsed_args.tasks, advance))
        with engine.connect() as connection:
            answers = [answer for phase in done for answer in phase.answers]
            findings = check(connection, answers, parsed_args.rows)
        report.tables(done, findings)
    report.say(_verdict(findings))
    if parsed_args.keep:
        report.say(f"kept: {masked_url}")
    return 0 if all(finding.holds for finding in findings) else 1


def _verdict(findings: list[Finding]) -> str:
    broken = sum(not finding.holds for finding in findings)
    if broken:
        return f"{broken} of {len(findings)} invariants are broken"
    return f"all {len(findings)} invariants hold: nothing half-written, nothing lost, every error typed"
