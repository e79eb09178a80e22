"""What every subject offers: the operations of the scenarios on one database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.places import Backend, Place

#: One operation; the number is another one at each call. In asyncio it is a coroutine function.
Operation = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """A subject on a database.

    :param operations: by the names of the scenarios; a scenario may be missing.
    :param close: gives back what was opened; in asyncio a coroutine function.
    """

    operations: Mapping[str, Operation]
    close: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """A library, used in one of its ways.

    :param open: opens it on a database; in asyncio a coroutine function.
    :param modules: what must be installed beside the backend's driver.
    :param measures: whether it can be used with a backend.
    """

    name: str
    open: Callable[[Place], Any]
    measures: Callable[[Backend], bool]
    modules: tuple[str, ...] = ()


def blocking(backend: Backend) -> bool:
    """Say yes to the blocking backends."""
    return not backend.is_asyncio


def in_asyncio(backend: Backend) -> bool:
    """Say yes to the asyncio backends."""
    return backend.is_asyncio
