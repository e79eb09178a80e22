"""Forms of statements that read, each with what it must return when nothing hidden is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    column,
    exists,
    func,
    lambda_stmt,
    lateral,
    literal,
    select,
    table,
    tablesample,
    text,
    union,
    union_all,
    values,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    Bundle,
    aliased,
    contains_eager,
    join,
    make_transient_to_detached,
    outerjoin,
    selectin_polymorphic,
    with_parent,
    with_polymorphic,
)
from sqlalchemy.orm.exc import ObjectDeletedError

from dbkit.exceptions import FilterError

REFUSED = "refused"

Run = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """A form of a statement.

    :param run: is given a Session and the models.
    :param without: products whose SQL has no such form.
    """

    name: str
    run: Run
    expected: Any
    without: frozenset[str] = frozenset()


def ids(found: Any) -> list[Any]:
    """Return the ids of objects, or what else there is, in order."""
    return sorted((getattr(each, "id", each) for each in found), key=repr)


def rows(result: Any) -> list[Any]:
    """Return rows as plain tuples, in order."""
    return sorted((tuple(row) for row in result), key=repr)


def refused(run: Run, *errors: type[Exception]) -> Run:
    """Return what says that an error was raised."""

    def tried(s: Any, m: Any) -> Any:
        try:
            return run(s, m)
        except errors:
            return REFUSED

    return tried


def known_to(s: Any, instance: Any) -> Any:
    """Let a session take an object for one that it has loaded."""
    make_transient_to_detached(instance)
    s.add(instance)
    return instance


def dead_owner(s: Any, m: Any) -> Any:
    """Return an object of the session for a hidden row, which was never loaded."""
    return known_to(s, m.Owner(id=101))


def _expired(s: Any, m: Any) -> Any:
    return dead_owner(s, m).name


def _tree(s: Any, m: Any) -> Any:
    tree = select(m.Node.id).where(m.Node.id == 1).cte("tree", recursive=True)
    step = aliased(m.Node)
    return s.scalars(select(tree.union_all(select(step.id).join(tree, step.parent_id == tree.c.id)).c.id))


def _lateral(s: Any, m: Any) -> Any:
    part = lateral(select(m.Pet.id.label("pet")).where(m.Pet.owner_id == m.Owner.id))
    return s.execute(select(m.Owner.id, part.c.pet).join(part, literal(True)))


def _lambda(s: Any, m: Any) -> Any:
    owner = m.Owner
    return s.scalars(lambda_stmt(lambda: select(owner.id)))


def _values(s: Any, m: Any) -> Any:
    wanted = values(column("id", m.Owner.__table__.c.id.type), name="wanted").data([(1,), (101,)])
    return s.scalars(select(m.Owner.id).join(wanted, wanted.c.id == m.Owner.id))


def _deep(m: Any) -> Any:
    both = join(m.Owner, m.Pet, m.Owner.id == m.Pet.owner_id)
    return select(m.Note.id, m.Owner.id, m.Pet.id).select_from(outerjoin(m.Note, both, m.Note.owner_id == m.Owner.id))


def _of_type(s: Any, m: Any) -> Any:
    every = with_polymorphic(m.Thing, [m.Gadget, m.Toy])
    return s.execute(select(m.Owner.id, every.id).join(m.Owner.things.of_type(every)))


def _sampled(s: Any, m: Any) -> Any:
    return s.scalars(select(tablesample(m.Owner.__table__, func.bernoulli(100), name="some").c.id))


NO_FULL, ONLY_POSTGRESQL = frozenset({"mysql"}), frozenset({"mysql", "sqlite"})


def _c(name: str, run: Run, expected: Any, without: frozenset[str] = frozenset()) -> Case:
    return Case(name, run, expected, without)


# Each returns rows or objects; what is compared is their ids, in order.
_IDS = (
    _c("select", lambda s, m: s.scalars(select(m.Owner)), [1]),
    _c("select columns", lambda s, m: s.scalars(select(m.Owner.id)), [1]),
    _c("where", lambda s, m: s.scalars(select(m.Owner).where(m.Owner.id == 101)), []),
    _c("where or", lambda s, m: s.scalars(select(m.Owner).where((m.Owner.id == 1) | (m.Owner.id == 101))), [1]),
    _c("alias", lambda s, m: s.scalars(select(aliased(m.Owner))), [1]),
    _c("yield_per", lambda s, m: s.scalars(select(m.Owner).execution_options(yield_per=1)), [1]),
    _c("for update", lambda s, m: s.scalars(select(m.Owner).with_for_update()), [1]),
    _c("distinct", lambda s, m: s.scalars(select(m.Pet.owner_id).distinct()), [1, 101]),
    _c("populate_existing", lambda s, m: s.scalars(select(m.Owner).execution_options(populate_existing=True)), [1]),
    _c("lambda", _lambda, [1]),
    _c("subquery", lambda s, m: s.scalars(select(select(m.Owner.id).subquery().c.id)), [1]),
    _c("aliased subquery", lambda s, m: s.scalars(select(aliased(m.Owner, select(m.Owner).subquery()))), [1]),
    _c("cte", lambda s, m: s.scalars(select(select(m.Owner.id).cte().c.id)), [1]),
    _c("recursive cte", _tree, [1, 2]),
    _c("union", lambda s, m: s.scalars(union(select(m.Owner.id), select(m.Pet.id))), [1, 2]),
    _c("union_all", lambda s, m: s.scalars(union_all(select(m.Owner.id), select(m.Pet.id))), [1, 1, 2]),
    _c("from_statement", lambda s, m: s.scalars(select(m.Owner).from_statement(select(m.Owner.__table__))), [1]),
    _c(
        "from_statement union",
        lambda s, m: s.scalars(select(m.Pet).from_statement(union(select(m.Pet).where(m.Pet.id > 100), select(m.Pet)))),
        [1, 2],
    ),
    _c("in subquery", lambda s, m: s.scalars(select(m.Note).where(m.Note.owner_id.in_(select(m.Owner.id)))), [1]),
    _c("not in subquery", lambda s, m: s.scalars(select(m.Pet).where(m.Pet.owner_id.not_in(select(m.Owner.id)))), [2]),
    _c("any", lambda s, m: s.scalars(select(m.Owner).where(m.Owner.pets.any(m.Pet.id == 101))), []),
    _c("not any", lambda s, m: s.scalars(select(m.Tag).where(~m.Tag.owners.any())), [2]),
    _c("any over a link", lambda s, m: s.scalars(select(m.Owner).where(m.Owner.tags.any(m.Tag.id == 2))), []),
    _c("has", lambda s, m: s.scalars(select(m.Pet).where(m.Pet.owner.has())), [1]),
    _c("not has", lambda s, m: s.scalars(select(m.Note).where(~m.Note.owner.has())), [2]),
    _c("any self-referential", lambda s, m: s.scalars(select(m.Node).where(m.Node.children.any())), [1]),
    _c(
        "any of_type",
        lambda s, m: s.scalars(select(m.Owner).where(m.Owner.things.of_type(m.Gadget).any(m.Gadget.id == 101))),
        [],
    ),
    _c("with_parent", lambda s, m: s.scalars(select(m.Pet).where(with_parent(s.get(m.Owner, 1), m.Owner.pets))), [1]),
    _c("relationship ==", lambda s, m: s.scalars(select(m.Pet).where(m.Pet.owner == s.get(m.Owner, 1))), [1]),
    _c(
        "exists where", lambda s, m: s.scalars(select(m.Note).where(exists().where(m.Owner.id == m.Note.owner_id))), [1]
    ),
    _c(
        "contains_eager",
        lambda s, m: (
            s.scalars(select(m.Owner).join(m.Owner.pets).options(contains_eager(m.Owner.pets))).unique().one().pets
        ),
        [1],
    ),
    _c("core", lambda s, m: s.scalars(select(m.Owner.__table__.c.id)), [1]),
    _c("core alias", lambda s, m: s.scalars(select(m.Owner.__table__.alias("o").c.id)), [1]),
    _c("core connection", lambda s, m: s.connection().scalars(select(m.Owner.__table__.c.id)), [1]),
    _c("table by name", lambda s, m: s.scalars(select(table(m.Owner.__tablename__, column("id")))), [1]),
    _c("single inheritance", lambda s, m: s.scalars(select(m.Toy)), [2]),
    _c("joined inheritance", lambda s, m: s.scalars(select(m.Gadget)), [1]),
    _c("joined inheritance, its own table", lambda s, m: s.scalars(select(m.Gadget.__table__.c.id)), [1]),
    _c("joined inheritance, aliased", lambda s, m: s.scalars(select(aliased(m.Gadget, flat=True))), [1]),
    _c("base class", lambda s, m: s.scalars(select(m.Thing)), [1, 2, 3]),
    _c(
        "selectin_polymorphic",
        lambda s, m: s.scalars(select(m.Thing).options(selectin_polymorphic(m.Thing, [m.Gadget]))),
        [1, 2, 3],
    ),
    _c("with_polymorphic", lambda s, m: s.scalars(select(with_polymorphic(m.Thing, [m.Gadget, m.Toy]))), [1, 2, 3]),
    _c("values", _values, [1], ONLY_POSTGRESQL),
    _c("tablesample", _sampled, [1], ONLY_POSTGRESQL),
    _c("Query", lambda s, m: s.query(m.Owner), [1]),
    _c("Query filter_by", lambda s, m: s.query(m.Owner).filter_by(id=101), []),
    _c("Query join", lambda s, m: s.query(m.Pet).join(m.Pet.owner), [1]),
    _c("Query from subquery", lambda s, m: s.query(aliased(m.Owner, s.query(m.Owner).subquery())), [1]),
    _c("Query union", lambda s, m: s.query(m.Pet).union(s.query(m.Pet)), [1, 2]),
    _c("Query with_parent", lambda s, m: s.query(m.Pet).with_parent(s.get(m.Owner, 1), m.Owner.pets), [1]),
)

_ROWS = (
    _c("join", lambda s, m: s.execute(select(m.Owner.id, m.Pet.id).join(m.Owner.pets)), [(1, 1)]),
    _c("outer join", lambda s, m: s.execute(select(m.Pet.id, m.Owner.id).outerjoin(m.Pet.owner)), [(1, 1), (2, None)]),
    _c(
        "outer join, other side", lambda s, m: s.execute(select(m.Owner.id, m.Pet.id).outerjoin(m.Owner.pets)), [(1, 1)]
    ),
    _c(
        "outer join of an alias",
        lambda s, m: s.execute(select(m.Pet.id, (o := aliased(m.Owner)).id).outerjoin(m.Pet.owner.of_type(o))),
        [(1, 1), (2, None)],
    ),
    _c("join over a link", lambda s, m: s.execute(select(m.Owner.id, m.Tag.id).join(m.Owner.tags)), [(1, 1)]),
    _c(
        "outer join over a link",
        lambda s, m: s.execute(select(m.Tag.id, m.Owner.id).outerjoin(m.Tag.owners)),
        [(1, 1), (2, None)],
    ),
    _c("join in an outer join", lambda s, m: s.execute(_deep(m)), [(1, 1, 1), (2, None, None)]),
    _c(
        "full join",
        lambda s, m: s.execute(select(m.Note.id, m.Owner.id).join(m.Owner, m.Note.owner_id == m.Owner.id, full=True)),
        [(1, 1), (2, None)],
        NO_FULL,
    ),
    _c(
        "full join of aliases",
        lambda s, m: s.execute(
            select((p := aliased(m.Pet)).id, (o := aliased(m.Owner)).id).join(o, p.owner_id == o.id, full=True)
        ),
        [(1, 1), (2, None)],
        NO_FULL,
    ),
    _c(
        "self join",
        lambda s, m: s.execute(select(m.Node.id, (c := aliased(m.Node)).id).outerjoin(m.Node.children.of_type(c))),
        [(1, 2), (2, None), (3, None)],
    ),
    _c("join of_type", _of_type, [(1, 1), (1, 2), (1, 3)]),
    _c(
        "outer join of a joined subclass",
        lambda s, m: s.execute(select(m.Owner.id, m.Gadget.id).outerjoin(m.Owner.gadgets)),
        [(1, 1)],
    ),
    _c(
        "from two tables",
        lambda s, m: s.execute(select(m.Owner.id, m.Pet.id).where(m.Owner.id == m.Pet.owner_id)),
        [(1, 1)],
    ),
    _c(
        "group by",
        lambda s, m: s.execute(select(m.Owner.id, func.count(m.Pet.id)).outerjoin(m.Owner.pets).group_by(m.Owner.id)),
        [(1, 1)],
    ),
    _c(
        "scalar subquery",
        lambda s, m: s.execute(
            select(m.Owner.id, select(func.count(m.Pet.id)).where(m.Pet.owner_id == m.Owner.id).scalar_subquery())
        ),
        [(1, 1)],
    ),
    _c("window", lambda s, m: s.execute(select(m.Pet.id, func.count().over())), [(1, 2), (2, 2)]),
    _c("column_property", lambda s, m: s.execute(select(m.Owner.id, m.Owner.pet_count)), [(1, 1)]),
    _c("bundle", lambda s, m: s.execute(select(Bundle("b", m.Owner.id, m.Owner.name))).scalars(), [(1, "o1")]),
    _c("lateral", _lateral, [(1, 1)], ONLY_POSTGRESQL),
)

_ONE = (
    _c("count", lambda s, m: s.scalar(select(func.count()).select_from(m.Pet)), 2),
    _c("count of a table", lambda s, m: s.scalar(select(func.count()).select_from(m.Pet.__table__)), 2),
    _c("count of a subquery", lambda s, m: s.scalar(select(func.count()).select_from(select(m.Pet).subquery())), 2),
    _c("exists", lambda s, m: bool(s.scalar(select(exists().where(m.Owner.id == 101)))), False),
    _c("select exists", lambda s, m: bool(s.scalar(select(m.Owner).where(m.Owner.id == 101).exists().select())), False),
    _c("get", lambda s, m: s.get(m.Owner, 101), None),
    _c("get of a joined subclass", lambda s, m: s.get(m.Gadget, 101), None),
    _c("get with populate_existing", lambda s, m: s.get(m.Owner, 101, populate_existing=True), None),
    _c("merge", lambda s, m: s.merge(m.Owner(id=101)).name, None),
    _c("refresh", refused(lambda s, m: s.refresh(dead_owner(s, m)), InvalidRequestError), REFUSED),
    _c("expired attribute", refused(_expired, ObjectDeletedError), REFUSED),
    _c("Query.get", lambda s, m: s.query(m.Owner).get(101), None),
    _c("Query.count", lambda s, m: s.query(m.Pet).count(), 2),
    _c("Query.exists", lambda s, m: bool(s.query(s.query(m.Owner).filter_by(id=101).exists()).scalar()), False),
    _c("Query.first", lambda s, m: s.query(m.Owner).filter(m.Owner.id > 100).first(), None),
    _c(
        "text",
        refused(lambda s, m: s.execute(text(f"SELECT id FROM {m.Owner.__tablename__}")).all(), FilterError),
        REFUSED,
    ),
    _c(
        "text in where",
        refused(
            lambda s, m: s.scalars(
                select(m.Note.id).where(text(f"owner_id IN (SELECT id FROM {m.Owner.__tablename__})"))
            ).all(),
            FilterError,
        ),
        REFUSED,
    ),
    _c(
        "from_statement text",
        refused(
            lambda s, m: s.scalars(
                select(m.Owner).from_statement(text(f"SELECT * FROM {m.Owner.__tablename__}"))
            ).all(),
            FilterError,
        ),
        REFUSED,
    ),
    _c(
        "exec_driver_sql",
        refused(
            lambda s, m: s.connection().exec_driver_sql(f"SELECT id FROM {m.Owner.__tablename__}").all(), FilterError
        ),
        REFUSED,
    ),
)


def _listed(case: Case, form: Callable[[Any], Any]) -> Case:
    return Case(case.name, lambda s, m: form(case.run(s, m)), case.expected, case.without)


CASES = (*(_listed(each, ids) for each in _IDS), *(_listed(each, rows) for each in _ROWS), *_ONE)
