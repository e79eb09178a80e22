"""Which tables a piece of SQL text names, where a statement's rows come from or go to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from dbkit.exceptions import FilterError
from dbkit.filters.marks import guarded_like, guarded_names, inherited_rules, rules_of

_SILENT = re.compile(r"""("(?:[^"]|"")*"|`[^`]*`)|'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/""", re.DOTALL)
# With these, where a literal or a comment ends depends on the product: then all of the text counts.
_TRICKY = re.compile(r"\\|#|/\*!|/\*(?:(?!\*/).)*/\*|--\S|\$\w*\$", re.DOTALL)
# PostgreSQL's way of writing a name by its characters' numbers; each is one escape.
_BY_NUMBERS = re.compile(r'\bU&"', re.IGNORECASE)
_NUMBER = re.compile(r"\\(?:\+([0-9a-f]{6})|([0-9a-f]{4}))", re.IGNORECASE)
# What defines is no statement over rows: a trigger's body and a view's are the database's own, but not CREATE TABLE AS.
_DEFINES = re.compile(r"\s*CREATE\s+(?!(?:(?:GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED)\s+)*TABLE\b)", re.IGNORECASE)
_TOKEN = re.compile(r'"(?:[^"]|"")*"|`[^`]*`|\[\w+\]|[\w$]+|[^\s\w]')

_NAMES_FOLLOW = frozenset({"FROM", "JOIN", "UPDATE", "INTO", "USING", "TRUNCATE", "COPY", "ONLY", "LATERAL"})
_PASSED_BY = frozenset({"(", "ONLY", "LATERAL", "IGNORE", "LOW_PRIORITY", "QUICK", "TABLE", "OR", "ROLLBACK"})
_LIST_ENDS = frozenset(
    "WHERE SET GROUP ORDER HAVING LIMIT OFFSET UNION EXCEPT INTERSECT SELECT VALUES RETURNING WINDOW FOR FETCH".split()
)
_ENDS_NAME = frozenset({"SELECT", "SET", "ON", "OF", "VALUES", "WITH"})
_BEFORE_TABLE = frozenset({"", "(", ";", "UNION", "ALL", "DISTINCT", "EXCEPT", "INTERSECT", "AS", "TRUNCATE"})


def refuse_guarded(text: str, off: frozenset[str] = frozenset()) -> None:
    """Refuse SQL text that reaches the rows of a table with rules: nobody can put the rules into it.

    :param off: the names of the rules that do not count.
    :raises FilterError: it does; the error says which table and which rule.
    """
    for name, schema in _named_guarded(text, guarded_names()):
        for table in guarded_like(name, schema):
            for rule in (*rules_of(table), *inherited_rules(table)):
                if rule.name not in off:
                    raise FilterError(
                        f"SQL text names the table {table.name!r}, whose rows are filtered by the rule {rule.name!r}, "
                        "and dbkit cannot put the rule into text; write the statement with select(), update() or "
                        "delete(), or say that the rule does not count: "
                        f"text(...).options(dbkit.without({rule.name!r})), or a block with .without({rule.name!r})"
                    )


def refuse_guarded_ddl(text: str, off: frozenset[str] = frozenset()) -> None:
    """Refuse text that is sent as DDL and reads or writes the rows of a table with rules in place of defining anything.

    :raises FilterError: it does.
    """
    if not _DEFINES.match(text):
        refuse_guarded(text, off)


@lru_cache(maxsize=2048)
def _named_guarded(text: str, names: frozenset[str]) -> tuple[tuple[str, str | None], ...]:
    if _BY_NUMBERS.search(text):
        text = _NUMBER.sub(lambda found: chr(int(found[1] or found[2], 16)), _BY_NUMBERS.sub('"', text))
    lowered = text.lower()
    if not any(name in lowered for name in names):
        return ()
    return tuple(found for found in tables_named(text) if found[0] in names)


def tables_named(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and schema, in small letters, of each table that text names after FROM, JOIN, UPDATE, INTO and so on.

    Rather one too many than one too few: the column in ``EXTRACT(year FROM created)`` comes too.
    """
    bare = text if _TRICKY.search(text) else _SILENT.sub(_name_or_nothing, text)
    tokens = _TOKEN.findall(bare)
    lists: list[int] = []  # the depths of brackets at which a comma is followed by another table
    expecting, depth, before, position = False, 0, "", 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        word = token.upper()
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
            lists = [each for each in lists if each <= depth]
            expecting = False
        elif word == ",":
            expecting = depth in lists
        elif word in _NAMES_FOLLOW or (word == "TABLE" and before in _BEFORE_TABLE):
            expecting = True
            lists.append(depth)
        elif expecting and word in _ENDS_NAME:
            expecting = False
        elif expecting and word not in _PASSED_BY and (token[0] in '"`[' or token[0].isalnum() or token[0] == "_"):
            name, schema = _bare(token), None
            while tokens[position : position + 1] == ["."] and position + 1 < len(tokens):
                name, schema = _bare(tokens[position + 1]), name
                position += 2
            yield name, schema
            expecting = False
            if depth not in lists:
                lists.append(depth)
        if word in _LIST_ENDS:
            lists = [each for each in lists if each < depth]
        before = word


def _bare(token: str) -> str:
    return (token[1:-1].replace('""', '"') if token[0] in '"`[' else token).lower()


def _name_or_nothing(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "'" and text[1:-1].isidentifier():
        return f'"{text[1:-1]}"'  # where a table must stand, SQLite takes a literal for its name
    return found[1] or " "
