"""What a function is made of, as text: as long as that stays the same, so does what the function does."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def text_of(function: Callable[..., Any]) -> str:
    """Return the source of a function and of all that it uses from its own package, at any depth.

    That is: the functions and classes of the package that its names lead to, its defaults, what it closes over, and
    the plain values that it reads from its module. What it reads from files, and what other distributions do, is not
    seen.
    """
    return "\n".join(_Reading(function).parts())


class _Reading:
    def __init__(self, start: Any) -> None:
        self._start = start
        self._package = _package_of(start)
        self._seen: dict[int, Any] = {}  # holds on to what it has seen, so that no number is used twice

    def parts(self) -> Iterator[str]:
        yield from self._of(self._start)

    def _of(self, found: Any) -> Iterator[str]:
        if id(found) in self._seen and not isinstance(found, _PLAIN):
            return
        self._seen[id(found)] = found
        if isinstance(found, functools.partial):
            for part in (found.func, *found.args, *found.keywords.items()):
                yield from self._of(part)
        elif isinstance(found, types.MethodType):
            yield from self._of(found.__func__)
        elif isinstance(found, types.FunctionType):
            yield from self._of_function(inspect.unwrap(found))
        elif isinstance(found, type):
            if _package_of(found) == self._package:
                yield _source_of(found)
        elif isinstance(found, _PLAIN):
            yield repr(found)
        elif isinstance(found, (list, tuple)):
            for part in found:
                yield from self._of(part)
        elif isinstance(found, (set, frozenset)):
            yield from sorted("\n".join(_Reading(part).parts()) for part in found)
        elif isinstance(found, Mapping):
            for pair in found.items():
                yield from self._of(pair)
        elif callable(found) and _package_of(type(found)) == self._package:
            yield _source_of(type(found))

    def _of_function(self, function: Any) -> Iterator[str]:
        if not isinstance(function, types.FunctionType) or _package_of(function) != self._package:
            return
        yield _source_of(function)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()):
            yield from self._of(default)
        for cell in function.__closure__ or ():
            try:
                yield from self._of(cell.cell_contents)
            except ValueError:  # it is bound later
                continue
        for name in sorted(set(_names(function.__code__))):
            if name in function.__globals__:
                yield name
                yield from self._of(function.__globals__[name])


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _package_of(found: Any) -> str:
    return str(getattr(found, "__module__", None) or type(found).__module__).partition(".")[0]


def _source_of(found: Any) -> str:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):  # typed into an interpreter
        code = getattr(found, "__code__", None)
        return f"{found.__qualname__} {_code_text(code)}" if code is not None else str(found.__qualname__)


def _code_text(code: types.CodeType) -> str:
    constants = [_code_text(each) if isinstance(each, types.CodeType) else _plain(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _plain(constant: object) -> str:
    # The order of a set changes from process to process.
    return repr(sorted(constant, key=repr)) if isinstance(constant, frozenset) else repr(constant)
