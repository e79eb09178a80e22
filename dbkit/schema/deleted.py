"""Changing how a table marks its deleted rows: by their own key, or by a boolean."""

from __future__ import annotations

import re
import uuid
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Table, case
from sqlalchemy.schema import CreateColumn

from dbkit.exceptions import SchemaMismatch, UsageError
from dbkit.schema.facts import IndexFacts, index_facts
from dbkit.schema.inspection import columns_alone
from dbkit.schema.marks import empty_of, is_empty
from dbkit.schema.places import Where, changing, is_mysql, missing_column, named, shown

# DROP COLUMN. Source: SQLite's release notes.
_SQLITE_DROPS_COLUMNS = (3, 35)


def change_deleted_column(
    where: Where,
    table: Any,
    flavour: Literal["key", "flag"],
    *,
    mark: str = "deleted",
    key: str | None = None,
    schema: str | None = None,
) -> None:
    """Let a column that marks deleted rows hold their keys (``"key"``), or a boolean (``"flag"``), with their values.

    Indexes and unique constraints over it stay. What is cut off can be run again. From a key to a boolean, a unique
    constraint over ``(name, deleted)`` allows one deleted row of a name only; if there are more, it is refused by the
    database, and nothing has changed.

    :param mark: the column.
    :param key: the column whose value a deleted row's mark has; None for the primary key.
    :raises SchemaMismatch: there is no such table or column, or an index or constraint stands in the way.
    :raises UsageError: there is no such flavour, or SQLite is too old.

    .. versionadded:: 0.1
    """
    if flavour not in ("key", "flag"):
        raise UsageError(f"a mark can become 'key' or 'flag', not {flavour!r}")
    name, schema = named(table, schema)
    with changing(where) as connection:
        found = columns_alone(connection, name, schema)
        known = list(found.columns.keys())
        keys = list(found.primary_key)
        if key is None and len(keys) != 1:
            raise UsageError(
                f"the primary key of {shown(name, schema)} has {len(keys)} columns; name the one that tells its rows "
                "apart with key=..."
            )
        for each in (mark, key):
            if each is not None and each not in known:
                raise missing_column(each, known, name)
        source = keys[0] if key is None else found.columns[key]
        change = _Change(connection, found, found.columns[mark], source, flavour)
        if is_mysql(connection.dialect):
            change.on_mysql()
        elif connection.dialect.name == "postgresql":
            change.on_postgresql()
        elif connection.dialect.name == "sqlite":
            change.on_sqlite()
        else:
            raise UsageError(f"the columns of {connection.dialect.name} are not changed by dbkit")


def change_deleted_column_type_to_boolean(engine: Where, table_name: Any, **col_name_col_instance: Any) -> None:
    """Let ``deleted`` be a boolean, where it held a deleted row's id; see :func:`change_deleted_column`.

    :param col_name_col_instance: columns that oslo.db could not copy on SQLite; nothing needs them here.

    .. versionadded:: 0.1
    """
    change_deleted_column(engine, table_name, "flag")


def change_deleted_column_type_to_id_type(engine: Where, table_name: Any, **col_name_col_instance: Any) -> None:
    """Let ``deleted`` hold a deleted row's id, where it was a boolean; see :func:`change_deleted_column`.

    :param col_name_col_instance: columns that oslo.db could not copy on SQLite; nothing needs them here.

    .. versionadded:: 0.1
    """
    change_deleted_column(engine, table_name, "key")


