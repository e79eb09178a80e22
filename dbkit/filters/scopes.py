"""Rules of one's own, and those that compare with a value of the moment, such as the tenant of a request."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table

from dbkit.exceptions import FilterError
from dbkit.filters.classes import each_mapper, put
from dbkit.filters.marks import Rule
from dbkit.filters.moments import Moment
from dbkit.filters.tenants import NOT_SHARED, Tenant


def rule(name: str, target: Any, criterion: Callable[[FromClause], ColumnElement[bool]]) -> Rule:
    """Let the rows of a table be seen only if they meet a condition.

    :param name: by which it is switched off.
    :param target: a ``Table``, a mapped class, or a mixin: the tables of all classes that have it, later ones too.
    :param criterion: is given the table or an alias of it, and returns the condition: ``lambda t: t.c.state != "x"``.
    :raises FilterError: the rule cannot be put there.

    .. versionadded:: 0.1
    """
    found = Rule(name, criterion)
    put(found, target)
    return found


def scoped(
    name: str,
    target: Any,
    column: str,
    value: ContextVar[Any] | Callable[[], Any] | None = None,
    *,
    context_attribute: str | None = None,
    many: bool = False,
    shared: Any = NOT_SHARED,
) -> Rule:
    """Let only those rows be seen that belong to the tenant on whose behalf the code runs, and fill the column in.

    No row can be stored for another tenant, nor moved to one, by the ORM or by a statement.

    :param name: by which it is switched off, and :func:`scope` sets the value.
    :param target: a ``Table``, a mapped class or a mixin.
    :param column: the name of the column that holds the tenant.
    :param value: where the tenant is read at each statement: a ``ContextVar`` or a function; None reads :func:`scope`.
    :param context_attribute: the attribute of a block's context object in which the tenant lies, ``"project_id"`` for
        most services of OpenStack; :func:`scope` inside the block is stronger.
    :param many: the value is a collection, and rows of all of them are seen.
    :param shared: what stands in the column of rows that everybody sees; it may be None, for NULL.
    :raises FilterError: the rule cannot be put there.

    .. versionadded:: 0.1
    """
    if value is not None and context_attribute is not None:
        raise FilterError(
            f"the rule {name!r} is to read its value in two places: from value= and from the attribute "
            f"{context_attribute!r} of the context object; give one of them"
        )
    found = Tenant(name, column, Moment(name, value, context_attribute), many, shared)
    if isinstance(target, Table):
        found.fill_in(target)
    else:
        each_mapper(target, found.watch)
    return rule(name, target, found.criterion)
