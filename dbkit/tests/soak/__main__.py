"""``python -m dbkit.tests.soak``: make runs, print a line for each, fail if one is not as it should be."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
import unittest
from collections.abc import Iterator, Sequence

from dbkit.spec import Colour
from dbkit.tests.behaviours.combinations import ALL, Combination
from dbkit.tests.soak.runs import RUNS, Run


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dbkit.tests.soak", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="by name, or by the beginning of names; all by default")
    parser.add_argument("--exact", action="store_true", help="no others whose names begin so")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--short", action="store_true", help="the sizes that the ordinary tests have")
    parser.add_argument("--size", type=int, help="writes of a run, or kills, in the place of its own size")
    parser.add_argument("--seed", type=int, default=1, help="of faults and choices; 1 by default")
    parser.add_argument("--product", choices=["postgresql", "mariadb", "sqlite_file"], help="only there")
    parser.add_argument("--driver", help="only this one")
    parser.add_argument("--colour", choices=[each.value for each in Colour], help="only this one")
    parser.add_argument("--protections", help="in the place of a run's own: names of modifiers, joined by commas")
    return parser.parse_args(given)


def _is_meant(name: str, arguments: argparse.Namespace) -> bool:
    return any(name == given or (not arguments.exact and name.startswith(f"{given}-")) for given in arguments.runs)


def _chosen(arguments: argparse.Namespace) -> Iterator[tuple[Run, Combination]]:
    for run in RUNS:
        if arguments.runs and not _is_meant(run.name, arguments):
            continue
        on = run.short_on if arguments.short and not arguments.driver else run.on
        for combination in (each for each in ALL if each in on):
            wanted = (
                (arguments.product, combination.product.value),
                (arguments.driver, combination.driver),
                (arguments.colour, combination.colour.value),
            )
            if all(asked in (None, has) for asked, has in wanted):
                yield run, combination


def main(given: Sequence[str] | None = None) -> int:
    """Make the chosen runs; return 0 if all are as they should be."""
    arguments = _arguments(given)
    if arguments.list:
        print("\n".join(run.name for run in RUNS))
        return 0
    logging.getLogger("dbkit").setLevel(logging.ERROR)  # of lost connections there are many
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    extra = {} if arguments.size is None else {"size": arguments.size}
    if arguments.protections is not None:
        extra["protections"] = tuple(arguments.protections.split(","))
    began, wrong, count = time.monotonic(), [], 0
    for run, combination in _chosen(arguments):
        count += 1
        name = f"{run.name} on {combination.name}"
        try:
            figures = run.make(combination, is_full=not arguments.short, seed=arguments.seed, **extra)
            print(figures, flush=True)
            if not figures.is_right:
                wrong.append(name)
                print(*(f"    {line}" for line in figures.damage), sep="\n", flush=True)
        except unittest.SkipTest as reason:
            print(f"{name}: skipped: {reason}", flush=True)
        except Exception:  # one run that breaks down does not keep the others from being made
            wrong.append(name)
            print(f"{name}: BROKEN DOWN", flush=True)
            traceback.print_exc()
    print(f"{count} runs in {time.monotonic() - began:.0f} s, {len(wrong)} not as they should be", flush=True)
    for name in wrong:
        print(f"    {name}", flush=True)
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
