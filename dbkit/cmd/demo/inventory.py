"""The rows that the demo starts from, and the tables that it makes for them and removes."""

from __future__ import annotations

import ipaddress
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Table, insert, inspect

from dbkit.cmd.demo.context import RequestContext, main_context
from dbkit.cmd.demo.models import PREFIX, Base, FixedIP, FloatingIP, Instance, Quota
from dbkit.exceptions import InvalidURL

#: The project whose requests are carried out, and the one whose rows it must not touch.
PROJECT, OTHER_PROJECT = "research", "finance"

# The block that RFC 2544 sets aside for benchmarks.
_FLOATING = ipaddress.ip_network("198.18.0.0/15")
_FIXED = ipaddress.ip_network("10.0.0.0/8")
MOST_ROWS = 100_000


def floating_address(number: int) -> str:
    """Return the floating address of that number, from 0."""
    return str(_FLOATING[number + 1])


@dataclass(slots=True)
class Inventory:
    """What exists, by owner, and the rows to be stored for it."""

    instances: list[uuid.UUID] = field(default_factory=list)
    foreign_instances: list[uuid.UUID] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    foreign_addresses: list[str] = field(default_factory=list)
    rows: dict[type[Base], list[dict[str, Any]]] = field(default_factory=dict)


def draw(chance: random.Random, rows: int) -> Inventory:
    """Return an inventory of that many floating addresses; the same chance draws the same one."""
    drawn = Inventory()
    stored: dict[type[Base], list[dict[str, Any]]] = {Instance: [], Quota: [], FixedIP: [], FloatingIP: []}
    for number in range(max(20, rows // 40)):
        identity = uuid.UUID(int=chance.getrandbits(128), version=4)
        is_foreign = number % 20 == 19
        (drawn.foreign_instances if is_foreign else drawn.instances).append(identity)
        project = OTHER_PROJECT if is_foreign else PROJECT
        stored[Instance].append({"id": identity, "project_id": project, "hostname": f"vm-{number:04d}"})
        stored[Quota].append({"instance_id": identity, "hard_limit": chance.randint(5, 20)})
        for _ in range(chance.randint(1, 2)):
            stored[FixedIP].append({"address": str(_FIXED[len(stored[FixedIP]) + 10]), "instance_id": identity})
    for number in range(rows):
        address = floating_address(number)
        is_foreign = number % 50 == 49
        (drawn.foreign_addresses if is_foreign else drawn.addresses).append(address)
        stored[FloatingIP].append({"address": address, "project_id": OTHER_PROJECT if is_foreign else PROJECT})
    drawn.rows = stored
    return drawn


@main_context.writer
def store(context: RequestContext, inventory: Inventory) -> None:
    """Store an inventory: one statement a table, and all of it or nothing."""
    for model, rows in inventory.rows.items():
        context.session.execute(insert(model), rows)


@contextmanager
def tables(engine: Engine, keep: bool) -> Iterator[None]:
    """Make the demo's tables, and remove those that were made here at the end unless they are to be kept.

    :raises InvalidURL: the database has tables of these names already, which may be someone's.
    """
    found = sorted(name for name in inspect(engine).get_table_names() if name.startswith(PREFIX))
    if found:
        raise InvalidURL(
            f"the database has a table {found[0]} already, which this demo has not made and will not touch; drop the "
            f"tables whose names begin with {PREFIX}, or name another database"
        )
    made: list[Table] = []
    try:
        for table in Base.metadata.sorted_tables:
            table.create(engine, checkfirst=False)
            made.append(table)
        yield
    finally:
        if not keep:
            for table in reversed(made):
                table.drop(engine)
