"""What the application's managers do while no test's sandbox is open: they refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from sqlalchemy.engine import URL

from dbkit.backends.base import Backend
from dbkit.engines.create import EngineMaker, create_engines
from dbkit.engines.settings import EngineSettings
from dbkit.spec import Colour
from dbkit.testing.isolation import IsolationError
from dbkit.transaction.factory import Factory
from dbkit.transaction.manager import Databased

_TEXT = (
    "the application's database was asked for while no test's sandbox is open, which would reach its real one. A test "
    "asks for the fixture db or has the marker dbkit; rows are written in a fixture of function scope, or belong into "
    "the seed of the schema, not into a fixture of wider scope; a thread or task of an earlier test must end before "
    "that test does. dbkit_outside = allow in pytest's configuration, or --dbkit-outside allow, switches this off"
)


class RefusingFactory(Factory):
    """Configured as another factory, it gives no engines.

    :param origin: what is configured, and closed, through this one too.
    """

    def __init__(self, origin: Factory) -> None:
        super().__init__()
        self._origin = origin
        self.is_ready = True  # the settings are not needed to refuse, and may lack a URL

    def engines(self, colour: Colour) -> NoReturn:
        """Refuse.

        :raises IsolationError: always.
        """
        raise IsolationError(_TEXT)

    @property
    def is_started(self) -> bool:
        return self._origin.is_started

    @property
    def settings(self) -> EngineSettings:
        return self._origin.settings

    @property
    def backend(self) -> Backend:
        return self._origin.backend

    @property
    def configuration(self) -> tuple[object, Mapping[str, Any], Mapping[str, Any]]:
        return self._origin.configuration

    def configure(self, **overrides: Any) -> None:
        self._origin.configure(**overrides)

    def configure_defaults(self, **defaults: Any) -> None:
        self._origin.configure_defaults(**defaults)

    def elsewhere(self, url: str | URL, make_engines: EngineMaker = create_engines, **overrides: Any) -> Factory:
        return self._origin.elsewhere(url, make_engines, **overrides)

    def reload(self) -> None:
        self._origin.reload()

    def dispose(self) -> None:
        self._origin.dispose()

    def dispose_asyncio(self) -> None:
        self._origin.dispose_asyncio()


@contextlib.contextmanager
def refusing(managers: Iterable[Databased]) -> Iterator[None]:
    """Let managers refuse to reach their databases; a sandbox inside puts its own in their place."""
    with contextlib.ExitStack() as stack:
        for manager in managers:
            stack.callback(manager.patch_factory(RefusingFactory(manager.factory)))
        yield
