"""Mapped objects made of rows without a session: as if they had been loaded in one that has ended."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Mapper
from sqlalchemy.orm.base import manager_of_class
from sqlalchemy.orm.instrumentation import ClassManager
from sqlalchemy.sql.expression import ColumnElement

from dbkit.queries.fast.demand import Loaders
from dbkit.queries.fast.straight import Text

_EAGER = (False, "joined", "subquery", "selectin", "immediate")


def is_alone(mapper: Mapper[Any]) -> bool:
    """Return whether a class stands in no inheritance."""
    return mapper.inherits is None and mapper.polymorphic_on is None and list(mapper.self_and_descendants) == [mapper]


def can_be_made(mapper: Mapper[Any]) -> bool:
    """Return whether objects of a class can be made of their columns alone.

    Not of classes in an inheritance, with deferred columns or composites.
    """
    if (
        mapper.inherits is not None
        or mapper.polymorphic_on is not None
        or list(mapper.self_and_descendants) != [mapper]
    ):
        return False
    if len(mapper.tables) != 1 or mapper.composites:
        return False
    if any(each.deferred or len(each.columns) != 1 for each in mapper.column_attrs):
        return False
    manager: Any = manager_of_class(mapper.class_)
    return type(manager) is ClassManager


def events_of(mapper: Mapper[Any]) -> Any:
    """Return where to see who listens to the objects of a class."""
    manager: Any = mapper.class_manager
    return manager.dispatch


def loads_eagerly(mapper: Mapper[Any]) -> bool:
    """Return whether objects of a class are to be loaded together with what their relationships lead to."""
    return any(each.lazy in _EAGER for each in mapper.relationships)


def places_of(columns: Any, mapper: Mapper[Any]) -> dict[str, int] | None:
    """Return at which place of a row the value of each attribute stands; None if one is missing.

    :param columns: what SQLAlchemy has compiled of the columns that come back.
    """
    found: dict[str, int] = {}
    for attribute in mapper.column_attrs:
        column: Any = attribute.columns[0]
        for place, entry in enumerate(columns):
            if any(isinstance(each, ColumnElement) and each.shares_lineage(column) for each in entry.objects):
                found[attribute.key] = place
                break
        else:
            return None
    return found


def maker(
    mapper: Mapper[Any], values: dict[str, str], names: dict[str, Any], loaders: Loaders = MappingProxyType({})
) -> Callable[[Any], Any]:
    """Return the function that makes an object of a row.

    :param values: for each attribute the expression that reads its value from the row ``r``.
    :param names: what the expressions call.
    :param loaders: what loads the object's relationships.
    """
    names = dict(names)
    parts = []
    for number, (key, source) in enumerate(values.items()):
        names[f"k{number}"] = key
        parts.append(f"k{number}: {source}")
    read = eval(f"lambda r: {{{', '.join(parts)}}}", names)
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    manager: Any = manager_of_class(mapper.class_)
    cls: Any = mapper.class_
    make_state = manager._state_constructor
    new = cls.__new__
    single = keys[0] if len(keys) == 1 else None

    def make(row: Any) -> Any:
        values = read(row)
        instance = new(cls)
        instance.__dict__ = values
        state = values["_sa_instance_state"] = make_state(instance, manager)
        if loaders:
            state.callables = {**loaders}  # its own: SQLAlchemy takes out and puts in
        if single is not None:
            state.key = (cls, (values[single],), None)
        else:
            state.key = (cls, tuple([values[key] for key in keys]), None)
        return instance

    return make


def value_in_row(text: Text, place: int, dialect: Any, names: dict[str, Any]) -> str:
    """Return the expression that reads a value at a place of the row ``r``; what it calls is added to the names."""
    entry = text.columns[place]
    process = entry.type._cached_result_processor(dialect, text.description[place][1])
    if process is None:
        return f"r[{place}]"
    names[f"p{place}"] = process
    return f"p{place}(r[{place}])"
