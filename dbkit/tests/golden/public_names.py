"""All names that users may rely on; ``python -m dbkit.tests.golden.public_names`` writes the file."""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

GOLDEN = Path(__file__).with_name("public_names.txt")

# The front doors: for users, for authors of backends, for authors of tests.
MODULES = (
    "dbkit",
    "dbkit.enginefacade",
    "dbkit.exceptions",
    "dbkit.filters",
    "dbkit.models",
    "dbkit.outbox",
    "dbkit.queries",
    "dbkit.retry",
    "dbkit.schema",
    "dbkit.spec",
    "dbkit.tokens",
    "dbkit.backends.base",
    "dbkit.backends.rules",
    "dbkit.backends.provisioning",
    "dbkit.testing.assertions",
    "dbkit.testing.faults",
    "dbkit.testing.fixtures",
    "dbkit.testing.histories",
    "dbkit.testing.isolation",
    "dbkit.testing.provision",
    "dbkit.testing.servers",
    "dbkit.testing.suite",
)

_PLAIN = (bool, int, float, str, type(None))


def render() -> str:
    """Return the list of all public names."""
    lines = ["# All public names. Regenerate with: python -m dbkit.tests.golden.public_names"]
    for name in MODULES:
        module = importlib.import_module(name)
        lines += ["", f"[{name}]", *_module(module)]
    return "\n".join(lines) + "\n"


def _module(module: ModuleType) -> Iterator[str]:
    for name in sorted(_names(module)):
        yield from _entry(name, getattr(module, name))


def _names(module: ModuleType) -> list[str]:
    """Return what a module offers: its ``__all__``, or what it defines under a public name."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    return [name for name in own if not name.startswith("_")]


def _entry(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        if value.__name__ == name:
            yield f"class {name}({bases})" if bases else f"class {name}"
            yield from (f"    {line}" for line in _members(value))
        else:
            yield f"{name} is {value.__name__}"
    elif inspect.isfunction(value):
        yield f"{name}{_parameters(value)}"
    else:
        yield f"{name}: {type(value).__name__}"
        if type(value).__module__.startswith("dbkit."):
            yield from (f"    {line}" for line in _members(type(value)))


def _members(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in cls)
    if issubclass(cls, BaseException):
        yield ", ".join(
            f"{name} {_plain(getattr(cls, name))}" for name in ("transient", "outcome") if hasattr(cls, name)
        )
    if "__init__" in vars(cls) and not getattr(cls, "_is_protocol", False):
        yield f"__init__{_parameters(vars(cls)['__init__'], bound=True)}"
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is cls or (base.__module__.startswith("dbkit") and base not in _public_classes()):
            found |= vars(base)  # what a public base has stands there
    for name in sorted(found):
        if not name.startswith("_") or name == "__call__":
            yield from _member(name, found[name])


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, classmethod | staticmethod):
        bound = isinstance(value, classmethod)
        yield f"{type(value).__name__} {name}{_parameters(value.__func__, bound=bound)}"
    elif inspect.isfunction(value):
        word = "async " if inspect.iscoroutinefunction(value) else ""
        yield f"{word}{name}{_parameters(value, bound=True)}"
    elif isinstance(value, property) or inspect.isdatadescriptor(value):
        yield name


def _parameters(function: Any, *, bound: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=parameter.empty, default=_default(parameter.default))
        for parameter in list(signature.parameters.values())[1 if bound else 0 :]
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Something:
    """Stands for a default that is no plain value."""

    def __repr__(self) -> str:
        return "..."


def _default(value: Any) -> Any:
    return value if value is inspect.Parameter.empty or isinstance(value, _PLAIN) else _Something()


@cache
def _public_classes() -> frozenset[type]:
    modules = map(importlib.import_module, MODULES)
    values = (getattr(module, name) for module in modules for name in _names(module))
    return frozenset(value for value in values if inspect.isclass(value))


def main() -> None:
    """Write the list."""
    GOLDEN.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
