"""The arguments of a function that may be run again: each run gets them as the caller gave them.

What a run could change and the next one would see is copied for each run, the first included, so that the caller's own
objects stay as they are. What cannot be copied safely is refused. Everything else, such as services and context
objects, is passed as it is: it is not data, and a copy of it would be another service.
"""

from __future__ import annotations

import array
import asyncio
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import io
import pathlib
import sys
import types
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, NoReturn

from sqlalchemy import Connection, Result, Row
from sqlalchemy import inspect as inspect_mapping
from sqlalchemy.orm import Query, Session, scoped_session

from dbkit.exceptions import ArgumentNotRepeatable

_CONSTANT = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, range, slice, type, decimal.Decimal, fractions.Fraction,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, uuid.UUID,
        types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, pathlib.PurePath,
        pathlib.PosixPath, pathlib.WindowsPath, type(Ellipsis), type(NotImplemented),
    }
)  # fmt: skip

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class ArgumentCopier:
    """Knows a function's parameters; makes, for each call, what gives each run its arguments.

    :param function: whose ``self`` or ``cls`` is passed as it is.
    """

    __slots__ = ("_bound", "_name", "_names", "_rest")

    def __init__(self, function: Any) -> None:
        self._name = getattr(function, "__qualname__", type(function).__qualname__)
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # some built-in functions do not tell
            parameters = []
        self._names = [
            each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        self._rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "args")
        self._bound = self._names[0] if self._names and self._names[0] in ("self", "cls") else None

    def repeatable(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], keeps: Callable[[Any], bool] | None = None
    ) -> Callable[[], Arguments]:
        """Return what gives a run its arguments.

        :param keeps: whether an object is passed as it is, though it holds data; for context objects.
        :raises ArgumentNotRepeatable: an argument can't be given twice.
        """
        for value in args:
            if type(value) not in _CONSTANT:
                break
        else:
            for value in kwargs.values():
                if type(value) not in _CONSTANT:
                    break
            else:
                return lambda: (args, kwargs)

        def copied() -> Arguments:
            memo: dict[int, Any] = {}
            return (
                tuple(self._copied(self._name_of(number), value, memo, keeps) for number, value in enumerate(args)),
                {name: self._copied(name, value, memo, keeps) for name, value in kwargs.items()},
            )

        return copied

    def _name_of(self, number: int) -> str:
        if number < len(self._names):
            return self._names[number]
        return f"*{self._rest}[{number - len(self._names)}]"

    def _copied(self, name: str, value: Any, memo: dict[int, Any], keeps: Callable[[Any], bool] | None) -> Any:
        if type(value) in _CONSTANT:
            return value
        if name == self._bound or (keeps is not None and keeps(value)):
            problem = _problem(value)
            if problem:
                self._refuse(name, problem)
            return value
        try:
            return _copy(value, memo)
        except _NotRepeatable as found:
            self._refuse(name, found.problem)

    def _refuse(self, name: str, problem: tuple[str, str]) -> NoReturn:
        what, instead = problem
        raise ArgumentNotRepeatable(
            f"{self._name}() may be run again, and its argument {name!r} is or holds {what}; {instead}"
        )


class _NotRepeatable(Exception):
    def __init__(self, problem: tuple[str, str]) -> None:
        super().__init__(problem)
        self.problem = problem


# -- copying -----------------------------------------------------------------------------------------------------------


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _CONSTANT:
        return value
    known = memo.get(id(value))
    if known is not None:
        return known
    copier = _COPIERS.get(kind)
    if copier is not None:
        return copier(value, memo)
    problem = _problem(value)
    if problem:
        raise _NotRepeatable(problem)
    for base, of_subclass in _SUBCLASS_COPIERS:
        if isinstance(value, base):
            return of_subclass(value, memo)
    return _copy_record(value, memo) if _is_record(value) else value


def _copy_list(value: list[Any], memo: dict[int, Any]) -> list[Any]:
    made: list[Any] = []
    memo[id(value)] = made
    # most of what is inside can't change, and is not worth a call
    made.extend([each if type(each) in _CONSTANT else _copy(each, memo) for each in value])
    return made


