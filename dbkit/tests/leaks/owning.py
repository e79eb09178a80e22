"""Forms of statements that say whose a row is: of the tenant on whose behalf the code runs, or they are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import bindparam, column, func, insert, literal, null, select, table, text, union_all, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import aliased

import dbkit
from dbkit.exceptions import ForeignScope
from dbkit.tests.leaks.reading import ONLY_POSTGRESQL, REFUSED, Case, Run, refused

_NEW = 50
"""No row has an id from here to 100 before."""


def _stored(run: Run) -> Run:
    """Return what returns whose the new rows are."""

    def then(s: Any, m: Any) -> Any:
        run(s, m)
        s.flush()
        pets = m.Pet.__table__
        found = select(pets.c.mark).where(pets.c.id.between(_NEW, 100)).options(dbkit.without(m.rule))
        return sorted(s.connection().scalars(found), key=repr)

    return then


def _writes(make: Callable[[Any], Any], *parameters: Any) -> Run:
    return _stored(lambda s, m: s.connection().execute(make(m.Pet.__table__), *parameters))


def _orm(make: Callable[[Any], Any], *parameters: Any) -> Run:
    return _stored(lambda s, m: s.execute(make(m.Pet), *parameters))


def _copied(names: Iterable[str], make: Callable[[Any], Any], **options: Any) -> Run:
    return _stored(lambda s, m: s.execute(insert(m.Pet.__table__).from_select(list(names), make(m), **options)))


def _upsert(whose: str, sets: Any) -> Run:
    def run(s: Any, m: Any) -> Any:
        name, pets = s.get_bind().dialect.name, m.Pet.__table__
        values = {"id": 1, "name": "new", "mark": whose}
        if name == "mysql":
            statement: Any = mysql.insert(pets).values(values)
            changes = {"name": "new", "mark": statement.inserted.mark if sets == "given" else sets}
            s.execute(statement.on_duplicate_key_update(changes))
        else:
            statement = (postgresql if name == "postgresql" else sqlite).insert(pets).values(values)
            changes = {"name": "new", "mark": statement.excluded.mark if sets == "given" else sets}
            s.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))
        return s.connection().scalar(select(pets.c.mark).where(pets.c.id == 1).options(dbkit.without(m.rule)))

    return run


def _moved(make: Callable[[Any], Any], *parameters: Any) -> Run:
    def run(s: Any, m: Any) -> Any:
        s.connection().execute(make(m), *parameters)
        pets = m.Pet.__table__
        return s.connection().scalar(select(pets.c.mark).where(pets.c.id == 1).options(dbkit.without(m.rule)))

    return run


def _set(**values: Any) -> Callable[[Any], Any]:
    return lambda m: update(m.Pet.__table__).where(m.Pet.__table__.c.id == 1).values(**values)


def _in_cte(whose: str | None) -> Run:
    def run(s: Any, m: Any) -> Any:
        pets = m.Pet.__table__
        given = {} if whose is None else {"mark": whose}
        new = insert(pets).values(id=_NEW, **given).returning(pets.c.mark).cte()
        return s.scalar(select(new.c.mark))

    return run


def _flushed(s: Any, m: Any) -> Any:
    s.get(m.Pet, 1).mark = None
    s.flush()


def _many_tables(m: Any) -> Any:
    pets, owners = m.Pet.__table__, m.Owner.__table__
    return update(pets).where(pets.c.owner_id == owners.c.id).values({owners.c.mark: "theirs", pets.c.name: "x"})


def _lightweight(*names: str) -> Callable[[Any], Any]:
    return lambda pets: insert(table(pets.name, *map(column, names))).values(
        id=_NEW, **dict.fromkeys(names[1:], "theirs")
    )


ONLY_MYSQL = frozenset({"sqlite", "postgresql"})
_TWO = [{"id": _NEW, "mark": "mine"}, {"id": _NEW + 1, "mark": "theirs"}]

_OWN: tuple[tuple[str, Run, Any, frozenset[str]], ...] = (
    ("insert of one's own", _writes(lambda t: insert(t).values(id=_NEW, mark="mine")), ["mine"], frozenset()),
    ("insert without the column", _writes(insert, {"id": _NEW}), ["mine"], frozenset()),
    ("insert of many without", _writes(insert, [{"id": _NEW}, {"id": _NEW + 1}]), ["mine"] * 2, frozenset()),
    (
        "insert of several",
        _writes(lambda t: insert(t).values([{"id": _NEW}, {"id": _NEW + 1, "mark": "mine"}])),
        ["mine"] * 2,
        frozenset(),
    ),
    ("ORM insert without", _orm(insert, [{"id": _NEW}, {"id": _NEW + 1}]), ["mine"] * 2, frozenset()),
    ("insert from select", _copied(["id"], lambda m: select(literal(_NEW))), ["mine"], frozenset()),
    (
        "insert from select of a column",
        _copied(["id", "mark"], lambda m: select(m.Pet.id + _NEW, m.Pet.mark).where(m.Pet.id < 3)),
        ["mine"] * 2,
        frozenset(),
    ),
    (
        "insert from select of an alias",
        _copied(["id", "mark"], lambda m: select((p := aliased(m.Pet)).id + _NEW, p.mark).where(p.id == 1)),
        ["mine"],
        frozenset(),
    ),
    ("insert in a cte", _in_cte("mine"), "mine", ONLY_POSTGRESQL),
    ("insert in a cte without", _in_cte(None), "mine", ONLY_POSTGRESQL),
    ("upsert of one's own", _upsert("mine", "mine"), "mine", frozenset()),
    ("upsert of what is given", _upsert("mine", "given"), "mine", frozenset()),
    ("update of one's own", _moved(_set(mark="mine")), "mine", frozenset()),
    ("update by itself", _moved(lambda m: _set(mark=m.Pet.__table__.c.mark)(m)), "mine", frozenset()),
    ("insert by name without", _writes(lambda t: insert(table(t.name, column("id"), column("mark"))).values(id=_NEW)),
     ["mine"], frozenset()),
)  # fmt: skip

_FOREIGN: tuple[tuple[str, Run, frozenset[str]], ...] = (
    ("insert", _writes(lambda t: insert(t).values(id=_NEW, mark="theirs")), frozenset()),
    ("insert with parameters", _writes(insert, {"id": _NEW, "mark": "theirs"}), frozenset()),
    ("insert of many", _writes(insert, _TWO), frozenset()),
    ("insert of several", _writes(lambda t: insert(t).values(_TWO)), frozenset()),
    ("insert of nobody's", _writes(lambda t: insert(t).values(id=_NEW, mark=None)), frozenset()),
    ("insert of NULL", _writes(lambda t: insert(t).values(id=_NEW, mark=null())), frozenset()),
    ("insert of what is computed", _writes(lambda t: insert(t).values(id=_NEW, mark=func.lower("X"))), frozenset()),
    ("insert by name", _writes(_lightweight("id", "mark")), frozenset()),
    ("ORM insert", _orm(lambda cls: insert(cls).values(id=_NEW, mark="theirs")), frozenset()),
    ("ORM insert of many", _orm(insert, _TWO), frozenset()),
    ("add", _stored(lambda s, m: s.add(m.Pet(id=_NEW, mark="theirs"))), frozenset()),
    ("bulk_save_objects", _stored(lambda s, m: s.bulk_save_objects([m.Pet(**_TWO[1])])), frozenset()),
    ("bulk_insert_mappings", _stored(lambda s, m: s.bulk_insert_mappings(m.Pet, _TWO)), frozenset()),
    ("insert from select", _copied(["id", "mark"], lambda m: select(literal(_NEW), literal("theirs"))), frozenset()),
    (
        "insert from union",
        _copied(
            ["id", "mark"],
            lambda m: union_all(select(literal(_NEW), literal("mine")), select(literal(_NEW + 1), literal("theirs"))),
        ),
        frozenset(),
    ),
    (
        "insert from select of another column",
        _copied(["id", "mark"], lambda m: select(m.Pet.id + _NEW, m.Pet.name).where(m.Pet.id == 1)),
        frozenset(),
    ),
    (
        "insert from select of text",
        _copied(["id", "mark"], lambda m: select(literal(_NEW), text("'theirs'"))),
        frozenset(),
    ),
    (
        "insert from select of a subquery",
        _copied(["id", "mark"], lambda m: select((q := select(m.Pet.id, m.Pet.name).subquery()).c.id + _NEW, q.c.name)),
        frozenset(),
    ),
    (
        "insert from select beyond an outer join",
        _copied(
            ["id", "mark"],
            lambda m: select(m.Note.id + _NEW, m.Owner.mark).outerjoin(m.Owner, m.Owner.id == m.Note.owner_id),
        ),
        frozenset(),
    ),
    (
        "insert from select that sees all",
        _copied(
            ["id", "mark"],
            lambda m: select(m.Pet.id - 101 + _NEW, m.Pet.mark).where(m.Pet.id > 100).options(dbkit.without(m.rule)),
        ),
        frozenset(),
    ),
    ("insert from select of an entity", _copied(["id", "name", "owner_id", "mark"], lambda m: select(
        m.Pet.__table__).where(m.Pet.id > 1000)), frozenset()),
    (
        "insert from select without defaults",
        _copied(["id"], lambda m: select(literal(_NEW)), include_defaults=False),
        frozenset(),
    ),
    ("insert in a cte", _in_cte("theirs"), ONLY_POSTGRESQL),
    ("upsert", _upsert("theirs", "given"), frozenset()),
    ("upsert of a row that is there", _upsert("mine", "theirs"), frozenset()),
    ("upsert of what is computed", _upsert("mine", func.lower("X")), frozenset()),
    ("update", _moved(_set(mark="theirs")), frozenset()),
    ("update to nobody's", _moved(_set(mark=None)), frozenset()),
    ("update to what is computed", _moved(_set(mark=func.lower("X"))), frozenset()),
    ("update by another column", _moved(lambda m: _set(mark=m.Pet.__table__.c.name)(m)), frozenset()),
    (
        "update with parameters",
        _moved(lambda m: update(t := m.Pet.__table__).where(t.c.id == bindparam("i")), [{"i": 1, "mark": "theirs"}]),
        frozenset(),
    ),
    (
        "update in order",
        _moved(lambda m: update(t := m.Pet.__table__).ordered_values((t.c.name, "x"), (t.c.mark, "theirs"))),
        frozenset(),
    ),
    ("update of another table", _moved(_many_tables), ONLY_MYSQL),
    ("ORM update", _orm(lambda cls: update(cls).where(cls.id == 1).values(mark="theirs")), frozenset()),
    ("ORM update by key", _orm(update, [{"id": 1, "mark": "theirs"}]), frozenset()),
    ("Query.update", lambda s, m: s.query(m.Pet).filter_by(id=1).update({"mark": "theirs"}), frozenset()),
    ("flush that moves a row", _stored(lambda s, m: setattr(s.get(m.Pet, 1), "mark", "theirs")), frozenset()),
    ("flush that leaves a row to nobody", _flushed, frozenset()),
)  # fmt: skip

OWN = tuple(Case(f"own: {name}", run, expected, without) for name, run, expected, without in _OWN)
FOREIGN = tuple(
    Case(f"foreign: {name}", refused(run, ForeignScope), REFUSED, without) for name, run, without in _FOREIGN
)
CASES = (*OWN, *FOREIGN)
