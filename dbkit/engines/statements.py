"""What a statement does, as far as it can be seen before it is sent."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import visitors
from sqlalchemy.sql.expression import ClauseElement, Executable, TextClause, TextualSelect, UpdateBase

from dbkit.exceptions import TransactionManaged

# What a reader may send as text. SELECT can call a function that writes: then only the server can tell.
_READS = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*|\(\s*)*(SELECT|SHOW|EXPLAIN|DESCRIBE|DESC|VALUES|TABLE|PRAGMA|WITH)\b",
    re.IGNORECASE | re.DOTALL,
)
_LITERALS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WRITES_INSIDE = re.compile(
    # a quoted name has become two quotes by then
    r"\b(?:INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO|DELETE\s+FROM|MERGE\s+INTO|REPLACE\s+INTO"
    r"|UPDATE\s+(?:ONLY\s+)?(?!OF\b)[\w.']+(?:\s*\*)?\s+(?:(?:AS\s+)?[\w']+\s+)?SET\b"
    r"|INTO\s+(?!@|OUTFILE\b|DUMPFILE\b)(?:[\w.']+\s+){0,4}(?:FROM\b|[\w.']+\s*(?:$|;)))",
    re.IGNORECASE,
)
_ANOTHER = re.compile(r";\s*\S")
_WANTS_TRANSACTION = re.compile(r"\s*(?:SET\s+LOCAL|DECLARE|FETCH|SAVEPOINT|LOCK)\b|set_config", re.IGNORECASE)
_CONTROL = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*"
    r"(COMMIT\b|ROLLBACK\b(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|BEGIN\b|START\s+TRANSACTION\b|END\b|ABORT\b|PREPARE\s+TRANSACTION\b|LOCK\s+TABLES\b|UNLOCK\s+TABLES\b|XA\b"
    r"|SET\s+(?:SESSION\s+|@@(?:SESSION\.)?)?AUTOCOMMIT\b"
    r"|PRAGMA\s+(?:\w+\s*\.\s*)?QUERY_ONLY\s*[=(]|SET\s+(?:SESSION\s+(?:CHARACTERISTICS\s+AS\s+)?|GLOBAL\s+|LOCAL\s+)?TRANSACTION\b"
    r"|SET\s+(?:SESSION\s+|LOCAL\s+|GLOBAL\s+|@@(?:SESSION\.)?)?(?:DEFAULT_)?(?:TRANSACTION|TX)_READ_ONLY\b)",
    re.IGNORECASE | re.DOTALL,
)


def refuse_control(text: str) -> None:
    """Refuse SQL that would begin or end the block's transaction behind its back.

    :raises TransactionManaged: it would.
    """
    found = _CONTROL.match(text)
    if found is not None:
        raise TransactionManaged(
            f"{' '.join(found[1].upper().split())} was sent as text inside a block, whose transaction is the block's "
            "own; let the block end to commit, raise an error to roll back, or open a .savepoint or .independent block"
        )


# What SQL brings along and no one has written: these store nothing, whatever is given to them.
_HARMLESS_CALLS = frozenset(
    """
    abs all and any array array_agg as avg between by case cast ceil ceiling char_length coalesce concat count
    current_setting current_timestamp date date_format date_trunc day distinct dense_rank else exists extract filter
    first_value floor from greatest group_concat hour if ifnull in interval json_agg json_extract json_object jsonb_agg
    json_group_array lag last_value lead least left length like limit lower ltrim materialized max min minute mod month
    not now ntile nullif on or over partition rank replace right round row row_number rtrim select similar some sqrt
    string_agg substr substring sum then to_char to_date trim trunc unnest upper using values when where with year
    """.split()
)
# a quoted or qualified name is never one of those above, even if it sounds like one
_CALL = re.compile(r"([\w$.\"`]+)\s*\(")
_TEXTS = re.compile(r"'(?:[^']|'')*'")
# With these, where a text ends depends on more than its quotes; then its content counts too.
_TRICKY = re.compile(r"\\|--|\#|/\*|\$\w*\$")
_STORES_NOTHING = re.compile(r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)


@lru_cache(maxsize=2048)
def may_store(text: str) -> bool:
    """Return whether a statement, as it is sent, may have stored something: only if it cannot, is the answer False.

    A SELECT that calls a function which nobody knows may.
    """
    if _STORES_NOTHING.match(text):
        return False
    if _is_writing_text(text):
        return True
    bare = text if _TRICKY.search(text) else _TEXTS.sub("''", text)
    return any(name.lower() not in _HARMLESS_CALLS for name in _CALL.findall(bare))


def is_write(statement: Any) -> bool:
    """Return whether a statement changes data or the schema."""
    if isinstance(statement, ExecutableDDLElement):
        return True
    text = _text_of(statement)
    if text is None:
        return isinstance(statement, ClauseElement) and any(_writes(part) for part in visitors.iterate(statement))
    return _is_writing_text(text)


def _writes(part: Any) -> bool:
    # a text inside a construct is a statement only where it can be one: as a CTE or a subquery
    return isinstance(part, UpdateBase) or (isinstance(part, TextualSelect) and _is_writing_text(str(part.element)))


def _is_writing_text(text: str) -> bool:
    found = _READS.match(text)
    if found is None:
        return True
    bare = _LITERALS.sub("''", text)
    if found[1].upper() == "PRAGMA":
        return "=" in bare
    return _WRITES_INSIDE.search(bare) is not None or _ANOTHER.search(bare) is not None


def needs_transaction(statement: Any, *options: Any) -> bool:
    """Return whether a statement has a meaning only inside a transaction, such as SET LOCAL or a server-side cursor.

    :param options: execution options, of the call and of the connection.
    """
    if isinstance(statement, Executable):
        options = (*options, statement.get_execution_options())
    if any(each and (each.get("stream_results") or each.get("yield_per")) for each in options):
        return True
    text = _text_of(statement)
    return text is not None and _WANTS_TRANSACTION.search(text) is not None


def ends_savepoint(statement: Any) -> bool:
    """Return whether it is SQLAlchemy's ROLLBACK TO SAVEPOINT."""
    return getattr(statement, "__visit_name__", "") == "rollback_to_savepoint"


def _text_of(statement: Any) -> str | None:
    if isinstance(statement, str):
        return statement
    if isinstance(statement, TextualSelect):
        statement = statement.element
    return statement.text if isinstance(statement, TextClause) else None
