"""Values of the moment: on whose behalf the running code works, as a rule's parameter reads it at each statement.

They are set by a ``with`` statement, or lie in an attribute of the context object of a block. What was set last counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

from dbkit.exceptions import RuleValueMissing

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_VALUES: ContextVar[Mapping[str, Any]] = ContextVar("dbkit_scope", default=_NOTHING)
_CONTEXT: ContextVar[Any] = ContextVar("dbkit_context", default=None)


class ContextRules:
    """Which rules read their value from the context object of a block.

    :ivar attributes: of the context object, by the names of those rules; while there are none, no block takes note of
        its context object.
    """

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: Mapping[str, str] = {}


CONTEXT_RULES = ContextRules()
"""Those of this process."""


@contextmanager
def scope(**values: Any) -> Iterator[None]:
    """Say on whose behalf the code inside works: ``with filters.scope(project="p1"):``, in asyncio too.

    :param values: by the names of rules made with :func:`scoped`.

    .. versionadded:: 0.1
    """
    token = _VALUES.set({**_VALUES.get(), **values})
    try:
        yield
    finally:
        _VALUES.reset(token)


def is_another_tenant(context: Any) -> bool:
    """Return whether code inside a block with this context object works on behalf of somebody else than around it."""
    around, values = _CONTEXT.get(), _VALUES.get()
    return any(
        getattr(context, attribute, None) != (values[name] if name in values else getattr(around, attribute, None))
        for name, attribute in CONTEXT_RULES.attributes.items()
    )


def enter_context(context: Any) -> Callable[[], None]:
    """Let rules read from this context object until the returned function is called.

    What :func:`scope` has said around the block of those rules does not count in it.
    """
    tokens: list[tuple[ContextVar[Any], Token[Any]]] = [(_CONTEXT, _CONTEXT.set(context))]
    values, names = _VALUES.get(), CONTEXT_RULES.attributes.keys()
    if not names.isdisjoint(values):
        kept = {name: value for name, value in values.items() if name not in names}
        tokens.append((_VALUES, _VALUES.set(kept)))

    def leave() -> None:
        for variable, token in tokens:
            # entered in another context, see dbkit.ambient.leave; or left before
            with suppress(ValueError, RuntimeError):
                variable.reset(token)

    return leave


class Moment:
    """Where a rule finds its value.

    :param name: of the rule.
    :param source: a ``ContextVar`` or a function; None reads :func:`scope`.
    :param attribute: of the context object of a block, which is read if :func:`scope` says nothing.
    """

    def __init__(self, name: str, source: ContextVar[Any] | Callable[[], Any] | None, attribute: str | None) -> None:
        self._name = name
        self._source = source
        self._attribute = attribute
        if attribute is not None:
            CONTEXT_RULES.attributes = {**CONTEXT_RULES.attributes, name: attribute}

    @property
    def place(self) -> tuple[Any, ...]:
        """What two rules have in common that find the same value."""
        return self._source, self._attribute

    def read(self) -> Any:
        """Return the value; None if nobody has set it."""
        source = self._source
        if source is None:
            found = _VALUES.get().get(self._name)
            if found is None and self._attribute is not None:
                found = getattr(_CONTEXT.get(), self._attribute, None)
            return found
        return source.get(None) if isinstance(source, ContextVar) else source()

    def missing(self, table: str) -> RuleValueMissing:
        """Return the error for a statement over a table that needs the value when there is none."""
        return RuleValueMissing(
            f"the rule {self._name!r} of the table {table!r} compares with a value that nobody has set; "
            f"{self._advice()} before the statement is sent, or open the block with .without({self._name!r})"
        )

    def _advice(self) -> str:
        enter = f"enter `with dbkit.filters.scope({self._name}=...)`"
        if self._attribute is not None:
            context = _CONTEXT.get()
            if context is None:
                return f"give the block a context object that has {self._attribute!r}, or {enter}"
            return (
                f"set {self._attribute!r} of the {type(context).__name__} object that the block was given, or {enter}"
            )
        if self._source is None:
            return enter
        if isinstance(self._source, ContextVar):
            return f"set the ContextVar {self._source.name!r}"
        return f"let {getattr(self._source, '__qualname__', self._source)}() return it"
