"""What dies with an object: its row and those of its children are marked, and their links stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, event, select
from sqlalchemy.orm import InstanceState, Mapper, RelationshipProperty, Session, with_parent
from sqlalchemy.orm.attributes import flag_modified, instance_state, set_attribute
from sqlalchemy.orm.base import NO_RAISE, PASSIVE_OFF
from sqlalchemy.orm.exc import ObjectDeletedError, UnmappedColumnError

from dbkit.exceptions import DBDataError, InvalidModel
from dbkit.models.columns import column_of
from dbkit.models.marking import Flavour, Marking, key_name, marking_of, moment_for
from dbkit.models.timestamps import is_change_time

MARKED = "dbkit.marked"
"""In the ``info`` of a class manager: how the objects of the class are marked."""

_EXPLAINS = "dbkit.explains"
_LOADED_BY_SELECT = frozenset({"dynamic", "write_only"})


@dataclass(frozen=True, slots=True)
class MarkedClass:
    """How the objects of a class are marked as deleted: by which of their attributes.

    :param mapper: of the class whose table has the mark.
    """

    mapper: Mapper[Any]
    table: Table
    marking: Marking

    def attribute(self, name: str) -> str:
        """Return the name of the attribute for a column.

        :raises InvalidModel: the column is not mapped.
        """
        try:
            return self.mapper.get_property_by_column(column_of(self.table, name)).key
        except UnmappedColumnError as error:
            raise InvalidModel(
                f"the column {self.table.name}.{name}, by which deleted rows are marked, is no attribute of "
                f"{self.mapper.class_.__name__}; map it, or delete by a statement"
            ) from error

    @property
    def mark(self) -> str:
        """The attribute that says whether an object is deleted."""
        return self.attribute(self.marking.mark)

    def is_marked(self, instance: object) -> bool:
        """Return whether an object says of itself that it is deleted."""
        return self.marking.is_marked(getattr(instance, self.mark), column_of(self.table, self.marking.mark))


@event.listens_for(Mapper, "after_mapper_constructed")
def _note_marking(mapper: Mapper[Any], class_: type) -> None:
    for each in mapper.iterate_to_root():
        marking = marking_of(each.local_table)
        if marking is not None and isinstance(each.local_table, Table):
            mapper.class_manager.info[MARKED] = MarkedClass(each, each.local_table, marking)
            _explain_loads(mapper.class_manager)


def _explain_loads(manager: Any) -> None:
    """Let a session of a block say what has become of a row that expired attributes are loaded from."""
    load = manager.expired_attribute_loader

    def loaded(state: InstanceState[Any], toload: Any, passive: Any) -> Any:
        try:
            return load(state, toload, passive)
        except ObjectDeletedError as error:
            explain = getattr(state.session, "explain", None)
            if explain is not None:
                explain(state, error)
            raise

    if _EXPLAINS not in manager.info:
        manager.info[_EXPLAINS] = True
        manager.expired_attribute_loader = loaded


def marked_class(model: Any) -> MarkedClass | None:
    """Return how the objects of a mapper's class are marked as deleted; None if they are not."""
    found: MarkedClass | None = model.class_manager.info.get(MARKED)
    return found


def condemn(session: Session, instance: object) -> None:
    """Mark an object as deleted at this moment, and what dies with it; the next flush writes the marks.

    What dies with it is what a relationship with the cascade "delete" leads to, as far as it is marked when it is
    deleted. Anything else stays as it is: the row that it refers to is still there.
    """
    dying: dict[InstanceState[Any], tuple[Any, MarkedClass]] = {}
    waiting = [instance]
    while waiting:
        each = waiting.pop()
        state = instance_state(each)
        marked: MarkedClass | None = state.manager.info.get(MARKED)
        if state in dying or state.key is None or marked is None or marked.is_marked(each):
            continue
        _check_key(each, marked)
        dying[state] = each, marked
        waiting.extend(children(session, each))
    # not before all are found: what loads them would flush the marks of some
    moments: dict[Any, Any] = {}
    for each, marked in dying.values():
        _mark(each, marked, moments)


def children(session: Session, instance: object, *options: Any) -> Iterator[Any]:
    """Yield the objects that die and live with an object, loaded if they are not."""
    state = instance_state(instance)
    for relation in state.mapper.relationships:
        if relation.viewonly or not relation.cascade.delete or marked_class(relation.mapper) is None:
            continue
        if options or relation.passive_deletes or relation.lazy in _LOADED_BY_SELECT:
            yield from _selected(session, instance, relation, *options)
            continue
        impl = state.manager[relation.key].impl
        value = impl.get(state, state.dict, PASSIVE_OFF | NO_RAISE)
        if relation.uselist:
            yield from list(getattr(value, "_sa_adapter", value) or ())
        elif value is not None:
            yield value


def _selected(session: Session, instance: object, relation: RelationshipProperty[Any], *options: Any) -> list[Any]:
    # a relationship that leaves deletions to the database has not loaded all that the database would delete
    query = select(relation.mapper).where(with_parent(instance, relation.class_attribute)).options(*options)
    return list(session.scalars(query))


def _check_key(instance: Any, marked: MarkedClass) -> None:
    marking, table = marked.marking, marked.table
    if marking.flavour is not Flavour.KEY:
        return
    key = getattr(instance, marked.attribute(key_name(table, marking)))
    if not marking.is_marked(key, column_of(table, marking.mark)):
        raise DBDataError(
            table=table.name,
            message=f"a row of the table {table.name} cannot be marked as deleted by its key, which is the value that "
            "stands for a living row (0, an empty text, the nil UUID); give it another key, or the table the flavour "
            "'time'",
        )


def _mark(instance: Any, marked: MarkedClass, moments: dict[Any, Any]) -> None:
    marking, table = marked.marking, marked.table
    if marking.flavour is Flavour.KEY:
        key = getattr(instance, marked.attribute(key_name(table, marking)))
        set_attribute(instance, marked.mark, key)
    elif marking.flavour is Flavour.FLAG:
        set_attribute(instance, marked.mark, True)
    if marking.moment is not None:
        column = column_of(table, marking.moment)
        kind = bool(getattr(column.type, "timezone", False)), type(column.type)
        if kind not in moments:  # one for all that dies together: it is by this that they are restored together
            moments[kind] = moment_for(column)
        set_attribute(instance, marked.attribute(marking.moment), moments[kind])
    for column in table.columns:
        if is_change_time(column):
            name = marked.attribute(column.name)
            getattr(instance, name)  # loaded, so that it can be written as it is
            flag_modified(instance, name)
