"""The runs: each workload with its protections and its controls, short and at its full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbkit.spec import Colour
from dbkit.tests.behaviours.combinations import MARIADB, SERVERS, SQLITE_FILE, Combination, Product
from dbkit.tests.soak import appends, bank, cancellations, counter, galera, kills, nested, pages, updates
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground

Workload = Callable[..., Figures]
Arguments = Mapping[str, Any]

ALL = SERVERS
BLOCKING = frozenset(each for each in ALL if each.colour is Colour.BLOCKING)
ASYNCIO = ALL - BLOCKING


def _these(*drivers: tuple[str, Colour]) -> frozenset[Combination]:
    return frozenset(each for each in ALL if (each.driver, each.colour) in drivers)


#: Each product once in each colour.
ONE_EACH = _these(
    ("psycopg", Colour.BLOCKING), ("asyncpg", Colour.ASYNCIO), ("pymysql", Colour.BLOCKING), ("asyncmy", Colour.ASYNCIO)
)  # fmt: skip
#: Each product, each colour.
TWO = _these(("psycopg", Colour.BLOCKING), ("asyncmy", Colour.ASYNCIO))
OTHER_TWO = _these(("asyncpg", Colour.ASYNCIO), ("pymysql", Colour.BLOCKING))
#: Where a short run of a control is enough: it need only fail.
ONE = _these(("psycopg", Colour.BLOCKING))
ANOTHER = _these(("asyncmy", Colour.ASYNCIO))


def _on_a_ground(workload: Workload) -> Workload:
    def run(combination: Combination, **arguments: Any) -> Figures:
        with Ground(combination) as ground:
            return workload(ground, **arguments)

    return run


@dataclass(frozen=True)
class Run:
    """A workload with its arguments.

    :ivar name: by which it is chosen on the command line and found among the tests.
    :ivar workload: takes a combination and the arguments.
    :ivar on: where the full run is made.
    :ivar short_on: where the short run is made.
    :ivar arguments: the same in both.
    """

    name: str
    workload: Workload
    full: Arguments
    short: Arguments
    short_on: frozenset[Combination]
    on: frozenset[Combination] = ALL
    arguments: Arguments = field(default_factory=dict)

    def make(self, combination: Combination, *, is_full: bool, seed: int, **arguments: Any) -> Figures:
        """Make the run and return its figures."""
        sizes = self.full if is_full else self.short
        return self.workload(combination, seed=seed, **{**self.arguments, **sizes, **arguments})


_counter = _on_a_ground(counter.run)
_bank = _on_a_ground(bank.run)
_nested = _on_a_ground(nested.run)
_appends = _on_a_ground(appends.run)
_cancel = _on_a_ground(cancellations.run)

_BOTH = ("retrying", "exactly_once")
_THREE = (*_BOTH, "replaying")
_SERIAL = "serializable"
_BY_HAND = {"control": "by_hand"}


def _protected(*protections: str, **others: Any) -> Arguments:
    return {"protections": protections, **others}


def _counters() -> Iterator[Run]:
    full, short = {"size": 2000}, {"size": 40, "chance": 0.1}
    yield Run("counter", _counter, full, short, ONE_EACH)
    yield Run("counter-replay", _counter, full, short, TWO, arguments=_protected(*_THREE))
    postgresql = frozenset(each for each in ALL if each.product is Product.POSTGRESQL)
    yield Run("counter-status", _counter, full, short, postgresql & ONE_EACH, postgresql, {"fence": "status"})
    yield Run("counter-by-hand", _counter, full, short, ANOTHER, arguments=_BY_HAND)
    yield Run("counter-oslo-db", _counter, full, short, BLOCKING & ONE_EACH, BLOCKING, {"control": "oslo.db"})


def _banks() -> Iterator[Run]:
    full, short = {"size": 4000}, {"size": 30, "chance": 0.03}
    yield Run("bank", _bank, full, short, OTHER_TWO)
    yield Run("bank-replay", _bank, full, short, TWO, arguments=_protected(*_THREE))
    yield Run("bank-replay-only", _bank, full, short, ANOTHER, arguments=_protected("exactly_once", "replaying"))
    yield Run("bank-by-hand", _bank, full, {**short, "size": 15, "commits": 0.25}, ANOTHER, arguments=_BY_HAND)
    long, brief = {"size": 1000, "chance": 0.02}, {"size": 80, "chance": 0.05}
    yield Run("bank-unverified", _bank, long, brief, ONE, arguments=_protected(*_THREE, unverified=True))


def _nests() -> Iterator[Run]:
    full, short = {"size": 2000}, {"size": 30, "chance": 0.02}
    yield Run("nested", _nested, full, short, OTHER_TWO)
    yield Run("nested-no-replay", _nested, full, short, ONE, arguments=_protected(*_BOTH))
    yield Run(
        "nested-by-hand", _nested, {"size": 300}, {**short, "size": 12, "commits": 0.25}, ANOTHER, arguments=_BY_HAND
    )


def _lists() -> Iterator[Run]:
    full, short = {"size": 3000}, {"size": 50, "chance": 0.03}
    yield Run("appends", _appends, full, short, OTHER_TWO, arguments=_protected(*_THREE, _SERIAL))
    arguments = _protected(_SERIAL, must_break="duplicate-elements", commits=0.25, **_BY_HAND)
    yield Run("appends-by-hand", _appends, {"size": 300}, {**short, "size": 30}, ANOTHER, arguments=arguments)
    arguments = _protected(*_BOTH, "read_committed", must_break="G-single")
    yield Run("appends-read-committed", _appends, {"size": 500}, {"size": 150}, ONE, arguments=arguments)


def _losses_of_servers() -> Iterator[Run]:
    galeras = MARIADB & ALL
    pymysql = OTHER_TWO & BLOCKING
    yield Run("galera", galera.run, {"size": 2000}, {"size": 50}, pymysql, galeras)
    yield Run("galera-by-hand", galera.run, {"size": 2000}, {"size": 50, "chance": 0.1}, pymysql, pymysql, _BY_HAND)
    yield Run("kill-client", _on_a_ground(kills.clients), {"size": 20}, {"size": 2}, TWO)
    yield Run("kill-server", kills.crashes, {"size": 20}, {"size": 2}, TWO)
    yield Run("kill-server-by-hand", kills.crashes, {"size": 4}, {"size": 2}, ONE, arguments=_BY_HAND)
    yield Run("stop-server", kills.stops, {"size": 10}, {"size": 1}, OTHER_TWO)
    yield Run("silence", _on_a_ground(kills.silences), {"size": 40}, {"size": 4}, TWO)
    yield Run("fail-over", kills.failovers, {"size": 10}, {"size": 2}, ONE)
    yield Run("fail-over-lossy", kills.failovers, {"size": 10}, {"size": 2}, ANOTHER, arguments={"loses": True})


def _cancellations() -> Iterator[Run]:
    def run(name: str, short_on: frozenset[Combination] = ASYNCIO & ONE_EACH, **arguments: Any) -> Run:
        return Run(f"cancel-{name}", _cancel, {}, {}, short_on, ASYNCIO, arguments)

    yield run("plain", protections=())
    for storm in cancellations.STORMS:
        yield run(f"once-{storm}", ASYNCIO, protections=("exactly_once",), storm=storm)
        yield run(f"all-{storm}", protections=_THREE, storm=storm)
    yield run("often", protections=("exactly_once",), storm="after", times=1000)
    yield run("cold", protections=_THREE, cold=True)
    yield run("control", control="sqlalchemy")


def _updates() -> Iterator[Run]:
    def on_sqlite(colour: Colour) -> frozenset[Combination]:
        return frozenset(each for each in SQLITE_FILE if each.colour is colour)

    def run(way: str, full: int, short_on: frozenset[Combination]) -> Run:
        short = {"size": 40}
        return Run(f"updates-{way}", updates.run, {"size": full}, short, short_on, ALL | SQLITE_FILE, {"way": way})

    yield run("cas", 4000, ONE_EACH | on_sqlite(Colour.BLOCKING))
    yield run("flush", 2000, TWO | on_sqlite(Colour.ASYNCIO))
    yield run("rerun", 4000, OTHER_TWO)
    yield run("counter", 8000, TWO | on_sqlite(Colour.BLOCKING))
    yield run("combiner", 8000, ONE_EACH | SQLITE_FILE)
    blind = {"control": "blind"}
    yield Run(
        "updates-blind",
        updates.run,
        {"size": 2000},
        {"size": 80},
        ANOTHER | on_sqlite(Colour.BLOCKING),
        ALL | SQLITE_FILE,
        blind,
    )
    pymysql = OTHER_TWO & BLOCKING
    for way, size in (("cas", 1000), ("flush", 500), ("rerun", 1000), ("counter", 2000), ("combiner", 4000)):
        arguments = {"way": way, "cluster": True}
        yield Run(f"updates-galera-{way}", updates.run, {"size": size}, {}, frozenset(), MARIADB & ONE_EACH, arguments)
    arguments = {"cluster": True, **blind}
    yield Run("updates-galera-blind", updates.run, {"size": 500}, {}, frozenset(), pymysql, arguments)


def _pages() -> Iterator[Run]:
    full, short = {"size": len(pages.ALL)}, {"size": 2}
    yield Run("pagination", pages.run, full, short, OTHER_TWO, ONE_EACH | SQLITE_FILE)


RUNS: tuple[Run, ...] = (
    *_counters(),
    *_banks(),
    *_nests(),
    *_lists(),
    *_losses_of_servers(),
    *_cancellations(),
    *_updates(),
    *_pages(),
)
