"""The protocols that the proxy understands, by the kind of server that speaks them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from dbkit.exceptions import UsageError
from dbkit.testing.faults.dialogue import Dialogue
from dbkit.testing.faults.mysql import MySQL
from dbkit.testing.faults.postgresql import PostgreSQL

#: Each makes the parser of a new connection.
DIALOGUES: Mapping[str, Callable[[], Dialogue]] = MappingProxyType({"postgresql": PostgreSQL, "mysql": MySQL})

#: Where servers of each kind usually listen.
USUAL_PORTS: Mapping[str, int] = MappingProxyType({"postgresql": 5432, "mysql": 3306})

_ALIASES: Mapping[str, str] = MappingProxyType({"mariadb": "mysql"})


def kind_named(name: str) -> str:
    """Return the kind of server that a person or a URL calls so.

    :raises UsageError: the proxy does not understand its protocol.
    """
    kind = _ALIASES.get(name, name)
    if kind not in DIALOGUES:
        known = [*DIALOGUES, *_ALIASES]
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"it understands: {', '.join(known)}"
        raise UsageError(f"the fault proxy does not understand the protocol of {name!r}; {advice}")
    return kind
