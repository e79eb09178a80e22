"""The floors of the house, and the tests that hold every file to them.

A file imports only from lower floors or from its own room. Imports under ``TYPE_CHECKING`` and inside functions count
like any other: a type or a late import is a dependency too. A new file is entered here first.
"""

from __future__ import annotations

import ast
import unittest
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "dbkit"

# Lowest first. A floor is a tuple of rooms, a room a tuple of top-level names that know each other. Rooms of one floor
# don't: what two of them need stands below both.
FLOORS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("vocabulary", (("exceptions", "spec", "plan", "ambient", "deadline", "clock", "forking", "masking", "options"),)),
    ("databases", (("backends", "tokens"), ("filters",), ("schema",))),
    ("models", (("models",),)),
    ("engines", (("engines",), ("retry",), ("routing",))),
    ("transaction", (("transaction",),)),
    ("faces", (("enginefacade", "database"), ("queries",), ("outbox",))),
    ("around", (("testing",), ("observe",), ("ext",), ("migrations",), ("unify",))),
    ("command", (("cmd", "__main__"),)),
    ("compatibility", (("compat",),)),
)

# dbkit/__init__.py is the front door: it hands out names of the faces, stands on no floor, and nothing inside goes
# through it. It reaches no higher than the faces: `import dbkit` never pays for the command or the testing room.
DOOR = PACKAGE
DOOR_REACHES = "faces"

# The tests look at the house from outside.
OUTSIDE = "tests"

# One folder a product; the folders know what stands beside them in backends/, never each other.
PRODUCTS_IN = "dbkit.backends"

# The files in which `await`, `async for` and `async with` may stand. All others are written once for both colours.
COLOURED = frozenset(
    {
        # What the two colours are made of.
        "dbkit.clock",
        "dbkit.plan",
        "dbkit.transaction.greenlets",
        # A decorator for both colours.
        "dbkit.retry.decorator",
        "dbkit.transaction.retrying",
        # Lines in which tasks wait for their turn, and connects that must end in time.
        "dbkit.engines.arriving",
        "dbkit.engines.bell",
        "dbkit.engines.line",
        # Faces.
        "dbkit.database",
        "dbkit.outbox.colours",
        "dbkit.outbox.outbox",
        "dbkit.queries.pagination.pages",
        "dbkit.queries.locking.combiner",
        "dbkit.queries.locking.compare_and_swap",
        "dbkit.queries.locking.counter",
        "dbkit.queries.bulk.purges",
        "dbkit.queries.fast.lookup",
        "dbkit.queries.fast.save",
        "dbkit.queries.fast.rows",
        "dbkit.queries.fast.whole",
        "dbkit.queries.locking.update_match",
        "dbkit.queries.bulk.many",
        "dbkit.queries.bulk.streaming",
        "dbkit.queries.bulk.walking",
        "dbkit.transaction.block",
        "dbkit.transaction.commits",
        "dbkit.transaction.decorate",
        "dbkit.transaction.ending",
        "dbkit.transaction.hooks",
        "dbkit.transaction.manager",
        # Assertions that wait for something at the end of an ``async with``.
        "dbkit.testing.assertions.captured",
        "dbkit.testing.assertions.round_trips",
        # A test's sandbox, which ``async with`` enters.
        "dbkit.testing.isolation.sandbox",
        "dbkit.testing.isolation.stages",
        "dbkit.testing.pytest_plugin.loops",
        # What backends must pass: bodies for both colours.
        "dbkit.testing.suite.cancellation",
        "dbkit.testing.suite.case",
        "dbkit.testing.suite.colours",
        "dbkit.testing.suite.conflicts",
        "dbkit.testing.suite.connections",
        "dbkit.testing.suite.endings",
        "dbkit.testing.suite.errors",
        "dbkit.testing.suite.forks",
        "dbkit.testing.suite.levels",
        "dbkit.testing.suite.losses",
        "dbkit.testing.suite.nesting",
        "dbkit.testing.suite.reading",
        "dbkit.testing.suite.standings",
        "dbkit.testing.suite.urls",
        # Coroutine tests of testtools, and the loop in which they run.
        "dbkit.testing.fixtures.cases",
        "dbkit.testing.fixtures.loop",
        "dbkit.testing.fixtures.skips",
        # The example, and who drives it.
        "dbkit.cmd.demo.aapi",
        "dbkit.cmd.demo.workload",
    }
)

