"""A template: a schema on a product, built once, of which databases are made."""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import threading
import weakref
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy.engine import URL, Connection

from dbkit.backends.provisioning import Original, Site, Store, TemplateGone
from dbkit.testing.provision.clone import Clone
from dbkit.testing.provision.ground import Ground, ground_of
from dbkit.testing.provision.line import Line
from dbkit.testing.provision.schema import Schema
from dbkit.testing.servers.folders import project_folder
from dbkit.testing.servers.server import Server

#: How many templates of a project and a product are kept; when one is built, the oldest go.
KEPT = 8


def template(where: str | URL | Server, schema: Schema, *, project: str | None = None) -> Template:
    """Return the template of a schema on a product; the same one for the same question in one process.

    Nothing is built before the first database is asked for.

    :param where: ``"sqlite"`` for files, ``"sqlite://"`` for databases in memory; ``"postgresql"``, ``"mysql"`` or
        ``"mariadb"`` for the server that the run shares; a server; or the URL of an existing server, with the rights
        to create databases.
    :param project: whose template it is: each project has a number of templates kept. None is the project to which the
        working folder belongs.
    :raises BackendNotAvailable: there is no such server; to skip the test then, ask
        :func:`dbkit.testing.servers.require_or_skip` first.
    :raises UsageError: there is no such kind, or its backend makes no test databases.

    .. versionadded:: 0.1
    """
    owner = str(project_folder(Path.cwd().resolve())) if project is None else project
    return _template(os.getpid(), owner, ground_of(where), schema)


class Template:
    """A schema on a product or server; see :func:`template`. It may be used by many threads.

    :ivar kind: ``"sqlite"``, ``"postgresql"`` or ``"mysql"``.

    .. versionadded:: 0.1
    """

    def __init__(self, ground: Ground, schema: Schema, project: str) -> None:
        self.ground = ground
        self.schema = schema
        self.kind = ground.backend.name
        self._prefix = f"dbkit_tpl_{hashlib.sha256(os.fsencode(project)).hexdigest()[:8]}_"
        self._line = Line(ground, ground.url)
        self._lock = threading.Lock()
        self._is_ready = False
        self._worker: Clone | None = None
        self._worker_lock = threading.Lock()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _renew(itself()))

    def __repr__(self) -> str:
        return f"<Template {self.kind} {self.fingerprint}>"

    def renew(self) -> None:
        """Start afresh in a forked child: the databases are the parent's, and so may be who holds a lock."""
        self._lock, self._worker_lock = threading.Lock(), threading.Lock()
        self._line = Line(self.ground, self.ground.url)
        self._worker = None
        for name in ("_site", "_store"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What changes when the schema, its rows or the product's version change."""
        dialect = self.ground.url.get_dialect()()
        edition = self.ground.provisioning.edition(self._site)
        text = f"{self.kind} {edition} {self.schema.fingerprint(dialect)}"
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @functools.cached_property
    def _site(self) -> Site:
        return self.ground.site(self._connected)

    def _connected(self, url: URL) -> AbstractContextManager[Connection]:
        return self._line.taken() if url == self._line.url else self.ground.connected(url)

    @functools.cached_property
    def _store(self) -> Store:
        return self.ground.provisioning.store(self._site, self.key)

    @property
    def key(self) -> str:
        """The name under which the template is kept: of a database, or of a file in the cache."""
        return self._prefix + self.fingerprint

    def ensure(self, *, again: bool = False) -> None:
        """Build the template, unless it is there: whoever comes first builds it, and all others wait.

        :param again: look, even if it was seen before.
        :raises Exception: whatever building the schema or writing its rows raised; then there is no template, and the
            next one who asks tries again.
        """
        with self._lock:
            if (self._is_ready and not again) or self._store.is_ready():
                self._is_ready = True
                return
            with self._store.locked():
                if not self._store.is_ready():
                    self._store.build(self._fill)
                    self.ground.provisioning.prune(self._site, self._prefix, KEPT)
            self._is_ready = True

    def forget_all(self) -> None:
        """Drop all templates of the project on this product, those of other schemas and of other processes too."""
        with self._lock:
            self._is_ready = False
            self.ground.provisioning.prune(self._site, self._prefix, 0)

    def _fill(self, url: URL) -> None:
        with self.ground.session_connected(url) as connection:
            self.schema.fill(connection)

    def clone(self) -> Clone:
        """Return a new database, as the template is."""
        name = self.ground.provisioning.name_of(self._site, f"{os.getpid()}_{secrets.token_hex(5)}")
        return Clone(self, self._site, name)

    def worker_database(self) -> Clone:
        """Return the one database of this process, made at the first call, for all tests that follow each other."""
        with self._worker_lock:
            if self._worker is None:
                self._worker = self.clone()
            return self._worker

    def copy_to(self, name: str) -> Original:
        """Make a database of this name; for :class:`.Clone`, which is what to ask for."""
        self.ensure()
        try:
            return self._store.clone(name)
        except TemplateGone:  # since it was last seen
            self.ensure(again=True)
            return self._store.clone(name)


def _renew(found: Template | None) -> None:
    if found is not None:
        found.renew()


@functools.cache
def _template(process: int, project: str, ground: Ground, schema: Schema) -> Template:
    return Template(ground, schema, project)
