"""What a PostgreSQL database holds: its rows, kept and restored; its structure, in one number; and the end of it all.

The rows of a template are kept beside the tables, in the schema ``dbkit_seed``, which is there only where rows are:
one table for each that has rows, named by the number that the original has in the catalogue and therefore in every
copy of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

SEED_SCHEMA = "dbkit_seed"

# TRUNCATE writes a new file for each table and its indexes; below this size DELETE costs less, and the room that it
# leaves is used again.
_TRUNCATE_FROM = 1 << 20

_LOCK_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Contents:
    """The rows of a template.

    :param rows: by the number of the table: how many rows, and the sum of what their texts hash to.
    :param sequences: by the number of the sequence, those that have been used: the last value.
    """

    rows: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    sequences: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the contents as JSON can carry them."""
        return {"rows": {str(k): list(v) for k, v in self.rows.items()}, "sequences": dict(self.sequences)}


def contents_of(manifest: Mapping[str, Any]) -> Contents:
    """Return the contents that :meth:`Contents.to_json` described."""
    rows = {int(number): (int(count), str(total)) for number, (count, total) in manifest["rows"].items()}
    return Contents(rows, {int(number): int(value) for number, value in manifest["sequences"].items()})


def keep_rows(connection: Connection) -> Contents:
    """Copy the rows of all tables aside and return what they are."""
    tables = {number: name for number, name, size, _kind in _tables(connection) if size}
    _begin(connection)
    signatures = {number: found for number, found in _signatures(connection, tables).items() if found[0]}
    if signatures:
        _run(connection, f"CREATE SCHEMA {SEED_SCHEMA}")
        for number in signatures:
            _run(connection, f'CREATE TABLE {SEED_SCHEMA}."{number}" AS SELECT * FROM ONLY {tables[number]}')
    used = connection.execute(text(_USED_SEQUENCES))
    sequences = {int(number): int(value) for number, value in used}
    _run(connection, "COMMIT")
    return Contents(signatures, sequences)


def restore(connection: Connection, contents: Contents, *, restart_sequences: bool) -> None:
    """Give the tables these rows and no others, in one transaction.

    Triggers do not fire and foreign keys are not looked at where the user may say so, as a superuser may; elsewhere
    the triggers for INSERT fire on the rows that come back.
    """
    tables = {number: (name, int(size)) for number, name, size, _kind in _tables(connection)}
    _begin(connection)
    kept = {number: tables[number][0] for number in contents.rows if number in tables}
    now = _signatures(connection, kept)
    changed = [number for number in kept if now[number] != contents.rows[number]]
    emptied = [number for number, (_, size) in tables.items() if size and number not in contents.rows] + changed
    script = []
    if emptied:
        is_free = bool(connection.execute(text(_MAY_REPLICATE)).scalar())
        by_file = [number for number in emptied if not is_free or tables[number][1] >= _TRUNCATE_FROM]
        # What the cascade reaches beyond the list has to get its rows back too.
        reached = _reached(connection, by_file)
        changed = [number for number in kept if number in changed or number in reached]
        if is_free:
            script.append("SET LOCAL session_replication_role = replica")
        if by_file:
            script.append(f"TRUNCATE {', '.join(tables[number][0] for number in by_file)} CASCADE")
        script += [f"DELETE FROM ONLY {tables[number][0]}" for number in emptied if number not in by_file]
        columns = _columns(connection, changed)
        for number in changed if is_free else _parents_first(connection, changed):
            names = columns[number]
            script.append(
                f"INSERT INTO {kept[number]} ({names}) OVERRIDING SYSTEM VALUE "
                f'SELECT {names} FROM {SEED_SCHEMA}."{number}"'
                if names
                else f'INSERT INTO {kept[number]} SELECT FROM {SEED_SCHEMA}."{number}"'
            )
        script += [f"REFRESH MATERIALIZED VIEW {name}" for (name,) in connection.execute(text(_FILLED_VIEWS))]
    if restart_sequences:
        for number, start in connection.execute(text(_SEQUENCES)):
            value = contents.sequences.get(number)
            called = "true" if value is not None else "false"
            script.append(f"SELECT setval({number}::regclass, {start if value is None else value}, {called})")
    _run(connection, "; ".join([*script, "COMMIT"]))


