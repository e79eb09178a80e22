"""What a backend knows of test databases: how a template is built, copied, emptied and dropped on its product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from sqlalchemy.engine import URL, Connection

from dbkit.backends.base import Backend
from dbkit.exceptions import UsageError


@dataclass(frozen=True, slots=True)
class Site:
    """Where test databases are made, and how they are reached.

    :param url: of a database that exists, with an administrator's rights; for products without a server, one that
        says which sort of database is wanted. It names a blocking driver.
    :param cache: a folder of this user for files that are worth keeping between runs.
    :param folder: a folder of this process for the files of its databases.
    :param connect: opens a connection of its own to a database, in autocommit, and closes it.
    :param adopt: has a database dropped when this process ends, in whatever way; called before it is created.
    :param forget: takes :attr:`adopt` back, after the drop.
    """

    url: URL
    cache: Path
    folder: Path
    connect: Callable[[URL], AbstractContextManager[Connection]]
    adopt: Callable[[str], None]
    forget: Callable[[str], None]


class TemplateGone(Exception):
    """The template is not there any more: it has to be built again. It never reaches a user."""


class Original(Protocol):
    """What a clone was when it was made."""

    def restore(self, connection: Connection, *, restart_sequences: bool) -> None:
        """Give the tables of the clone the rows that it was made with, and no others; its schema is as it was made.

        :param connection: to the clone, in autocommit.
        :raises TemplateGone: the rows are not to be had.
        """

    def is_as_built(self, connection: Connection) -> bool:
        """Return whether the schema of the clone is what it was.

        :raises TemplateGone: what it was is not known any more.
        """

    def let_go(self) -> None:
        """Release what keeps the clone in being; it is dropped after that."""


class Store(Protocol):
    """One template: a schema with its rows, kept under a key, of which databases are made."""

    def locked(self) -> AbstractContextManager[None]:
        """Wait until no other thread, process or machine that uses the same template holds this, and hold it."""

    def is_ready(self) -> bool:
        """Return whether the template is there and whole."""

    def build(self, fill: Callable[[URL], None]) -> None:
        """Create an empty database, have it filled, and make the template of it; called while :meth:`locked`.

        What an earlier builder left unfinished goes first. If ``fill`` fails, nothing is left that looks ready.
        """

    def clone(self, name: str) -> Original:
        """Create a database of this name, which nobody uses, as the template is.

        :raises TemplateGone: the template is not there.
        """


class Provisioning(Protocol):
    """How a product provides test databases; a backend returns it from a method ``provisioning()``.

    All of it is blocking, and may be used by many threads.
    """

    def connect_arguments(self, driver: str) -> Mapping[str, Any]:
        """Return arguments of the driver's ``connect`` for the connections that this work is done on."""

    def edition(self, site: Site) -> str:
        """Return what sets templates of one schema apart, such as the version of the library that wrote the file."""

    def store(self, site: Site, key: str) -> Store:
        """Return the template of this key, whether it is there or not; the key is fit for names of databases and files.

        Keys of one project begin alike, up to their last underscore.
        """

    def prune(self, site: Site, prefix: str, keep: int) -> None:
        """Drop all templates whose keys begin so, but the newest ones, and what is left of builders that died."""

    def name_of(self, site: Site, token: str) -> str:
        """Return the name of a new database that a token, fit for names of databases and files, sets apart."""

    def url_of(self, site: Site, name: str) -> URL:
        """Return the URL of a database."""

    def drop(self, site: Site, name: str) -> None:
        """Drop a database with the sessions that use it. None such is no error."""

    def drop_all_objects(self, connection: Connection) -> None:
        """Drop all that the database holds: tables, views, sequences, types, routines, triggers, events, schemas.

        :param connection: in autocommit; no other session may be inside a transaction that used the objects.
        """


def provisioning_of(backend: Backend) -> Provisioning:
    """Return how a backend provides test databases.

    :raises UsageError: it does not.
    """
    provisioning = getattr(backend, "provisioning", None)
    if provisioning is None:
        raise UsageError(
            f"the backend {backend.name!r} makes no test databases: it has no method provisioning(), which returns "
            f"what dbkit.backends.provisioning.Provisioning describes; give its tests a database by a URL"
        )
    return cast(Provisioning, provisioning())
