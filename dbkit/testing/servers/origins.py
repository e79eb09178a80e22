"""Where the data of a server of one's own comes from."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dbkit.testing.servers.provider import Layout, Source

#: Gives the command that fills a server's data folder.
Filling = Callable[[Layout], list[str]]


class Way(enum.Enum):
    """The ways in which a data folder is filled."""

    TEMPLATE = "template"
    SERVER = "server"
    CLONE = "clone"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a data folder is filled with: a new server's data, if nothing else is said."""

    way: Way = Way.TEMPLATE
    key: str | None = None
    source: Source | None = None

    @classmethod
    def server(cls, key: str) -> Origin:
        """Return the origin that copies the data of another, stopped server of the same client."""
        return cls(Way.SERVER, key)

    @classmethod
    def clone(cls, source: Source) -> Origin:
        """Return the origin that copies a running server by its product's own program, or a new server's data."""
        return cls(Way.CLONE, source=source)

    @classmethod
    def nothing(cls) -> Origin:
        """Return the origin of a server without data."""
        return cls(Way.NOTHING)

    def to_wire(self) -> dict[str, Any]:
        """Return the origin as JSON can carry it."""
        return {"way": self.way.value, "key": self.key, "source": None if self.source is None else asdict(self.source)}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any] | None) -> Origin:
        """Return the origin that :meth:`to_wire` described; None is a new server's data."""
        if data is None:
            return cls()
        source = data["source"]
        return cls(Way(data["way"]), data["key"], None if source is None else Source(**source))


def copying(data: Path) -> Filling:
    """Return the filling that copies a data folder."""
    return lambda layout: ["cp", "-a", "--reflink=auto", str(data), str(layout.data)]


def emptiness(layout: Layout) -> list[str]:
    """Be the filling with nothing."""
    return ["mkdir", str(layout.data)]
