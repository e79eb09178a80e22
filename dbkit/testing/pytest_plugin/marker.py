"""The marker ``dbkit``: what one test wants otherwise than the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dbkit.testing.pytest_plugin.choices import isolation_named, kind_named, unknown

MARKER = "dbkit"

DESCRIPTION = (
    "dbkit(isolation=None, backends=None): isolate the test's use of the application's databases, in a way "
    "('rollback', 'clone', 'truncate', 'none') and on the kinds of databases ('sqlite', 'postgresql', 'mysql') that "
    "it needs"
)


@dataclass(frozen=True)
class Wish:
    """What the markers of a test say. None stands for what the run says."""

    isolation: str | None = None
    backends: tuple[str, ...] | None = None


def wish_of(node: pytest.Item) -> Wish:
    """Return what the markers of a test say: for each word, the nearest marker that has it.

    :raises pytest.UsageError: a word or a name is wrong; the text offers the nearest.
    """
    isolation: str | None = None
    backends: tuple[str, ...] | None = None
    for mark in node.iter_markers(MARKER):
        _check_words(mark)
        if isolation is None and (word := mark.kwargs.get("isolation")) is not None:
            isolation = _read(isolation_named, word)
        if backends is None and (names := mark.kwargs.get("backends")) is not None:
            each = (names,) if isinstance(names, str) else names
            backends = tuple(dict.fromkeys(_read(kind_named, name) for name in each))
    return Wish(isolation, backends)


def is_marked(collector: pytest.Collector, function: object) -> bool:
    """Whether a function that is being collected has the marker, by itself or from its class or module."""
    own = getattr(function, "pytestmark", ())
    return collector.get_closest_marker(MARKER) is not None or any(mark.name == MARKER for mark in own)


def _read(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except pytest.UsageError as error:
        raise pytest.UsageError(f"the marker {MARKER}: {error}") from None


_WORDS = ("isolation", "backends")


def _check_words(mark: pytest.Mark) -> None:
    if mark.args:
        raise pytest.UsageError(
            f"the marker dbkit takes words with names, such as dbkit(isolation='clone'), not {mark.args[0]!r} alone"
        )
    for word in mark.kwargs:
        if word not in _WORDS:
            raise pytest.UsageError(unknown(f"word {word!r} of the marker dbkit", word, _WORDS))
