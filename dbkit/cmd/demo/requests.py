"""What will be asked of the inventory: drawn by chance before it begins, so that the same seed asks the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dbkit.cmd.demo.inventory import Inventory, floating_address

# Many choices fall on these few, so that requests that run at once get into each other's way.
_HOT_ADDRESSES = 64
_HOT_INSTANCES = 8
_HEAT = 0.4
_BATCH = 5

#: How often each is asked, out of a hundred. The last two fail when half of their work is done: the one because its
#: second half is refused, the other because its caller breaks off.
SHARES = {
    "usage": 20,
    "associate": 22,
    "disassociate": 16,
    "move": 14,
    "bulk_associate": 7,
    "evacuate": 4,
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


class _Account:
    """Which addresses will be in use when all goes well."""

    def __init__(self, inventory: Inventory, chance: random.Random) -> None:
        self._inventory = inventory
        self._chance = chance
        self._in_use: list[str] = []

    def address(self) -> str:
        """Return an address."""
        return self._chance.choice(self._inventory.addresses[: self._few(_HOT_ADDRESSES)])

    def instance(self) -> uuid.UUID:
        """Return an instance."""
        return self._chance.choice(self._inventory.instances[: self._few(_HOT_INSTANCES)])

    def taken(self) -> str:
        """Return an address that is in use, as far as there is one."""
        return self._chance.choice(self._in_use) if self._in_use else self.address()

    def take(self) -> str:
        """Return an address that now is in use; it was free, if there was a free one at hand."""
        drawn = [self.address() for _ in range(5)]
        address = next((each for each in drawn if each not in self._in_use), drawn[0])
        self._in_use.append(address)
        return address

    def give_back(self) -> str:
        """Return an address that was in use, as far as there was one, and is not any more."""
        address = self.taken()
        if self._in_use:
            self._in_use.remove(address)
        return address

    def _few(self, count: int) -> int | None:
        return count if self._chance.random() < _HEAT else None


def planned(chance: random.Random, inventory: Inventory, count: int) -> Iterator[Asked]:
    """Yield that many requests.

    They make sense one after the other, for the most part. Those that run at once get in each other's way now and then,
    as anybody's do.
    """
    account = _Account(inventory, chance)
    registered = len(inventory.addresses) + len(inventory.foreign_addresses)
    for kind in chance.choices(list(SHARES), list(SHARES.values()), k=count):
        action = kind.rpartition(" ")[2]
        arguments: tuple[Any, ...]
        if kind == "usage":
            arguments = (account.instance(),)
        elif kind == "associate":
            arguments = (account.take(), account.instance())
        elif kind == "disassociate":
            arguments = (account.give_back(),)
        elif kind == "refused move":
            arguments = (account.taken(), chance.choice(inventory.foreign_instances))
        elif action == "move":
            arguments = (account.taken(), account.instance())
        elif kind == "bulk_associate":
            arguments = (_batch(account, inventory, chance), account.instance())
        elif kind == "evacuate":
            arguments = (account.instance(), account.instance())
        else:
            is_new = chance.random() < 0.7
            arguments = (floating_address(registered) if is_new else account.address(),)
            registered += is_new
        yield Asked(f"req-{uuid.UUID(int=chance.getrandbits(128), version=4)}", kind, action, arguments)


def _batch(account: _Account, inventory: Inventory, chance: random.Random) -> list[str]:
    """Return addresses, one of which may be in use; now and then the last is one that makes the whole batch fail."""
    if chance.random() < 0.2:
        return [*(account.address() for _ in range(_BATCH - 1)), chance.choice(inventory.foreign_addresses)]
    return [account.taken(), *(account.take() for _ in range(_BATCH - 1))]
