"""Rows that belong to a tenant, a project or the like, and are seen by it alone."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from dbkit.filters.scopes import scoped
from dbkit.filters.tenants import NOT_SHARED
from dbkit.models.columns import mixed_in

_ORDER = 800


def scope_mixin(
    name: str,
    column: str | None = None,
    *,
    type_: Any = None,
    value: ContextVar[Any] | Callable[[], Any] | None = None,
    context_attribute: str | None = None,
    many: bool = False,
    shared: Any = NOT_SHARED,
) -> type:
    """Return a mixin whose classes have a column for the tenant and a rule that lets each see its own rows only.

    On whose behalf code runs says ``with dbkit.filters.scope(name=...)``, or ``value``. For a table without a class
    there is :func:`dbkit.filters.scoped`.

    :param name: of the rule, by which it is switched off.
    :param column: the name of the column: ``name_id`` if it is not given.
    :param type_: its type: a text of 64 characters if it is not given.
    :param value: where the tenant is read at each statement; None reads ``scope``.
    :param context_attribute: the attribute of a block's context object in which the tenant lies.
    :param many: the value is a collection, and rows of all of them are seen.
    :param shared: what stands in the column of rows that everybody sees; None for NULL.

    .. versionadded:: 0.1
    """
    named = column or f"{name}_id"
    kind = sa.String(64) if type_ is None else type_

    def make(cls: Any) -> Mapped[Any]:
        return mapped_column(named, kind, nullable=shared is None, index=True, sort_order=_ORDER)

    mixin = type(f"{name.title()}Mixin", (), {named: mixed_in(make), "__module__": __name__})
    scoped(name, mixin, named, value, context_attribute=context_attribute, many=many, shared=shared)
    return mixin


class ProjectMixin(scope_mixin("project")):  # type: ignore[misc]
    """``project_id``, and the rule ``project``: inside ``filters.scope(project=...)`` only its rows are there.

    .. versionadded:: 0.1
    """