class _Change:
    def __init__(self, connection: Connection, table: Table, mark: Any, key: Any, flavour: str) -> None:
        self._connection = connection
        self._table = table
        self._mark = mark
        self._key = key
        self._to_flag = flavour == "flag"
        self._prepare = connection.dialect.identifier_preparer
        self._indexes = index_facts(connection, table.name, table.schema)
        empty = empty_of(key.type)
        self._empty = str(empty) if isinstance(empty, uuid.UUID) else empty
        self._is_text = isinstance(key.type, sa.String)

    # -- each product's way ---------------------------------------------------------------------------------------

    def on_postgresql(self) -> None:
        """One statement, which makes indexes and constraints anew."""
        for index in self._reading():
            raise SchemaMismatch(
                f"the {index} of the table {shown(self._table.name, self._table.schema)} reads the column "
                f"{self._mark.name!r} as what it is now; drop it, and make it anew afterwards",
                table=self._table.name,
                constraint=index.name,
            )
        mark = self._prepare.quote(self._mark.name)
        is_flag = isinstance(self._mark.type, sa.Boolean)
        empty = self._literal(self._empty)
        if is_flag == self._to_flag:
            return
        if self._to_flag:
            kind, value, default = "BOOLEAN", f"COALESCE({mark} <> {empty}, false)", "false"
        else:
            key = self._prepare.quote(self._key.name)
            kind, default = self._kind(), empty
            value = f"CASE WHEN {mark} THEN {key} ELSE {empty} END"
        self._alter(
            f"ALTER COLUMN {mark} DROP DEFAULT, ALTER COLUMN {mark} TYPE {kind} USING {value}, "
            f"ALTER COLUMN {mark} SET DEFAULT {default}"
        )

    def on_mysql(self) -> None:
        """Values and type one after the other, each so that it may be done twice: DDL ends the transaction there."""
        mark = self._prepare.quote(self._mark.name)
        if self._to_flag:
            was_text = isinstance(self._mark.type, sa.String)
            alive, dead = ("0", "1") if was_text else (0, 1)
            self._update(alive, self._mark.is_(None) | is_empty(self._mark))
            self._update(dead, self._mark.not_in([alive, dead]))
            self._alter(f"MODIFY COLUMN {mark} TINYINT(1) NOT NULL DEFAULT 0")
            return
        self._update("0" if isinstance(self._mark.type, sa.String) else 0, self._mark.is_(None))
        self._alter(f"MODIFY COLUMN {mark} {self._kind()} NOT NULL DEFAULT {self._literal(self._empty)}")
        column = sa.column(self._mark.name, self._key.type)
        if self._is_text:
            self._update(self._empty, column == "0")
        self._update(self._key, column == ("1" if self._is_text else 1))

    def on_sqlite(self) -> None:
        """A new column in place of the old one, which only goes if no constraint is over it."""
        version = getattr(self._connection.dialect.dbapi, "sqlite_version_info", (0,))
        if version < _SQLITE_DROPS_COLUMNS:
            raise UsageError("SQLite drops columns since version 3.35, and this one is older; make the table anew")
        over = [each for each in self._indexes if self._mark.name in each.columns or self._reads(each)]
        for index in over:
            if index.constraint is not None:
                raise SchemaMismatch(
                    f"a UNIQUE constraint of the table {shown(self._table.name, self._table.schema)} is over "
                    f"({', '.join(index.parts)}), and SQLite drops no column of a constraint; make the table anew, "
                    "with foreign keys switched off, and its uniqueness as an index",
                    table=self._table.name,
                    columns=list(index.parts),
                )
        mark, new = self._prepare.quote(self._mark.name), f"dbkit_{self._mark.name}"
        kind: Any = sa.Boolean() if self._to_flag else self._key.type
        default = "0" if self._to_flag else self._literal(self._empty)
        added = sa.Column(new, kind, nullable=False, server_default=sa.text(default))
        is_alive = self._mark.is_(None) | is_empty(self._mark)
        value = case(
            (is_alive, sa.literal_column(default)), else_=sa.literal_column("1") if self._to_flag else self._key
        )
        with self._connection.begin_nested():
            texts = [self._text_of(each) for each in over]
            for each in over:
                self._connection.exec_driver_sql(f"DROP INDEX {self._place()}{self._prepare.quote(each.name)}")
            self._table.append_column(added)
            self._alter(f"ADD COLUMN {CreateColumn(added).compile(dialect=self._connection.dialect)}")
            self._connection.execute(self._table.update().values({new: value}))
            self._alter(f"DROP COLUMN {mark}")
            self._alter(f"RENAME COLUMN {self._prepare.quote(new)} TO {mark}")
            for text in texts:
                self._connection.exec_driver_sql(text)

    # -- statements -----------------------------------------------------------------------------------------------

    def _alter(self, what: str) -> None:
        self._connection.exec_driver_sql(f"ALTER TABLE {self._prepare.format_table(self._table)} {what}")

    def _update(self, value: Any, condition: Any) -> None:
        values = {self._mark.name: value}
        # a row that is marked was not changed by anybody
        values.update({name: self._table.c[name] for name in self._table.columns.keys() if name == "updated_at"})
        self._connection.execute(self._table.update().where(condition).values(values))

    def _kind(self) -> str:
        return str(self._key.type.compile(dialect=self._connection.dialect))

    @staticmethod
    def _literal(value: Any) -> str:
        return f"'{value}'" if isinstance(value, str) else str(value)

    def _reading(self) -> list[IndexFacts]:
        return [each for each in self._indexes if self._reads(each)]

    def _reads(self, index: IndexFacts) -> bool:
        """Whether a condition or an expression of an index has the name of the column in it."""
        texts = [part for column, part in zip(index.columns, index.parts, strict=True) if column is None]
        word = re.compile(rf"\b{re.escape(self._mark.name)}\b", re.IGNORECASE)
        return any(word.search(text) for text in [*texts, index.condition or ""])

    def _place(self) -> str:
        return "" if self._table.schema is None else f"{self._prepare.quote(self._table.schema)}."

    def _text_of(self, index: IndexFacts) -> str:
        found = f"SELECT sql FROM {self._place()}sqlite_master WHERE type = 'index' AND name = ?"
        text: str = self._connection.exec_driver_sql(found, (index.name,)).scalar_one()
        return text
