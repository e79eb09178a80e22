"""oslo.db's dispatchers: functions that are chosen by the database to which their first argument leads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from dbkit.exceptions import UsageError
from dbkit.schema.dialects import Pair, pair, pair_of, precedence


class DialectFunctionDispatcher(ABC):
    """A function that calls others, which are entered for dialects and drivers.

    .. versionadded:: 0.1
    """

    _last: Any = None

    @classmethod
    def dispatch_for_dialect(cls, expr: str, multiple: bool = False) -> Callable[[Any], Any]:
        """Make a function a dispatcher, itself entered for ``expr``, such as ``mysql+pymysql``, ``*+psycopg`` or ``*``.

        :param multiple: call all functions that fit, the most specific first; they return nothing. Otherwise the most
            specific alone is called, and its value returned.
        :raises ValueError: ``expr`` is no such expression.
        """
        kind = DialectMultiFunctionDispatcher if multiple else DialectSingleFunctionDispatcher
        return kind().dispatch_for(expr)

    def dispatch_for(self, expr: str) -> Callable[[Any], DialectFunctionDispatcher]:
        """Enter a function for another dialect; decorators of this kind may stand on each other.

        :raises ValueError: ``expr`` is no such expression.
        :raises TypeError: there is one already, and only one may be.
        """
        where = pair(expr)

        def decorate(fn: Any) -> DialectFunctionDispatcher:
            self._last = fn = self._last if fn is self else fn
            self._enter(where, expr, fn)
            return self

        return decorate

    def dispatch_on_drivername(self, drivername: str) -> Callable[..., Any]:
        """Return what calls the function for a dialect by its name, whatever the first argument is.

        :raises ValueError: it is no such name.
        """
        dialect, driver = pair(drivername)
        return lambda *args, **kwargs: self._call((dialect, driver), args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function for the database of the first argument: a URL, an engine, a connection, a session.

        :raises ValueError: there is none, or the argument leads to no database.
        """
        try:
            found = pair_of(args[0] if args else next(iter(kwargs.values()), None))
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self._call(found, args, kwargs)

    @abstractmethod
    def _enter(self, where: Pair, expr: str, fn: Callable[..., Any]) -> None: ...

    @abstractmethod
    def _call(self, found: Pair, args: Any, kwargs: Any) -> Any: ...


class DialectSingleFunctionDispatcher(DialectFunctionDispatcher):
    """Calls the most specific function and returns its value.

    .. versionadded:: 0.1
    """

    def __init__(self) -> None:
        self._functions: dict[Pair, Callable[..., Any]] = {}

    def _enter(self, where: Pair, expr: str, fn: Callable[..., Any]) -> None:
        if where in self._functions:
            raise TypeError(f"there is a function for {expr!r} already")
        self._functions[where] = fn

    def _call(self, found: Pair, args: Any, kwargs: Any) -> Any:
        for each in precedence(*found):
            if each in self._functions:
                return self._functions[each](*args, **kwargs)
        raise ValueError(f"no function is entered for {'+'.join(found)!r}, nor for '*'")


class DialectMultiFunctionDispatcher(DialectFunctionDispatcher):
    """Calls all functions that fit, the most specific first.

    .. versionadded:: 0.1
    """

    def __init__(self) -> None:
        self._functions: dict[Pair, list[Callable[..., Any]]] = {}

    def _enter(self, where: Pair, expr: str, fn: Callable[..., Any]) -> None:
        self._functions.setdefault(where, []).append(fn)

    def _call(self, found: Pair, args: Any, kwargs: Any) -> None:
        for function in self._fitting(found):
            if function(*args, **kwargs) is not None:
                raise TypeError(
                    f"{getattr(function, '__name__', 'a function')}() returned a value, and of several functions none "
                    "may; let it return None"
                )

    def _fitting(self, found: Pair) -> Iterator[Callable[..., Any]]:
        for each in precedence(*found):
            yield from self._functions.get(each, ())


dispatch_for_dialect = DialectFunctionDispatcher.dispatch_for_dialect
