"""Names of constraints and indexes: the same on every backend, and short enough for each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import CheckConstraint, Constraint, ForeignKeyConstraint, Index, MetaData, Table
from sqlalchemy.schema import ColumnCollectionConstraint

#: PostgreSQL takes 63 bytes, MySQL and MariaDB 64 characters, SQLite any number.
LONGEST_NAME = 63
_DIGEST = 8


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name that every backend takes; a longer one is cut, and a digest keeps it apart from its like.

    .. versionadded:: 0.1
    """
    encoded = name.encode()
    if len(encoded) <= longest:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST]
    return f"{encoded[: longest - _DIGEST - 1].decode(errors='ignore')}_{digest}"


def _columns(constraint: Any) -> list[str]:
    if isinstance(constraint, ForeignKeyConstraint):
        return list(constraint.column_keys)
    if isinstance(constraint, ColumnCollectionConstraint):
        return [column.name for column in constraint.columns]
    if isinstance(constraint, Index):
        found = [getattr(each, "name", None) for each in constraint.expressions]
        if all(isinstance(name, str) for name in found):
            return [str(name) for name in found]
        return [_digest_of(" ".join(str(each) for each in constraint.expressions))]
    return []


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def _named(prefix: str) -> Callable[[Any, Table], str]:
    def name(constraint: Any, table: Table) -> str:
        return shortened("_".join((prefix, table.name, *_columns(constraint))))

    return name


def _key_name(constraint: Any, table: Table) -> str:
    return shortened(f"pk_{table.name}")


def _check_name(constraint: Constraint, table: Table) -> str:
    given = constraint.name
    if not isinstance(given, str):
        assert isinstance(constraint, CheckConstraint)
        given = _digest_of(str(constraint.sqltext))
    return shortened(f"ck_{table.name}_{given}")


# A token's own name decides when SQLAlchemy asks for it: one in which "constraint_name" occurs also for a constraint
# that has a name, which becomes a part of the whole.
NAMING_CONVENTION: Mapping[str, Any] = {
    "dbkit_uq": _named("uq"),
    "dbkit_fk": _named("fk"),
    "dbkit_ix": _named("ix"),
    "dbkit_ck_constraint_name": _check_name,
    "dbkit_pk": _key_name,
    "pk": "%(dbkit_pk)s",
    "uq": "%(dbkit_uq)s",
    "fk": "%(dbkit_fk)s",
    "ix": "%(dbkit_ix)s",
    "ck": "%(dbkit_ck_constraint_name)s",
}
"""For ``MetaData(naming_convention=...)``: every constraint has a name, and has the same one on every backend.

.. versionadded:: 0.1
"""


def new_metadata(schema: str | None = None) -> MetaData:
    """Return a MetaData whose constraints and indexes are named by :data:`NAMING_CONVENTION`.

    .. versionadded:: 0.1
    """
    return MetaData(schema=schema, naming_convention=dict(NAMING_CONVENTION))
