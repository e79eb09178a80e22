"""``model_query`` with oslo.db's signature, for code that builds its queries on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import Mapper, Query, Session, scoped_session

from dbkit.exceptions import InvalidModel
from dbkit.filters.options import without
from dbkit.models.marking import RULE, marking_of
from dbkit.queries.where import session_of


def model_query(model: type[Any], session: Any, args: Iterable[Any] | None = None, **kwargs: Any) -> Query[Any]:
    """Return a ``Query`` for the rows of a model, or for ``args`` of it.

    Other keywords are not looked at, as with oslo.db. There is no ``Query`` in asyncio, but inside ``run_sync`` there
    is: ``await session.run_sync(lambda session: model_query(Server, session).all())``.

    :param session: of an open block, or a plain one; a Database or a context object stand for their open block.
    :param deleted: True for the deleted rows alone: the rule ``soft_delete`` is switched off for this query, and for
        what its objects load later, and no other rule is. False for the living ones, in sessions without rules too. If
        it is not given, the rules count, and so deleted rows are not returned either.
    :param project_id: the project to which rows belong, several of them, or None for those of no project. It narrows
        what a tenant's rule leaves, and does not switch it off.
    :raises InvalidModel: it is no mapped class.
    :raises ValueError: ``deleted`` or ``project_id`` is asked for, and the model has no such thing.

    .. versionadded:: 0.1
    """
    mapper = inspect(model, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise InvalidModel(f"model_query() takes a mapped class; {model!r} is none")
    opened = session if isinstance(session, Session | scoped_session) else session_of(session)
    query: Query[Any] = opened.query(*(args or (model,)))
    if "deleted" in kwargs:
        table = mapper.base_mapper.local_table
        marking = marking_of(table)
        if marking is None:
            raise ValueError(
                f"the rows of {model.__name__} are not marked when they are deleted, so that deleted=... says nothing; "
                "give the model a mixin of soft delete, or leave the argument out"
            )
        if kwargs["deleted"]:
            query = query.options(without(RULE)).filter(marking.is_dead(table))
        else:
            query = query.filter(marking.is_alive(table))
    if "project_id" in kwargs:
        query = query.filter(_of_project(model, mapper, kwargs["project_id"]))
    return query


def _of_project(model: Any, mapper: Mapper[Any], wanted: Any) -> ColumnElement[bool]:
    if "project_id" not in mapper.all_orm_descriptors:
        raise ValueError(
            f"{model.__name__} has no attribute project_id, by which model_query(project_id=...) chooses rows; give "
            "it the mixin ProjectMixin, or leave the argument out"
        )
    found: ColumnElement[bool] = (
        model.project_id.in_(wanted)
        if isinstance(wanted, list | tuple | set | frozenset)
        else model.project_id == wanted
    )
    return found
