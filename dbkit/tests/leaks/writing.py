"""Forms of statements that write, each with how many rows it must reach; hidden rows must stay as they were."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm.exc import StaleDataError

from dbkit.exceptions import FilterError, StaleRow
from dbkit.tests.leaks.reading import ONLY_POSTGRESQL, REFUSED, Case, Run, known_to, refused

X = {"name": "x"}
STALE = (StaleDataError, StaleRow)
"""What plain Sessions and those of blocks say of a row that isn't there."""


def _count(run: Run) -> Run:
    return lambda s, m: run(s, m).rowcount


def _synchronised(make: Callable[[Any], Any], how: Any) -> Run:
    return lambda s, m: s.execute(make(m), execution_options={"synchronize_session": how}).rowcount


def _upsert(s: Any, m: Any) -> Any:
    rows = [{"id": 1, "name": "new"}, {"id": 101, "name": "new"}]
    name = s.get_bind().dialect.name
    if name == "mysql":
        statement: Any = mysql.insert(m.Pet.__table__).values(rows)
        statement = statement.on_duplicate_key_update(name=statement.inserted.name)
    else:
        statement = (postgresql if name == "postgresql" else sqlite).insert(m.Pet.__table__).values(rows)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name})
    s.execute(statement)
    return s.scalar(select(m.Pet.name).where(m.Pet.id == 1))


def _flushed(s: Any, m: Any) -> Any:
    known_to(s, m.Pet(id=101)).name = "x"
    s.flush()


def _by_key(s: Any, m: Any) -> Any:
    with suppress(*STALE):  # of drivers that count the rows of many statements
        s.execute(update(m.Pet), [{"id": 1, "name": "x"}, {"id": 101, "name": "x"}])


def _deleted(s: Any, m: Any) -> Any:
    pet = s.get(m.Pet, 1)
    s.delete(pet)
    s.flush()
    return s.get(m.Pet, 1), s.scalar(select(func.count()).select_from(m.Pet))


def _core_deleted(s: Any, m: Any) -> Any:
    pets = s.scalars(select(m.Pet)).all()
    s.connection().execute(delete(m.Pet.__table__).where(m.Pet.__table__.c.id == 1))
    return len(pets), s.get(m.Pet, 1) if m.marks else None


def _bulk_deleted(how: Any) -> Run:
    def run(s: Any, m: Any) -> Any:
        s.scalars(select(m.Pet)).all()
        s.execute(delete(m.Pet).where(m.Pet.id == 1), execution_options={"synchronize_session": how})
        return s.get(m.Pet, 1) if m.marks or how else None

    return run


def _many(s: Any, m: Any) -> Any:
    table = m.Pet.__table__
    statement = update(table).where(table.c.id == bindparam("wanted")).values(name=bindparam("given"))
    s.connection().execute(statement, [{"wanted": n, "given": "x"} for n in (1, 101)])


def _from(m: Any) -> Any:
    return update(m.Pet).where(m.Pet.owner_id == m.Owner.id).values(**X)


def _copied(s: Any, m: Any) -> Any:
    wanted = select(m.Pet.id + 10, m.Pet.owner_id, m.Pet.id)
    s.execute(insert(m.Note).from_select(["id", "owner_id", "pet_id"], wanted))
    return s.scalar(select(func.count()).select_from(m.Note))


def _in_cte(s: Any, m: Any) -> Any:
    changed = update(m.Pet).values(**X).returning(m.Pet.id).cte()
    return sorted(s.scalars(select(changed.c.id)))


def _returned(s: Any, m: Any) -> Any:
    return sorted(s.scalars(update(m.Pet).values(**X).returning(m.Pet.id)))


CASES = (
    Case("update", _count(lambda s, m: s.execute(update(m.Pet).values(**X))), 2),
    *(
        Case(f"update, {how}", _synchronised(lambda m: update(m.Pet).where(m.Pet.name != "?").values(**X), how), 2)
        for how in ("evaluate", "fetch", False)
    ),
    Case("update of a hidden row", _count(lambda s, m: s.execute(update(m.Pet).where(m.Pet.id == 101).values(**X))), 0),
    Case("update of a table", _count(lambda s, m: s.execute(update(m.Pet.__table__).values(**X))), 2),
    Case("update on a connection", _count(lambda s, m: s.connection().execute(update(m.Pet.__table__).values(**X))), 2),
    Case("update from", _count(lambda s, m: s.execute(_from(m), execution_options={"synchronize_session": False})), 1),
    Case(
        "update where in",
        _count(lambda s, m: s.execute(update(m.Pet).where(m.Pet.owner_id.in_(select(m.Owner.id))).values(**X))),
        1,
    ),
    Case("update returning", _returned, [1, 2], frozenset({"mysql"})),
    Case("update in a cte", _in_cte, [1, 2], ONLY_POSTGRESQL),
    Case("update of many", _many, None),
    Case("update by key", _by_key, None),
    Case("update of a joined subclass", _count(lambda s, m: s.execute(update(m.Gadget.__table__).values(power=7))), 1),
    Case("Query.update", lambda s, m: s.query(m.Pet).update(X), 2),
    Case("flush of a hidden object", refused(_flushed, *STALE), REFUSED),
    Case("upsert", _upsert, "new"),
    *(
        Case(f"delete, {how}", _synchronised(lambda m: delete(m.Pet).where(m.Pet.name != "?"), how), 2)
        for how in ("evaluate", "fetch", False)
    ),
    Case("delete of a table", _count(lambda s, m: s.execute(delete(m.Pet.__table__))), 2),
    Case("delete of a hidden row", _count(lambda s, m: s.execute(delete(m.Pet).where(m.Pet.id == 101))), 0),
    Case("delete of a joined subclass's table", _count(lambda s, m: s.execute(delete(m.Gadget.__table__))), 1),
    Case("Query.delete", lambda s, m: s.query(m.Pet).delete(), 2),
    Case("session.delete", _deleted, (None, 1)),
    Case("get after a Core delete", _core_deleted, (2, None)),
    *(Case(f"get after a bulk delete, {how}", _bulk_deleted(how), None) for how in ("evaluate", "fetch", False)),
    Case("insert from select", _copied, 4),
    Case(
        "text",
        refused(lambda s, m: s.execute(text(f"UPDATE {m.Pet.__tablename__} SET name = 'x'")), FilterError),
        REFUSED,
    ),
)


def hidden_rows(s: Any, m: Any, *options: Any) -> list[Any]:
    """Return the hidden rows as they are, past the rules by an option of the statement."""
    found: list[Any] = []
    for table in m.rows:
        statement = select(table).where(table.c.id > 100).order_by(table.c.id)
        found += [tuple(row) for row in s.connection().execute(statement.options(*options))]
    return found
