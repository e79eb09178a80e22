"""A schema that Alembic's revisions build."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from dbkit.exceptions import UsageError

_URL = ("alembic", "sqlalchemy.url")

_NOT_SOURCE = frozenset({".pyc", ".pyo"})


class Revisions:
    """The revisions of one Alembic environment."""

    def __init__(self, config: Config | str | Path) -> None:
        self._config = config if isinstance(config, Config) else Config(str(config))
        self._lock = threading.Lock()

    def upgrade(self, connection: Connection) -> None:
        """Run all revisions on the connection's database.

        ``env.py`` finds the connection in ``config.attributes["connection"]``, as Alembic's cookbook has it, and the
        URL of the same database in ``sqlalchemy.url``.

        :raises UsageError: ``env.py`` went elsewhere; the text says what it should do.
        """
        url = connection.engine.url.render_as_string(hide_password=False)
        with self._lock:  # the configuration is the caller's, and may serve several databases
            config = self._config
            attributes, own_url = dict(config.attributes), config.file_config.get(*_URL, raw=True, fallback=None)
            config.attributes["connection"] = connection
            config.set_main_option(_URL[1], url.replace("%", "%%"))
            try:
                command.upgrade(config, "heads")
            finally:
                config.attributes.clear()
                config.attributes.update(attributes)
                if own_url is None:
                    config.remove_main_option(_URL[1])
                else:
                    config.set_main_option(_URL[1], own_url)
        wanted = set(ScriptDirectory.from_config(config).get_heads())
        found = set(MigrationContext.configure(connection).get_current_heads())
        if connection.in_transaction():
            connection.commit()
        if found != wanted:
            raise UsageError(
                f"after the upgrade the test database is at {_listed(found)} and not at {_listed(wanted)}: "
                f'env.py migrated another database, or none; let it use config.attributes["connection"] where that is '
                f'set, or connect to config.get_main_option("sqlalchemy.url")'
            )

    def version(self) -> str:
        """Return what changes with the heads, or with any file of the environment."""
        script = ScriptDirectory.from_config(self._config)
        digest = hashlib.sha256(repr(sorted(script.get_heads())).encode())
        for revision in sorted(script.walk_revisions(), key=lambda each: each.revision):
            digest.update(f"\0{revision.revision}\0".encode() + Path(revision.path).read_bytes())
        folder = Path(script.dir)
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in _NOT_SOURCE:
                digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
        return digest.hexdigest()


def _listed(heads: set[str]) -> str:
    return ", ".join(sorted(heads)) or "no revision"
