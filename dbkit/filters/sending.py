"""Statements on their way to the database: whose the rows are that they write is looked at before they are sent."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy.engine.default import DefaultExecutionContext

from dbkit.filters.owning import OWNED


class Checking(DefaultExecutionContext):
    """What is added to the execution context of a dialect that does nothing of its own before it sends."""

    def pre_exec(self) -> None:
        """Refuse rows of other tenants."""
        compiled: Any = self.compiled
        if compiled is not None and OWNED in compiled.__dict__:
            check(self, compiled)


class CheckingToo(Checking):
    """The same for a dialect that has something to do there."""

    def pre_exec(self) -> None:
        """Refuse rows of other tenants, and do what the dialect does."""
        compiled: Any = self.compiled
        if compiled is not None and OWNED in compiled.__dict__:
            check(self, compiled)
        super(Checking, self).pre_exec()  # type: ignore[no-untyped-call]


def check(context: Any, compiled: Any) -> None:
    """Refuse rows of other tenants.

    :raises ForeignScope: there is one among them.
    """
    try:
        for each in compiled.__dict__[OWNED]:
            each.check(compiled, context.compiled_parameters)
    except BaseException:
        context.cursor.close()  # nobody else knows of it yet
        raise


@cache
def checking(cls: Any) -> Any:
    """Return a dialect's execution context with the look added; one class for each."""
    if issubclass(cls, Checking):
        return cls
    added = Checking if cls.pre_exec is DefaultExecutionContext.pre_exec else CheckingToo
    return type(f"Checking{cls.__name__}", (added, cls), {})
