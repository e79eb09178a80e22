"""How deleted objects leave a session: marked by its flush, and gone from it afterwards."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import get_history, instance_state, manager_of_class, set_committed_value
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE

from dbkit.models.dying import MARKED, MarkedClass, condemn
from dbkit.models.marking import RULE


def prepare(session: Any) -> None:
    """Before a flush: mark the orphans among the changed objects, and let what is marked leave the session after it.

    An object leaves as one that SQLAlchemy has deleted does: ``session.get`` finds nothing, ``inspect(it).deleted`` is
    true until the block ends, and the rollback of a savepoint brings it back.
    """
    if RULE in session.get_bind().off:
        return  # the unit of work deletes what it would delete without us
    for state in list(session.identity_map._modified):
        if state.key is not None and MARKED in state.manager.info and state.mapper._is_orphan(state):
            if _keep_links(session, state):
                condemn(session, state.obj())
    dying = [state for state in session.identity_map._modified if _is_newly_marked(state)]
    if not dying:
        return

    def leave(session: Any, context: object) -> None:
        # a flush that has failed leaves them expired
        gone = [state for state in dying if not state.modified and state.session is session and _is_marked(state)]
        session._remove_newly_deleted(gone)

    event.listen(session, "after_flush_postexec", leave, once=True)


def _is_newly_marked(state: InstanceState[Any]) -> bool:
    marked: MarkedClass | None = state.manager.info.get(MARKED)
    return marked is not None and marked.mark in state.committed_state and _is_marked(state)


def _is_marked(state: InstanceState[Any]) -> bool:
    marked: MarkedClass = state.manager.info[MARKED]
    instance = state.obj()
    return instance is not None and marked.mark in state.dict and marked.is_marked(instance)


def _keep_links(session: Any, state: InstanceState[Any]) -> bool:
    """Let an orphan belong to those from whom it was taken, so that its row is updated and refers to theirs still.

    Returns False if nobody knows them: the unit of work deletes the row, which a block's compiler turns into a mark.
    """
    kept = False
    for mapper in state.mapper.iterate_to_root():
        for key, cls in mapper._delete_orphans:
            if manager_of_class(cls).has_parent(state, key, optimistic=True):
                continue
            parent = _former_parent(session, state, key, cls)
            if parent is None:
                return False
            manager_of_class(cls)[key].impl.sethasparent(state, parent, True)
            relation = parent.mapper.get_property(key)
            for back in relation._reverse_property:
                if not back.uselist and back.key in state.committed_state:
                    set_committed_value(state.obj(), back.key, parent.obj())
            kept = True
    return kept


def _former_parent(session: Any, state: InstanceState[Any], key: str, cls: type) -> InstanceState[Any] | None:
    child = state.obj()
    for parent in session.identity_map._modified:
        instance = parent.obj()
        if isinstance(instance, cls) and key in parent.committed_state:
            if any(each is child for each in get_history(instance, key, PASSIVE_NO_INITIALIZE).deleted):
                return instance_state(instance)
    return None