def structure_of(connection: Connection) -> str:
    """Return a number for the schema: every change of an object that a user made gives another one.

    The transactions that wrote the catalogue's rows tell it, which a copy of the database keeps. The catalogue's
    row of a table itself is not among them: TRUNCATE writes it too.
    """
    return str(connection.execute(text(_STRUCTURE)).scalar_one())


def drop_all_objects(connection: Connection) -> None:
    """Drop everything that a user made in the database and leave an empty schema ``public``.

    A session that uses one of the objects is waited for, though not for long.
    """
    _run(connection, f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
    try:
        _drop_all(connection)
    finally:
        _run(connection, "RESET lock_timeout")


def _drop_all(connection: Connection) -> None:
    for kind, names in (
        ("EVENT TRIGGER", "SELECT quote_ident(evtname) FROM pg_event_trigger"),
        ("PUBLICATION", "SELECT quote_ident(pubname) FROM pg_publication"),
        ("SCHEMA", _SCHEMAS),
        ("EXTENSION", "SELECT quote_ident(extname) FROM pg_extension WHERE oid >= 16384"),
        ("FOREIGN DATA WRAPPER", "SELECT quote_ident(fdwname) FROM pg_foreign_data_wrapper WHERE oid >= 16384"),
    ):
        found = [name for (name,) in connection.execute(text(names))]
        if found:
            _run(connection, "; ".join(f"DROP {kind} IF EXISTS {name} CASCADE" for name in found))
    _run(connection, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    _run(connection, "CREATE SCHEMA public")
    if int(connection.execute(text("SELECT current_setting('server_version_num')")).scalar_one()) >= 150000:
        _run(connection, "ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC")
    else:
        _run(connection, "GRANT ALL ON SCHEMA public TO PUBLIC")


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _begin(connection: Connection) -> None:
    """Open a transaction in which values have one text, whatever the database or the user has set."""
    _run(connection, f"BEGIN; SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'; {_PLAIN_TEXTS}")


_PLAIN_TEXTS = "; ".join(
    f"SET LOCAL {setting}"
    for setting in (
        "TimeZone = 'UTC'",
        "DateStyle = 'ISO'",
        "IntervalStyle = 'iso_8601'",
        "bytea_output = 'hex'",
        "extra_float_digits = 1",
        "row_security = off",
    )
)


def _tables(connection: Connection) -> Sequence[Any]:
    return connection.execute(text(_TABLES)).all()


def _signatures(connection: Connection, tables: Mapping[int, str]) -> dict[int, tuple[int, str]]:
    if not tables:
        return {}
    one = "SELECT {number}, count(*), coalesce(sum(hashtextextended(x::text, 0)), 0)::text FROM ONLY {name} x"
    union = " UNION ALL ".join(one.format(number=number, name=name) for number, name in tables.items())
    rows = connection.exec_driver_sql(union, execution_options={"no_parameters": True})
    return {int(number): (int(count), str(total)) for number, count, total in rows}


def _columns(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    wanted = list(numbers)
    found: dict[int, list[str]] = {number: [] for number in wanted}
    if wanted:
        for number, name in connection.execute(text(_COLUMNS), {"numbers": wanted}):
            found[number].append(name)
    return {number: ", ".join(names) for number, names in found.items()}


def _reached(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return the tables that a cascading TRUNCATE of these empties."""
    links = connection.execute(text(_LINKS)).all() if numbers else []
    reached, fresh = set(numbers), set(numbers)
    while fresh:
        fresh = {child for child, parent in links if parent in fresh} - reached
        reached |= fresh
    return reached


def _parents_first(connection: Connection, numbers: Sequence[int]) -> list[int]:
    """Return the tables in an order in which their rows can be inserted; within a circle, as they come."""
    links = [(child, parent) for child, parent in connection.execute(text(_LINKS)) if child != parent]
    left, ordered = list(numbers), []
    while left:
        free = [each for each in left if not any(child == each and parent in left for child, parent in links)]
        ordered += free or left
        left = [each for each in left if each not in ordered]
    return ordered


# FirstNormalObjectId of access/transam.h: what users make is numbered from here.
_OWN = "oid >= 16384"

# Tables of extensions are the extensions' business.
_TABLES = f"""
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname), pg_relation_size(c.oid), c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.{_OWN} AND c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', '{SEED_SCHEMA}')
  AND NOT EXISTS
  (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.oid"""

_COLUMNS = """
SELECT attrelid::int8, quote_ident(attname) FROM pg_attribute
WHERE attrelid::int8 = ANY(:numbers) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attrelid, attnum"""

_LINKS = "SELECT conrelid::int8, confrelid::int8 FROM pg_constraint WHERE contype = 'f'"

_FILLED_VIEWS = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated ORDER BY c.oid"""

_USED_SEQUENCES = """
SELECT c.oid::int8, s.last_value FROM pg_sequences s JOIN pg_namespace n ON n.nspname = s.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.sequencename WHERE s.last_value IS NOT NULL"""

_SEQUENCES = """
SELECT c.oid::int8, q.seqstart FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid
WHERE c.relpersistence <> 't' AND NOT EXISTS
  (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""

_MAY_REPLICATE = "SELECT current_setting('is_superuser') = 'on'"

_SCHEMAS = (
    "SELECT quote_ident(nspname) FROM pg_namespace "
    "WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND nspname !~ '^pg_(toast_)?temp_'"
)

# Objects of sessions come and go, and so do the schemas in which they lie.
_PASSING = "SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'"
_PASSING_TABLES = f"SELECT oid FROM pg_class WHERE relnamespace IN ({_PASSING})"

# Each catalogue: what of a row tells that it was changed, and which rows.
_CATALOGUES = (
    (
        "oid, relname, relkind, relnamespace, relowner, relpersistence, relrowsecurity, relforcerowsecurity,"
        " relispartition, reloptions, relacl",
        # The tables behind large values are made anew when a table is rewritten.
        f"pg_class WHERE {_OWN} AND relkind <> 't' AND relnamespace <> 'pg_toast'::regnamespace"
        f" AND relnamespace NOT IN ({_PASSING})",
    ),
    (
        "attrelid, attnum, xmin",
        f"pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE {_OWN}"
        f" AND relkind <> 't' AND relnamespace <> 'pg_toast'::regnamespace AND relnamespace NOT IN ({_PASSING}))",
    ),
    ("seqrelid, seqtypid, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle", "pg_sequence"),
    (
        "indexrelid, indisunique, indisvalid, indpred, indexprs",
        f"pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE {_OWN} AND relkind <> 't'"
        f" AND relnamespace NOT IN ({_PASSING}))",
    ),
    ("oid, enumlabel, enumsortorder", "pg_enum"),
    ("oid, xmin", f"pg_namespace WHERE {_OWN} AND oid NOT IN ({_PASSING})"),
    ("oid, xmin", f"pg_constraint WHERE {_OWN} AND connamespace NOT IN ({_PASSING})"),
    (
        "oid, xmin",
        f"pg_type WHERE {_OWN} AND typnamespace <> 'pg_toast'::regnamespace AND typnamespace NOT IN ({_PASSING})",
    ),
    ("oid, xmin", f"pg_attrdef WHERE {_OWN} AND adrelid NOT IN ({_PASSING_TABLES})"),
    ("oid, xmin", f"pg_trigger WHERE {_OWN} AND tgrelid NOT IN ({_PASSING_TABLES})"),
    *(
        ("oid, xmin", f"{catalogue} WHERE {_OWN}")
        for catalogue in (
            "pg_proc pg_rewrite pg_policy pg_extension pg_operator pg_collation pg_event_trigger pg_statistic_ext"
        ).split()
    ),
)

_STRUCTURE = "SELECT sum(h)::text FROM ({}) s".format(
    " UNION ALL ".join(
        f"SELECT hashtextextended(concat_ws(',', {facts}), {number}) AS h FROM {catalogue}"
        for number, (facts, catalogue) in enumerate(_CATALOGUES)
    )
)
