"""How a test database is built, and a fingerprint that tells whether it would be built otherwise now."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import MetaData, create_mock_engine
from sqlalchemy.engine import URL, Connection, Dialect
from sqlalchemy.schema import CreateTable

from dbkit.exceptions import UsageError
from dbkit.testing.provision.source import text_of

if TYPE_CHECKING:
    from alembic.config import Config

# Raised when a change of dbkit builds templates otherwise.
_GENERATION = "1"


class EmptySchemaWarning(UserWarning):
    """The metadata of a :class:`Schema` creates nothing: the modules with the models were perhaps not imported.

    .. versionadded:: 0.1
    """


class Schema:
    """How a test database is built; ``Schema()`` is an empty one.

    The order is: ``build``, then the tables of ``metadata`` that are not there yet, then ``seed``. Each is given a
    SQLAlchemy ``Connection`` of its template's database and need not commit.

    :param metadata: tables to create, with what belongs to them; several are created one after the other.
    :param build: creates whatever else it likes; it takes ``version`` to say when that would be something else.
    :param version: a text, or a function that returns it. It goes into the fingerprint: say with it what dbkit cannot
        see, such as the files that ``build`` or ``seed`` read.
    :param seed: writes the rows that all tests share, once for all of them. A change of its source is noticed, and of
        the functions of the same package that it uses.
    :raises UsageError: there is a ``build`` without a ``version``.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        *,
        metadata: MetaData | Sequence[MetaData] | None = None,
        build: Callable[[Connection], object] | None = None,
        version: str | Callable[[], str] | None = None,
        seed: Callable[[Connection], object] | None = None,
    ) -> None:
        if build is not None and version is None:
            raise UsageError(
                "a schema with a build function needs a version, which says when the function would build something "
                'else: Schema(build=upgrade, version="3f2a"), or a function that returns it'
            )
        self._metadata = (metadata,) if isinstance(metadata, MetaData) else tuple(metadata or ())
        self._build = build
        self._version = version
        self._seed = seed
        self._has_warned = False

    @classmethod
    def from_alembic(cls, config: Config | str | Path, *, seed: Callable[[Connection], object] | None = None) -> Schema:
        """Return the schema that an Alembic environment builds by upgrading to its heads.

        ``env.py`` must use the connection in ``config.attributes["connection"]``, or the URL in ``sqlalchemy.url``:
        both lead to the test database. The fingerprint changes with the heads and with any file of the environment.

        :param config: or the path of ``alembic.ini``.
        """
        from dbkit.testing.provision.alembic_source import Revisions

        revisions = Revisions(config)
        return cls(build=revisions.upgrade, version=revisions.version, seed=seed)

    def fill(self, connection: Connection) -> None:
        """Build the schema in an empty database, and write the shared rows."""
        if self._build is not None:
            self._build(connection)
            _commit(connection)
        for metadata in self._metadata:
            metadata.create_all(connection)
            _commit(connection)
        if self._seed is not None:
            self._seed(connection)
            _commit(connection)

    def fingerprint(self, dialect: Dialect) -> str:
        """Return what changes when the database would be built otherwise, and is the same in all processes and runs.

        Warns with :class:`EmptySchemaWarning`, once, of metadata that creates nothing.

        :raises UsageError: what the metadata creates cannot be told without a database; the text says what to do.
        """
        digest = hashlib.sha256(f"{_GENERATION} {sqlalchemy.__version__}".encode())
        created = [self._ddl(each, dialect) for each in self._metadata]
        self._warn_if_empty(created)
        for part in (self._version_text(), *created):
            digest.update(f"\0{part}".encode())
        if self._seed is not None:
            digest.update(f"\0{text_of(self._seed)}".encode())
        return digest.hexdigest()

    def _warn_if_empty(self, created: Sequence[str]) -> None:
        # Only now, because models may be imported after the schema was declared.
        if created and not any(created) and self._build is None and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                "the metadata of a test schema has no tables, so its databases are empty; import the modules with the "
                "models before the tests run, or write Schema() for an empty database",
                EmptySchemaWarning,
                stacklevel=3,
            )

    def _version_text(self) -> str:
        version = self._version
        name = getattr(self._build, "__qualname__", type(self._build).__qualname__)
        return f"{name} {version() if callable(version) else version}"

    def _ddl(self, metadata: MetaData, dialect: Dialect) -> str:
        """Return the statements that create_all would send, those of its event listeners among them."""
        sent: list[str] = []

        def send(statement: Any, *_args: Any, **_fields: Any) -> None:
            sent.append(str(statement.compile(dialect=dialect)) if hasattr(statement, "compile") else str(statement))

        engine = create_mock_engine(URL.create(dialect.name), send)
        try:
            metadata.create_all(engine, checkfirst=False)
        except AttributeError as failed:
            if self._version is None:
                raise UsageError(
                    f"what the metadata creates cannot be told without a database, because one of its event listeners "
                    f"needs more than a connection's execute(): {failed}; give the Schema a version as well"
                ) from failed
            return "\n".join(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables)
        return "\n".join(sent)


def _commit(connection: Connection) -> None:
    if connection.in_transaction():
        connection.commit()
