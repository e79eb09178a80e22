"""Forms of statements that are met less often, each with what it must return when nothing hidden is seen."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    delete,
    exists,
    func,
    insert,
    lateral,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.orm import aliased, contains_eager, polymorphic_union, selectinload, with_polymorphic
from sqlalchemy.schema import CreateTable

import dbkit
from dbkit.exceptions import FilterError
from dbkit.tests.leaks.reading import ONLY_POSTGRESQL, REFUSED, Case, Run, ids, refused, rows

ONLY_MYSQL = frozenset({"sqlite", "postgresql"})
NO_DML_CTE = ONLY_POSTGRESQL
NO_MYSQL = frozenset({"mysql"})


def _pets(m: Any) -> Any:
    """Return how many pets each owner has, as a correlated subquery."""
    return select(func.count(m.Pet.id)).where(m.Pet.owner_id == m.Owner.id).scalar_subquery()


def _lateral(s: Any, m: Any) -> Any:
    last = select(m.Pet.id.label("p")).where(m.Pet.owner_id == m.Owner.id).order_by(m.Pet.id.desc()).limit(1)
    part = lateral(last)
    return rows(s.execute(select(m.Owner.id, part.c.p).join(part, true(), isouter=True)))


def _first_of_each(s: Any, m: Any) -> Any:
    place = func.row_number().over(partition_by=m.Pet.owner_id, order_by=m.Pet.id.desc()).label("place")
    numbered = select(m.Pet.id, place).subquery()
    return ids(s.scalars(select(numbered.c.id).where(numbered.c.place == 1)))


def _dml_in_cte(s: Any, m: Any) -> Any:
    pets, tags = m.Pet.__table__, m.Tag.__table__
    changed = update(pets).values(name="x").returning(pets.c.id).cte()
    removed = delete(tags).returning(tags.c.id).cte()
    return ids(s.scalars(union_all(select(changed.c.id), select(removed.c.id))))


def _added_cte(s: Any, m: Any) -> Any:
    pets = m.Pet.__table__
    changed = update(pets).values(name="x").returning(pets.c.id).cte("changed")
    s.scalars(select(m.Owner.id).add_cte(changed)).all()
    reached = select(func.count()).select_from(pets).where(pets.c.name == "x").options(dbkit.without(m.rule))
    return s.connection().scalar(reached)


def _inserted_from_cte(s: Any, m: Any) -> Any:
    pets = m.Pet.__table__
    changed = update(pets).values(name="x").returning(pets.c.id).cte("changed")
    s.execute(insert(m.Note.__table__).from_select(["id"], select(changed.c.id + 100)))
    return ids(s.scalars(select(m.Note.id).where(m.Note.id > 100)))


def _tree(s: Any, m: Any) -> Any:
    root, step = aliased(m.Node), aliased(m.Node)
    tree = select(root.id).where(root.parent_id.is_(None)).cte("tree", recursive=True)
    tree = tree.union(select(step.id).where(step.parent_id == tree.c.id))
    return ids(s.scalars(select(m.Node.id).join(tree, tree.c.id == m.Node.id)))


def _several_tables(s: Any, m: Any) -> Any:
    owners, notes = m.Owner.__table__, m.Note.__table__
    s.execute(update(notes).where(notes.c.owner_id == owners.c.id).values({owners.c.name: "x", notes.c.pet_id: 9}))
    named = select(owners.c.id).where(owners.c.name == "x").options(dbkit.without(m.rule))
    return ids(s.connection().scalars(named))


def _set_by_subquery(s: Any, m: Any) -> Any:
    s.execute(update(m.Note.__table__).values(pet_id=select(func.count()).select_from(m.Pet).scalar_subquery()))
    return ids(s.scalars(select(m.Note.pet_id)))


def _inserted_subquery(s: Any, m: Any) -> Any:
    last = select(func.max(m.Owner.__table__.c.id)).scalar_subquery()
    s.execute(insert(m.Note.__table__).values(id=77, owner_id=last))
    return s.scalar(select(m.Note.owner_id).where(m.Note.id == 77))


def _temporary(s: Any, m: Any) -> Any:
    table = Table(f"leak_temporary_{m.flavour}", MetaData(), Column("id", Integer), prefixes=["TEMPORARY"])
    s.connection().execute(CreateTable(table))
    s.execute(insert(table).from_select(["id"], select(m.Owner.id)))
    return ids(s.scalars(select(table.c.id)))


def _translated(s: Any, m: Any) -> Any:
    schema = {"sqlite": "main", "postgresql": "public"}.get(s.get_bind().dialect.name)
    where = s.connection().execution_options(schema_translate_map={None: schema})
    found = ids(where.scalars(select(m.Owner.__table__.c.id)))
    where.execution_options(schema_translate_map=None)
    return found


def _eager_alias(s: Any, m: Any) -> Any:
    s.expunge_all()
    pet = aliased(m.Pet)
    statement = select(m.Owner).outerjoin(pet, m.Owner.pets).options(contains_eager(m.Owner.pets.of_type(pet)))
    return [ids(each.pets) for each in s.scalars(statement).unique()]


def _concrete(s: Any, m: Any) -> Any:
    both = polymorphic_union({"shape": m.Shape.__table__, "circle": m.Circle.__table__}, "kind", "both")
    return rows(s.execute(select(both.c.id, both.c.kind)))


def _columns_of_both(m: Any) -> Any:
    every = with_polymorphic(m.Thing, [m.Gadget])
    return select(every.id, every.Gadget.power)


def _rows(make: Any) -> Run:
    return lambda s, m: rows(s.execute(make(m)))


def _ids(make: Any) -> Run:
    return lambda s, m: ids(s.scalars(make(m)))


def _count(make: Any) -> Run:
    return lambda s, m: s.execute(make(m), execution_options={"synchronize_session": False}).rowcount


def _outer(m: Any) -> Any:
    gadgets, things = m.Gadget.__table__, m.Thing.__table__
    return select(gadgets.c.id, things.c.id).select_from(gadgets.outerjoin(things, things.c.id == gadgets.c.id))


def _nested(m: Any) -> Any:
    pets, owners, notes = m.Pet.__table__, m.Owner.__table__, m.Note.__table__
    inner = pets.outerjoin(owners, owners.c.id == pets.c.owner_id)
    return select(notes.c.id, pets.c.id, owners.c.id).select_from(
        notes.join(inner, notes.c.pet_id == pets.c.id, full=True)
    )


def _hinted(s: Any, m: Any) -> Any:
    notes = m.Note.__table__
    return rows(s.execute(select(notes.c.id).with_hint(notes, f", {m.Owner.__tablename__} AS o")))


def _c(name: str, run: Run, expected: Any, without: frozenset[str] = frozenset()) -> Case:
    return Case(name, run, expected, without)


READING = (
    _c("lateral beyond an outer join", _lateral, [(1, 1)], ONLY_POSTGRESQL),
    _c("window in a subquery", _first_of_each, [1, 2]),
    _c("order by a subquery", _rows(lambda m: select(m.Owner.id, _pets(m)).order_by(_pets(m))), [(1, 1)]),
    _c(
        "having exists",
        _rows(
            lambda m: select(m.Pet.owner_id, func.count())
            .group_by(m.Pet.owner_id)
            .having(exists().where(m.Owner.id == m.Pet.owner_id))
        ),
        [(1, 1)],
    ),
    _c(
        "case exists",
        _rows(lambda m: select(m.Note.id, sa.case((exists().where(m.Owner.id == m.Note.owner_id), 1), else_=0))),
        [(1, 1), (2, 0)],
    ),
    _c(
        "tuple in subquery",
        _ids(
            lambda m: select(m.Note.id).where(
                tuple_(m.Note.owner_id, m.Note.owner_id).in_(select(m.Owner.id, m.Owner.id))
            )
        ),
        [1],
    ),
    _c("recursive cte of aliases", _tree, [1, 2]),
    _c("except", _ids(lambda m: sa.except_(select(m.Pet.id), select(m.Owner.id))), [2]),
    _c("intersect", _ids(lambda m: sa.intersect(select(m.Pet.id), select(m.Tag.id))), [1, 2]),
    _c(
        "union in a subquery",
        _ids(lambda m: select(union_all(select(m.Owner.id.label("i")), select(m.Pet.id)).subquery().c.i)),
        [1, 1, 2],
    ),
    _c("alias of an alias", _ids(lambda m: select(m.Owner.__table__.alias("a").alias("b").c.id)), [1]),
    _c("distinct on", _ids(lambda m: select(m.Pet.id).distinct(m.Pet.owner_id)), [1, 2], ONLY_POSTGRESQL),
    _c(
        "tablesample of a class",
        _ids(lambda m: select(aliased(m.Owner, sa.tablesample(m.Owner, func.bernoulli(100))).id)),
        [1],
        ONLY_POSTGRESQL,
    ),
    _c(
        "table function",
        _ids(
            lambda m: select(
                func.unnest(select(func.array_agg(m.Owner.id)).scalar_subquery()).column_valued("each")
            )
        ),
        [1],
        ONLY_POSTGRESQL,
    ),
    _c(
        "table function of SQLite",
        _ids(
            lambda m: select(
                func.json_each(select(func.json_group_array(m.Owner.id)).scalar_subquery()).table_valued("value").c.value
            )
        ),
        [1],
        frozenset({"mysql", "postgresql"}),
    ),
    _c("any of a subquery", _ids(
        lambda m: select(m.Note.id).where(m.Note.owner_id == sa.any_(select(m.Owner.id).scalar_subquery()))), [1],
        frozenset({"sqlite"})),
    _c("for update of", _rows(lambda m: select(m.Pet.id, m.Owner.id).join(m.Pet.owner).with_for_update(of=m.Pet)),
       [(1, 1)]),
    _c("temporary table", _temporary, [1]),
    _c("schema_translate_map", _translated, [1], NO_MYSQL),
    _c("association proxy", _ids(lambda m: select(m.Owner).where(m.Owner.pet_names == "p101")), []),
    _c("association proxy contains", _ids(lambda m: select(m.Owner).where(m.Owner.pet_names.contains("p101"))), []),
    _c("association proxy of an object", lambda s, m: list(s.get(m.Owner, 1).pet_names), ["p1"]),
    _c("hybrid", _rows(lambda m: select(m.Owner.id, m.Owner.pet_total)), [(1, 1)]),
    _c("hybrid of an object", lambda s, m: s.get(m.Owner, 1).pet_total, 1),
    _c("hybrid in where", _ids(lambda m: select(m.Owner.id).where(m.Owner.pet_total == 2)), []),
    _c("contains_eager of an alias", _eager_alias, [[1]]),
    _c(
        "yield_per with selectin",
        lambda s, m: [
            ids(each.pets)
            for each in s.scalars(
                select(m.Owner).options(selectinload(m.Owner.pets)).execution_options(yield_per=1)
            )
        ],
        [[1]],
    ),
    _c("with_polymorphic, flat", _ids(lambda m: select(with_polymorphic(m.Thing, "*", aliased=True, flat=True))),
       [1, 2, 3]),
    _c("with_polymorphic, columns", _rows(_columns_of_both), [(1, 1), (2, None), (3, None)]),
    _c("count of a joined subclass's alias", lambda s, m: s.scalar(
        select(func.count()).select_from(m.Gadget.__table__.alias())), 1),
    _c("half beyond an outer join", _rows(_outer), [(1, 1)]),
    _c("full join of a join", _rows(_nested), [(1, 1, 1), (2, None, None), (None, 2, None)], NO_MYSQL),
    _c("concrete inheritance", _concrete, [(1, "shape"), (2, "circle")]),
    _c("concrete subclass", _ids(lambda m: select(m.Circle)), [2]),
    _c("hint", refused(_hinted, FilterError), REFUSED, ONLY_MYSQL),
    _c("suffix", refused(_ids(
        lambda m: select(m.Note.id).suffix_with(f"UNION ALL SELECT id FROM {m.Owner.__tablename__}")), FilterError),
        REFUSED),
    _c("literal column", refused(_ids(
        lambda m: select(literal_column(f"(SELECT max(id) FROM {m.Owner.__tablename__})"))), FilterError), REFUSED),
)  # fmt: skip

WRITING = (
    _c("update and delete in ctes", _dml_in_cte, [1, 1, 2, 2], NO_DML_CTE),
    _c("update in a cte beside a select", _added_cte, 2, NO_DML_CTE),
    _c("insert from an update in a cte", _inserted_from_cte, [101, 102], NO_DML_CTE),
    _c("delete using an alias", _count(lambda m: delete(m.Pet).where(m.Pet.owner_id == (aliased(m.Owner)).id)), 1,
       frozenset({"sqlite"})),
    _c("update from an alias", _count(
        lambda m: update(m.Pet).where(m.Pet.owner_id == aliased(m.Owner).id).values(name="x")), 1),
    _c("update of an alias", _count(lambda m: update(m.Pet.__table__.alias("pp")).values(name="x")), 2),
    _c("update of a class's alias", _count(lambda m: update(aliased(m.Pet)).values(name="x")), 2),
    _c("update from a subquery", _count(
        lambda m: update(t := m.Pet.__table__)
        .where(t.c.owner_id == select(m.Owner.id.label("i")).subquery().c.i).values(name="x")), 1),
    _c("update of several tables", _several_tables, [1], ONLY_MYSQL),
    _c("update by a subquery", _set_by_subquery, [2, 2]),
    _c("insert of a subquery", _inserted_subquery, 1),
    _c("update returning a subquery", lambda s, m: ids(s.scalars(
        update(m.Note.__table__).values(pet_id=1).returning(
            select(func.count()).select_from(m.Owner.__table__).scalar_subquery()))), [1, 1], NO_MYSQL),
)  # fmt: skip
