"""What will be asked of the inventory: drawn by chance before it begins, so that the same seed asks the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dbkit.cmd.demo.inventory import Inventory, floating_address

# Every second choice falls on these few, so that requests that run at once get into each other's way.
_HOT_ADDRESSES = 64
_HOT_INSTANCES = 8
_BATCH = 5

#: How often each is asked, out of a hundred. The last two fail when half of their work is done: the one because its
#: second half is refused, the other because its caller breaks off.
SHARES = {
    "usage": 22,
    "associate": 24,
    "disassociate": 12,
    "move": 14,
    "bulk_associate": 8,
    "evacuate": 3,
    "register": 9,
    "refused move": 4,
    "interrupted move": 4,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    :param kind: one of :data:`SHARES`.
    :param action: the function of the inventory that it calls.
    """

    id: str
    kind: str
    action: str
    arguments: tuple[Any, ...]

    @property
    def breaks_off(self) -> bool:
        """Whether the caller fails after the function has done its work, inside the same transaction."""
        return self.kind.startswith("interrupted")


def planned(chance: random.Random, inventory: Inventory, count: int) -> Iterator[Asked]:
    """Yield that many requests.

    It keeps a rough account of which addresses will be in use, so that most requests make sense; requests that run at
    once make it wrong now and then, as they would anybody's.
    """
    in_use: list[str] = []
    registered = len(inventory.addresses) + len(inventory.foreign_addresses)

    def instance() -> uuid.UUID:
        return chance.choice(inventory.instances[: _HOT_INSTANCES if chance.random() < 0.5 else None])

    def address() -> str:
        return chance.choice(inventory.addresses[: _HOT_ADDRESSES if chance.random() < 0.5 else None])

    def used_address() -> str:
        return chance.choice(in_use) if in_use else address()

    for kind in chance.choices(list(SHARES), list(SHARES.values()), k=count):
        action = kind.rpartition(" ")[2]
        arguments: tuple[Any, ...]
        if kind == "usage":
            arguments = (instance(),)
        elif kind == "associate":
            arguments = (address(), instance())
            in_use.append(arguments[0])
        elif kind == "disassociate":
            arguments = (used_address(),)
            if in_use:
                in_use.remove(arguments[0])
        elif kind == "refused move":
            arguments = (used_address(), chance.choice(inventory.foreign_instances))
        elif action == "move":
            arguments = (used_address(), instance())
        elif kind == "bulk_associate":
            batch = [address() for _ in range(_BATCH)]
            if inventory.foreign_addresses and chance.random() < 0.2:  # refused at the last step, after four
                batch[-1] = chance.choice(inventory.foreign_addresses)
            else:
                in_use.extend(batch)
            arguments = (batch, instance())
        elif kind == "evacuate":
            arguments = (instance(), instance())
        else:
            fresh = chance.random() < 0.7
            arguments = (floating_address(registered) if fresh else address(),)
            registered += fresh
        yield Asked(f"req-{uuid.UUID(int=chance.getrandbits(128), version=4)}", kind, action, arguments)