LONGEST_FILE = 400
VAGUE_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "misc"})


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    source: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.source, self.name)


@dataclass(frozen=True)
class Import:
    """A module that a line of a file imports, and the private names that it takes from there."""

    target: str
    line: int
    private: tuple[str, ...] = ()


def modules_under(folder: Path) -> dict[str, Module]:
    """Return all files of the package that lies in the folder, without its tests."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [folder.name, *path.relative_to(folder).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        if room_of(name) != OUTSIDE:
            found[name] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return found


def room_of(name: str) -> str:
    """Return the top-level name under which a module stands; empty for the door."""
    return name.split(".")[1] if "." in name else ""


def imports_of(module: Module, house: Mapping[str, Module]) -> Iterator[Import]:
    """Yield what the module imports from the package, wherever in the file it does so."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(names=aliases):
                origin = _origin(module, node)
                inside = [alias.name for alias in aliases if f"{origin}.{alias.name}" in house]
                for name in inside:
                    yield Import(f"{origin}.{name}", node.lineno)
                taken = [alias.name for alias in aliases if alias.name not in inside]
                if taken:
                    private = tuple(name for name in taken if name.startswith("_") and not name.startswith("__"))
                    yield Import(origin, node.lineno, private)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(first.value, node.lineno)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = module.name.split(".")
    if not module.is_package:
        parents.pop()
    parents = parents[: len(parents) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def own_imports(module: Module, house: Mapping[str, Module]) -> list[Import]:
    """Return what the module imports from the package itself."""
    found = imports_of(module, house)
    return [each for each in found if each.target == PACKAGE or each.target.startswith(f"{PACKAGE}.")]


# -- the rules: each takes the house and yields a line for every fault -----------------------------------------------


def homeless(house: Mapping[str, Module]) -> Iterator[str]:
    """Yield the files that stand on no floor."""
    known = _positions()
    for name in house:
        if name != DOOR and room_of(name) not in known:
            yield f"{name} stands on no floor: enter it in FLOORS"


def upward_imports(house: Mapping[str, Module]) -> Iterator[str]:
    """Yield the imports that lead to a higher floor, to another room of the same floor, or through the door."""
    known = _positions()
    highest = next(number for number, (name, _) in enumerate(FLOORS) if name == DOOR_REACHES)
    for module in house.values():
        for each in own_imports(module, house):
            there = known.get(room_of(each.target))
            if there is None:
                reason = "goes through the front door" if each.target == DOOR else "leads out of the house"
            elif module.name == DOOR:
                reason = f"reaches above the {DOOR_REACHES}" if there[0] > highest else ""
            elif (here := known.get(room_of(module.name))) is None or there == here:
                reason = ""
            elif there[0] > here[0]:
                reason = f"leads up from {FLOORS[here[0]][0]} to {FLOORS[there[0]][0]}"
            else:
                reason = "leads to another room of the same floor" if there[0] == here[0] else ""
            if reason:
                yield f"{module.name}:{each.line}: import of {each.target} {reason}"


def products_that_know_each_other(house: Mapping[str, Module]) -> Iterator[str]:
    """Yield the imports by which one product's folder uses another's."""
    products = {name for name, module in house.items() if module.is_package and _parent(name) == PRODUCTS_IN}
    for module in house.values():
        for each in own_imports(module, house):
            mine, theirs = _within(module.name, products), _within(each.target, products)
            if mine and theirs and mine != theirs:
                yield f"{module.name}:{each.line}: import of {each.target} leads from {mine} to {theirs}"


def circles(house: Mapping[str, Module]) -> Iterator[str]:
    """Yield each circle of files that is met when walking along the imports."""
    edges = {name: sorted({each.target for each in own_imports(module, house)}) for name, module in house.items()}
    done: set[str] = set()
    for start in edges:
        trail: list[str] = []
        pending: list[Iterator[str]] = [iter([start])]
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                if trail:
                    done.add(trail.pop())
            elif name in trail:
                yield " -> ".join([*trail[trail.index(name) :], name])
            elif name in edges and name not in done:
                trail.append(name)
                pending.append(iter(edges[name]))


def private_imports(house: Mapping[str, Module]) -> Iterator[str]:
    """Yield the imports of a name that begins with an underscore."""
    for module in house.values():
        for each in own_imports(module, house):
            for name in each.private:
                yield f"{module.name}:{each.line}: {name} is private to {each.target}"


def stray_awaits(house: Mapping[str, Module], coloured: Iterable[str] = COLOURED) -> Iterator[str]:
    """Yield the places outside the coloured files where something is awaited."""
    for module in house.values():
        if module.name in coloured:
            continue
        for node in ast.walk(module.tree):
            awaits = isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith))
            if awaits or (isinstance(node, ast.comprehension) and node.is_async):
                line = getattr(node, "lineno", "in a comprehension")
                yield f"{module.name}:{line}: await in a file that is not in COLOURED"