def _copy_dict(value: dict[Any, Any], memo: dict[int, Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    memo[id(value)] = made
    for key, each in value.items():
        if type(key) not in _CONSTANT:
            key = _copy(key, memo)
        made[key] = each if type(each) in _CONSTANT else _copy(each, memo)
    return made


def _copy_set(value: set[Any], memo: dict[int, Any]) -> set[Any]:
    made = memo[id(value)] = {each if type(each) in _CONSTANT else _copy(each, memo) for each in value}
    return made


def _copy_deque(value: collections.deque[Any], memo: dict[int, Any]) -> collections.deque[Any]:
    made: collections.deque[Any] = collections.deque(maxlen=value.maxlen)
    memo[id(value)] = made
    made.extend(_copy(each, memo) for each in value)
    return made


def _copy_buffer(value: Any, memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = copy.copy(value)
    return made


def _copy_tuple(value: tuple[Any, ...], memo: dict[int, Any]) -> tuple[Any, ...]:
    items = [each if type(each) in _CONSTANT else _copy(each, memo) for each in value]
    if all(one is other for one, other in zip(items, value, strict=True)):
        return value
    if type(value) is tuple:
        return tuple(items)
    make = getattr(type(value), "_make", None)  # a named tuple's
    made: tuple[Any, ...] = make(items) if make is not None else _shallow(value)
    return made


def _copy_frozenset(value: frozenset[Any], memo: dict[int, Any]) -> frozenset[Any]:
    items = [(each, _copy(each, memo)) for each in value]
    return value if all(one is other for one, other in items) else frozenset(other for _, other in items)


def _copy_list_subclass(value: list[Any], memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = _shallow(value)
    list.__setitem__(made, slice(None), [_copy(each, memo) for each in list.__iter__(value)])
    return made


def _copy_dict_subclass(value: dict[Any, Any], memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = _shallow(value)
    for key, each in dict.items(value):
        dict.__setitem__(made, key, _copy(each, memo))
    return made


def _copy_set_subclass(value: set[Any], memo: dict[int, Any]) -> Any:
    for each in value:
        _copy(each, memo)  # only to find what must be refused: what is in a set is not meant to change
    made = memo[id(value)] = _shallow(value)
    return made


def _copy_deque_subclass(value: Any, memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = _shallow(value)
    for number, each in enumerate(value):
        collections.deque.__setitem__(made, number, _copy(each, memo))
    return made


def _copy_row(value: Any, memo: dict[int, Any]) -> Any:
    for each in value:
        _copy(each, memo)  # only to find what must be refused
    return value


def _shallow(value: Any) -> Any:
    try:
        made = copy.copy(value)
    except Exception as error:  # whatever a class of the caller's raises here, the answer is the same: no copy
        raise _NotRepeatable(_uncopied(value)) from error
    if type(made) is not type(value) or made is value:
        raise _NotRepeatable(_uncopied(value))
    return made


def _uncopied(value: Any) -> tuple[str, str]:
    return f"an object of class {type(value).__name__} that copy.copy() can't copy", "pass a plain list or dict"


def _is_record(value: Any) -> bool:
    """Return whether an object is data with named fields, and not something that does things."""
    kind = type(value)
    return (
        dataclasses.is_dataclass(kind)
        or kind is types.SimpleNamespace
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__pydantic_fields__")
        or isinstance(value, (collections.UserDict, collections.UserList))
    )


def _copy_record(value: Any, memo: dict[int, Any]) -> Any:
    parameters = getattr(type(value), "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        fields = [(name, each, _copy(each, memo)) for name, each in _fields(value)]
        if all(one is other for _, one, other in fields):
            return value
    made = memo[id(value)] = _shallow(value)
    for name, each in _fields(value):
        object.__setattr__(made, name, _copy(each, memo))
    return made


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    yield from list(getattr(value, "__dict__", {}).items())
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                if name.startswith("__") and not name.endswith("__"):
                    name = f"_{cls.__name__.lstrip('_')}{name}"
                try:
                    yield name, object.__getattribute__(value, name)
                except AttributeError:  # a slot that has no value
                    pass


_COPIERS: Mapping[type, Callable[[Any, dict[int, Any]], Any]] = {
    list: _copy_list,
    dict: _copy_dict,
    set: _copy_set,
    collections.deque: _copy_deque,
    bytearray: _copy_buffer,
    array.array: _copy_buffer,
    tuple: _copy_tuple,
    frozenset: _copy_frozenset,
}

# Rows exclude each other, but for Row, which may be a tuple: it comes first.
_SUBCLASS_COPIERS: tuple[tuple[type, Callable[[Any, dict[int, Any]], Any]], ...] = (
    (Row, _copy_row),
    (list, _copy_list_subclass),
    (dict, _copy_dict_subclass),
    (set, _copy_set_subclass),
    (collections.deque, _copy_deque_subclass),
    (tuple, _copy_tuple),
    (frozenset, _copy_frozenset),
    (bytearray, _copy_buffer),
    (array.array, _copy_buffer),
)


# -- what is refused ---------------------------------------------------------------------------------------------------

_USED_UP = "its first run would use it up: pass a list"
_BOUND = "it belongs to another transaction: use the session or connection of the function's own block"


def _problem(value: Any) -> tuple[str, str] | None:
    """Return what an object is and what to pass in its place; None for one that may be passed."""
    kind = type(value)
    if issubclass(kind, (type, enum.Enum)):
        return None
    if isinstance(value, (Session, scoped_session, Query, Connection, Result)) or _is_asyncio_handle(value):
        return f"a session, connection or result ({kind.__name__})", _BOUND
    if isinstance(value, io.IOBase) or isinstance(getattr(value, "__dict__", {}).get("file"), io.IOBase):
        return "an open file", "its first run would use it up: pass its content, or its path"
    if isinstance(value, Coroutine) and not isinstance(value, asyncio.Future):
        return "a coroutine", "its first run would use it up: pass what it returns, or the function"
    if isinstance(value, (Iterator, AsyncIterator)):
        return ("a generator" if inspect.isgenerator(value) else f"an iterator ({kind.__name__})"), _USED_UP
    if inspect_mapping(kind, raiseerr=False) is not None:
        return (
            f"a mapped object of class {kind.__name__}",
            "the session of the first run would keep it: pass its primary key and load it inside, or pass the values",
        )
    return None


def _is_asyncio_handle(value: Any) -> bool:
    faces = sys.modules.get("sqlalchemy.ext.asyncio")  # who has one has imported it; it needs greenlet
    if faces is None:
        return False
    kinds = (faces.AsyncSession, faces.async_scoped_session, faces.AsyncConnection, faces.AsyncResult)
    return isinstance(value, kinds)
