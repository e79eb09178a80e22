"""A test database: a copy of a template, emptied or made anew as often as its owner likes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from sqlalchemy.engine import URL, Connection

from dbkit.backends.provisioning import Original, Provisioning, Site, TemplateGone
from dbkit.exceptions import UsageError
from dbkit.testing.provision.ground import Ground
from dbkit.testing.provision.line import Line


class Maker(Protocol):
    """The template, as its clones need it."""

    kind: str
    ground: Ground

    def copy_to(self, name: str) -> Original:
        """Make a database of this name, which nobody uses, as the template is; the template is built if need be."""

    def ensure(self, *, again: bool = False) -> None:
        """Build the template if need be."""

    def clone(self) -> Clone:
        """Return a new database."""


class Clone:
    """A database that is a copy of a template, and belongs to whoever asked for it.

    It is dropped when the process ends, in whatever way, if it has not been before. As a context manager it is dropped
    at the end of the block.

    :ivar name: of the database; for SQLite its path, or its name in memory.
    :ivar kind: ``"sqlite"``, ``"postgresql"`` or ``"mysql"``.

    .. versionadded:: 0.1
    """

    def __init__(self, template: Maker, site: Site, name: str) -> None:
        self.template = template
        self.kind = template.kind
        self.name = name
        self._site = site
        self._provisioning: Provisioning = template.ground.provisioning
        self._line = Line(template.ground, self._provisioning.url_of(site, name))
        self._original: Original | None = None
        self._create()

    def __repr__(self) -> str:
        return f"<Clone {self.kind} {self.name}{'' if self._original else ' (dropped)'}>"

    def url(self, driver: str | None = None, scheme: str | None = None) -> URL:
        """Return the URL of the database.

        :param driver: as SQLAlchemy names it; None leaves the choice to whoever reads the URL.
        :param scheme: ``"mysql"`` or ``"mariadb"``, for that kind.
        :raises UsageError: the backend has no such scheme.
        """
        schemes = self.template.ground.backend.schemes
        own = self._line.url.get_backend_name()
        if scheme is not None and scheme not in schemes:
            raise UsageError(f"a {self.kind} database has no URL scheme {scheme!r}; use {', '.join(schemes)}")
        return self._line.url.set(drivername=f"{scheme or own}+{driver}" if driver else scheme or own)

    @contextlib.contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a blocking connection in autocommit, with whichever driver is installed, and close it at the end."""
        with self.template.ground.connected(self._line.url) as connection:
            yield connection

    def clone(self) -> Clone:
        """Return a new database, as this one was when it was made."""
        return self.template.clone()

    def empty(self, *, restart_sequences: bool = False) -> None:
        """Take away what was written since the database was made, and bring back the rows that it was made with.

        The schema must be as it was built. Nobody may have a transaction open; idle connections do not matter.

        :param restart_sequences: counters too, which may go on otherwise; SQLite's always start again.
        :raises DBError: a table stayed locked for five seconds.
        """
        self._with_line(lambda original, line: original.restore(line, restart_sequences=restart_sequences))

    def is_as_built(self) -> bool:
        """Return whether the schema is as it was built: no DDL has changed it since."""
        found: list[bool] = []
        self._with_line(lambda original, line: found.append(original.is_as_built(line)))
        return found[-1]

    def rebuild(self) -> None:
        """Drop the database and make it again under its name; what is connected to it loses its connection."""
        self._close()
        self._provisioning.drop(self._site, self.name)
        self._create()

    def reset(self) -> None:
        """Make the database as new, in the cheapest way: :meth:`empty` with its counters, or :meth:`rebuild`."""
        if self._original is not None and self.is_as_built():
            self.empty(restart_sequences=True)
        else:
            self.rebuild()

    def drop_all_objects(self) -> None:
        """Drop everything in the database: tables, views, sequences, types, routines, triggers, schemas.

        :raises DBLockTimeout: a session uses one of them, and went on doing so for some seconds; close it before.
        """
        self._with_line(lambda _original, line: self._provisioning.drop_all_objects(line))

    def drop(self) -> None:
        """Drop the database, with the sessions that use it. A second time is no error.

        :raises DBError: the server refused.
        """
        if self._close():
            self._provisioning.drop(self._site, self.name)
            self._site.forget(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()

    def _close(self) -> bool:
        """Close what we have open on the database; return whether it is there."""
        self._line.close()
        original, self._original = self._original, None
        if original is not None:
            original.let_go()
        return original is not None

    def _create(self) -> None:
        self._site.adopt(self.name)
        try:
            self._original = self.template.copy_to(self.name)
        finally:
            if self._original is None:
                self._site.forget(self.name)

    def _with_line(self, work: Callable[[Original, Connection], object]) -> None:
        if self._original is None:
            raise UsageError(f"the test database {self.name} was dropped; take another one from its template")
        with self._line.taken() as connection:
            try:
                work(self._original, connection)
            except TemplateGone:  # a cache was cleared, or a newer template took its place
                self.template.ensure(again=True)
                work(self._original, connection)