def _positions() -> dict[str, tuple[int, int]]:
    """Return the floor and the room of every top-level name, as numbers."""
    return {
        name: (floor, number)
        for floor, (_, rooms) in enumerate(FLOORS)
        for number, room in enumerate(rooms)
        for name in room
    }


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _within(name: str, packages: set[str]) -> str:
    return next((package for package in packages if name == package or name.startswith(f"{package}.")), "")


class TestTheHouse(unittest.TestCase):
    """The rules, applied to dbkit as it is."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.house = modules_under(Path(__file__).resolve().parent.parent)

    def assert_none(self, faults: Iterable[str]) -> None:
        found = sorted(set(faults))
        if found:
            self.fail("\n" + "\n".join(found))

    def test_the_files_are_found(self) -> None:
        self.assertIn("dbkit.exceptions", self.house)
        self.assertIn("dbkit.backends.base", self.house)

    def test_every_folder_is_a_package(self) -> None:
        """Others are neither installed nor searched for tests, without a word."""
        folders = {path.parent for path in Path(__file__).resolve().parent.parent.rglob("*.py")}
        self.assert_none(str(folder) for folder in folders if not (folder / "__init__.py").exists())

    def test_every_file_stands_on_a_floor(self) -> None:
        self.assert_none(homeless(self.house))

    def test_no_import_leads_up_or_sideways(self) -> None:
        self.assert_none(upward_imports(self.house))

    def test_products_do_not_know_each_other(self) -> None:
        self.assert_none(products_that_know_each_other(self.house))

    def test_no_files_import_each_other_in_a_circle(self) -> None:
        self.assert_none(circles(self.house))

    def test_private_names_stay_in_their_file(self) -> None:
        self.assert_none(private_imports(self.house))

    def test_await_stands_only_in_coloured_files(self) -> None:
        self.assert_none(stray_awaits(self.house))

    def test_coloured_files_exist_and_await(self) -> None:
        awaiting = {line.split(":")[0] for line in stray_awaits(self.house, coloured=())}
        self.assertEqual(set(), COLOURED - awaiting)

    def test_no_file_is_too_long_or_vaguely_named(self) -> None:
        lengths = {name: len(module.source.splitlines()) for name, module in self.house.items()}
        self.assertEqual({}, {name: length for name, length in lengths.items() if length > LONGEST_FILE})
        self.assert_none(name for name in self.house if VAGUE_NAMES & set(name.split(".")))


class TestTheRules(unittest.TestCase):
    """Each rule, applied to a small house with one fault planted in it."""

    @staticmethod
    def house(**sources: str) -> dict[str, Module]:
        """Return a house; ``backends__base`` stands for ``dbkit.backends.base``, a trailing ``__`` for a package."""
        built = {DOOR: Module(DOOR, "", is_package=True)}
        for key, source in sources.items():
            is_package = key.endswith("__")
            name = ".".join([PACKAGE, *key.removesuffix("__").split("__")])
            built[name] = Module(name, source, is_package)
        return built

    def test_imports_downward_and_within_a_room_are_allowed(self) -> None:
        house = self.house(
            spec="from dbkit.exceptions import DBError",
            exceptions="",
            engines__pool="from dbkit import spec\nfrom dbkit.engines import gate\nfrom . import gate as same",
            engines__gate="from ..exceptions import DBError",
            engines__="from .pool import Pool",
        )
        for rule in (homeless, upward_imports, circles, private_imports, stray_awaits, products_that_know_each_other):
            self.assertEqual([], list(rule(house)), rule.__name__)

    def test_an_upward_import_is_found(self) -> None:
        house = self.house(spec="import dbkit.engines.pool", engines__pool="")
        self.assertEqual(
            ["dbkit.spec:1: import of dbkit.engines.pool leads up from vocabulary to engines"],
            list(upward_imports(house)),
        )

    def test_a_relative_upward_import_is_found(self) -> None:
        house = self.house(backends__base="from ..engines import pool", engines__pool="", engines__="")
        self.assertEqual(1, len(list(upward_imports(house))))

    def test_an_import_for_types_counts(self) -> None:
        source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dbkit.database import Database"
        self.assertEqual(1, len(list(upward_imports(self.house(spec=source, database="")))))

    def test_an_import_in_a_function_counts(self) -> None:
        source = "def late():\n    from dbkit import database"
        self.assertEqual(1, len(list(upward_imports(self.house(spec=source, database="")))))

    def test_an_import_by_name_counts(self) -> None:
        source = "import importlib\nimportlib.import_module('dbkit.database')"
        self.assertEqual(1, len(list(upward_imports(self.house(spec=source, database="")))))

    def test_an_import_of_another_room_of_the_floor_is_found(self) -> None:
        house = self.house(testing__="import dbkit.migrations", migrations__="")
        self.assertIn("another room of the same floor", next(upward_imports(house)))

    def test_an_import_through_the_door_is_found(self) -> None:
        house = self.house(engines__pool="from dbkit import Database")
        self.assertIn("goes through the front door", next(upward_imports(house)))

    def test_an_import_of_the_tests_is_found(self) -> None:
        house = self.house(testing__="from dbkit.tests import samples")
        self.assertIn("leads out of the house", next(upward_imports(house)))

    def test_a_door_that_reaches_too_high_is_found(self) -> None:
        house = self.house(cmd__main="", database="")
        house[DOOR] = Module(DOOR, "from dbkit.database import Database\nfrom dbkit.cmd import main", is_package=True)
        self.assertEqual(["dbkit:2: import of dbkit.cmd.main reaches above the faces"], list(upward_imports(house)))

    def test_a_circle_is_found(self) -> None:
        house = self.house(
            engines__a="from dbkit.engines import b",
            engines__b="from dbkit.engines.c import thing",
            engines__c="def late():\n    import dbkit.engines.a",
        )
        self.assertEqual(
            ["dbkit.engines.a -> dbkit.engines.b -> dbkit.engines.c -> dbkit.engines.a"], list(circles(house))
        )

    def test_a_package_and_its_file_that_import_each_other_are_a_circle(self) -> None:
        house = self.house(exceptions__="from .root import DBError", exceptions__root="from dbkit.exceptions import X")
        self.assertEqual(1, len(list(circles(house))))

    def test_a_file_on_no_floor_is_found(self) -> None:
        self.assertEqual(
            ["dbkit.attic.chest stands on no floor: enter it in FLOORS"], list(homeless(self.house(attic__chest="")))
        )

    def test_a_product_that_imports_another_is_found(self) -> None:
        house = self.house(
            backends__="",
            backends__sqlite__="",
            backends__sqlite__errors="from dbkit.backends.mysql import errors",
            backends__mysql__="",
            backends__mysql__errors="",
        )
        self.assertEqual(1, len(list(products_that_know_each_other(house))))

    def test_an_import_of_a_private_name_is_found(self) -> None:
        house = self.house(spec="from dbkit.exceptions import _portable", exceptions="")
        self.assertEqual(["dbkit.spec:1: _portable is private to dbkit.exceptions"], list(private_imports(house)))

    def test_a_stray_await_is_found(self) -> None:
        source = "async def f():\n    await g()\n    async with h:\n        return [x async for x in y]"
        self.assertEqual(3, len(list(stray_awaits(self.house(spec=source)))))


if __name__ == "__main__":
    unittest.main()
