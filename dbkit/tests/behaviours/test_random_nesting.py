"""Blocks in blocks as chance has it, against a model of what must be stored."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from sqlalchemy import insert

from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import EVERY_FACE, Product
from dbkit.tests.behaviours.tables import Item

_PROGRAMS = 25
_DEEPEST = 4
_ROWS = 10_000
"""More than a program has; even, because what a block does with a row depends on whether its number is."""


class Failed(Exception):
    """What a block of a program raises."""


@dataclass
class Node:
    """A block of a program: it writes rows and runs blocks, in order, and may fail at its end.

    :param number: of its program, for the texts of failures.
    :param handles: it goes on when a block inside it has failed.
    """

    number: int
    propagation: str
    connection: bool
    handles: bool
    fails: bool
    steps: list[Node | int] = field(default_factory=list)


def program(seed: int, independent: bool, first: int) -> Node:
    """Return the outermost block of a program, whose rows are numbered from ``first``."""
    chance = random.Random(seed)
    numbers = iter(range(first, first + _ROWS))

    def node(depth: int) -> Node:
        kinds = ["join", "join", "savepoint", "savepoint"] + (["independent"] if independent else [])
        made = Node(
            seed,
            "join" if depth == 0 else chance.choice(kinds),
            connection=chance.random() < 0.3,
            handles=chance.random() < 0.7,
            fails=chance.random() < (0.15 if depth == 0 else 0.35),
        )
        for _ in range(chance.randint(1, 4)):
            deeper = depth < _DEEPEST and chance.random() < 0.5
            made.steps.append(node(depth + 1) if deeper else next(numbers))
        return made

    return node(0)


class Model:
    """What a program must have stored, by the rules and without a database."""

    def __init__(self) -> None:
        self.stored: list[int] = []

    def run(self, node: Node, rows: list[int] | None) -> None:
        """Run a block in a transaction, which is the list of its rows, or in one of its own."""
        begins = rows is None or node.propagation == "independent"
        mine: list[int] = [] if begins or rows is None else rows
        mark = len(mine)
        try:
            for step in node.steps:
                if isinstance(step, int):
                    mine.append(step)
                    continue
                try:
                    self.run(step, mine)
                except Failed:
                    if not node.handles:
                        raise
            if node.fails:
                raise Failed
        except Failed:
            if node.propagation == "savepoint":
                del mine[mark:]
            raise
        if begins:
            self.stored += mine


@behaviours(EVERY_FACE)
class TestRandomNesting(Behaviour):
    # No number is used twice. InnoDB keeps a deleted row until it is purged; a transaction that writes such a row anew
    # and goes back to a savepoint keeps its lock, which the purge turns into one on the gap, where the .independent
    # block inside then waits for the block around it.
    first_rows = itertools.count(0, _ROWS)

    async def test_each_program_stores_what_the_model_says(self):
        independent = self.combination.product in (Product.POSTGRESQL, Product.MARIADB)
        for seed in range(_PROGRAMS):
            root, model = program(seed, independent, next(self.first_rows)), Model()
            for run in (lambda root=root, model=model: self.in_model(model, root), lambda root=root: self.play(root)):
                try:
                    await run()
                except Failed:
                    pass
            self.assertEqual(sorted(model.stored), self.stored(), f"program {seed}")
            self.place.empty()

    async def in_model(self, model, root):
        model.run(root, None)

    async def play(self, node):
        """Run a program in the database, by functions and by blocks in turn."""
        opener = self.writer if node.propagation == "join" else getattr(self.writer, node.propagation)
        opener = opener.connection if node.connection else opener
        if len(node.steps) % 2:
            await opener(self.body)(node)
            return
        async with opener():
            await self.body(node)

    async def body(self, node):
        for step in node.steps:
            if isinstance(step, int):
                await self.write(node, step)
                continue
            try:
                await self.play(step)
            except Failed:
                if not node.handles:
                    raise
        if node.fails:
            raise Failed

    async def write(self, node, number):
        if node.connection:
            await self.connection.execute(insert(Item).values(id=number, amount=0))
        else:
            self.session.add(Item(id=number))
            if number % 2:
                await self.session.flush()
