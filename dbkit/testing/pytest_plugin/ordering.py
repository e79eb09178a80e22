"""The order of tests: those together that use the same database in the same way."""

from __future__ import annotations

import pytest

from dbkit.testing.pytest_plugin.choices import Choices, isolation_named
from dbkit.testing.pytest_plugin.marker import wish_of

BACKEND = "dbkit_backend"


def group(items: list[pytest.Item], choices: Choices) -> None:
    """Put the tests in order, in place: without a database, then by backend, then by isolation; else as they were.

    Tests that leave their rows, those of isolation ``none``, are the last on their backend.
    """
    places = {id(item): _place(item, choices) for item in items}
    if len({place for place in places.values() if place}) > 1:
        items.sort(key=lambda item: places[id(item)])


def _place(item: pytest.Item, choices: Choices) -> tuple[int, ...]:
    backend = backend_of(item)
    if backend is None:
        return ()
    number = choices.backends.index(backend) if backend in choices.backends else len(choices.backends)
    return number, _ways().index(isolation_named(wish_of(item).isolation or choices.isolation))


def _ways() -> list[str]:
    from dbkit.testing.isolation.strategies import STRATEGIES

    return list(STRATEGIES)


def backend_of(item: pytest.Item) -> str | None:
    """Return the backend for which this item was made, or None if it uses no database that the collection can see."""
    called = getattr(item, "callspec", None)
    return None if called is None else called.params.get(BACKEND)
