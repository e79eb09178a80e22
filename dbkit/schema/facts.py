"""What the database says of its indexes, in one form for all products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, column, func, select, table

from dbkit.schema.places import is_mysql, let_errors_be_told, look


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """An index, as the database describes it.

    :param columns: what it is over, in order; None stands for an expression.
    :param parts: the same as texts, expressions too.
    :param condition: which rows it holds, as a text; None if it holds all.
    :param included: columns that it holds besides, PostgreSQL's INCLUDE.
    :param sorting: how columns are sorted, by their names, where that is not the usual: ``("desc",)``,
        ``("desc", "nulls_last")``.
    :param constraint: the constraint that it belongs to; it comes and goes with that.
    :param options: what ``sqlalchemy.Index`` is given to make it so: ``postgresql_using``, ``mysql_length`` ...

    .. versionadded:: 0.1
    """

    name: str
    columns: tuple[str | None, ...]
    parts: tuple[str, ...]
    unique: bool = False
    condition: str | None = None
    included: tuple[str, ...] = ()
    sorting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constraint: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it holds all rows, by columns alone."""
        return self.condition is None and None not in self.columns

    def __str__(self) -> str:
        kind = "unique index" if self.unique else "index"
        rows = "" if self.condition is None else f" where {self.condition}"
        parts = [" ".join((each, *self.sorting.get(each, ()))) for each in self.parts]
        return f"{kind} {self.name!r} over ({', '.join(parts)}){rows}"


def index_facts(connection: Connection, name: str, schema: str | None) -> list[IndexFacts]:
    """Return a table's indexes, without that of the primary key.

    :raises SchemaMismatch: there is no such table.
    """
    inspector = look(connection, name, schema)
    if connection.dialect.name == "sqlite":
        # its inspector leaves out indexes over expressions, and would say that there are none
        return list(_on_sqlite(connection, name, schema))
    found = inspector.get_indexes(name, schema=schema)
    let_errors_be_told(connection)
    sortings = _sortings_on_mysql(connection, name, schema) if is_mysql(connection.dialect) else {}
    return [_from_inspector(each, sortings.get(each["name"] or "", {})) for each in found]


def _sortings_on_mysql(connection: Connection, name: str, schema: str | None) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return which columns of which indexes are sorted downwards; the inspector does not tell."""
    # no SHOW INDEX FROM: a block lets no text through that seems to read the rows of a table with rules
    names = ("table_schema", "table_name", "index_name", "column_name", "collation")
    statistics = table("statistics", *map(column, names), schema="information_schema")
    query = select(statistics.c.index_name, statistics.c.column_name).where(
        statistics.c.table_schema == (schema or func.database()),
        statistics.c.table_name == name,
        statistics.c.collation == "D",
        statistics.c.column_name.is_not(None),
    )
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for index, of in connection.execute(query):
        found.setdefault(index, {})[of] = ("desc",)
    return found


def _from_inspector(found: Mapping[str, Any], sorting: Mapping[str, tuple[str, ...]]) -> IndexFacts:
    columns = tuple(found["column_names"])
    options = {key: value for key, value in found.get("dialect_options", {}).items() if value}
    included = tuple(options.pop("postgresql_include", ()))
    condition = options.pop("postgresql_where", None)
    return IndexFacts(
        name=found["name"],
        columns=columns,
        parts=tuple(found.get("expressions") or columns),
        unique=bool(found["unique"]),
        condition=None if condition is None else str(condition),
        included=included,
        sorting=found.get("column_sorting") or sorting,
        constraint=found.get("duplicates_constraint"),
        options=options,
    )


def _on_sqlite(connection: Connection, name: str, schema: str | None) -> Iterator[IndexFacts]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    place = "" if schema is None else f"{quote(schema)}."

    def pragma(kind: str, of: str) -> list[Any]:
        return list(connection.exec_driver_sql(f"PRAGMA {place}{kind}({quote(of)})"))

    texts: dict[str, str | None] = dict(
        connection.exec_driver_sql(
            f"SELECT name, sql FROM {place}sqlite_master WHERE type = 'index' AND tbl_name = ? COLLATE NOCASE", (name,)
        ).all()
    )
    for _, index, unique, origin, partial in pragma("index_list", name):
        if origin == "pk":
            continue
        over = [each for each in pragma("index_xinfo", index) if each[5]]
        columns = tuple(each[2] for each in over)
        parts, condition = parsed(texts.get(index) or "")
        # an index that the table makes for a UNIQUE has no text, and a name that says nothing
        yield IndexFacts(
            name=index,
            columns=columns,
            parts=tuple(
                part if column is None else column for column, part in zip(columns, parts or columns, strict=True)
            ),
            unique=bool(unique),
            condition=condition if partial else None,
            sorting={each[2]: ("desc",) for each in over if each[3] and each[2] is not None},
            constraint=index if origin == "u" else None,
        )


_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|[(),]|[^'"`\[(),\-/]+|.""", re.DOTALL
)


def parsed(text: str) -> tuple[list[str], str | None]:
    """Return what a CREATE INDEX is over, and the condition of its rows, as they are written; nothing for no text."""
    parts: list[str] = []
    depth, current, rest = 0, "", ""
    tokens = iter(_TOKEN.findall(text))
    for token in tokens:
        if token == "(":
            depth += 1
            if depth == 1:
                continue
        elif token == ")":
            depth -= 1
            if depth == 0:
                parts.append(current.strip())
                rest = "".join(tokens)
                break
        elif token == "," and depth == 1:
            parts.append(current.strip())
            current = ""
            continue
        if depth:
            current += token
    found = re.match(r"\s*WHERE\b(.*)", rest, re.IGNORECASE | re.DOTALL)
    return parts, found.group(1).strip() if found else None
