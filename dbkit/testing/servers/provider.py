"""The protocol behind which each server product stands: what to run, and how to tell that it is ready.

A provider decides and starts nothing: it returns commands, and the supervisor runs them.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dbkit.testing.servers.endpoint import Endpoint

Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one product, as found on this machine.

    :param programs: path of each program by its name.
    :param environment: what they need in their environment.
    :param prefix: the folder to which they were unpacked, or None for an installed package.
    """

    kind: str
    programs: Mapping[str, str]
    environment: Mapping[str, str]
    prefix: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the installation as JSON can carry it."""
        return {
            "kind": self.kind,
            "programs": dict(self.programs),
            "environment": dict(self.environment),
            "prefix": self.prefix,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Installation:
        """Return the installation that :meth:`to_wire` described."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a server's folder."""

    folder: Path

    @property
    def data(self) -> Path:
        """The data files; created by the product's own program."""
        return self.folder / "data"

    @property
    def temporary(self) -> Path:
        """Temporary files of this server alone."""
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        """What the server and its tools write."""
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class Source:
    """A running server from whose data another one is made.

    :param name: of the server that is made, in the books of the source.
    """

    port: int | None
    name: str


class Replication(Protocol):
    """How servers of one product follow each other.

    :meth:`settings` and :meth:`clone_command` decide what the supervisor runs. The others act: a test process calls
    them, and they talk to the servers as an administrator. ``name`` is a replica's own, the same for as long as it
    lives. They raise :class:`~dbkit.exceptions.DBError` where a server does not answer or refuses.
    """

    def settings(self, number: int, *, is_replica: bool) -> Settings:
        """Return what a member of a cluster needs beyond the settings for tests.

        :param number: the member's own, from 1.
        """

    def clone_command(self, installation: Installation, layout: Layout, source: Source) -> list[str] | None:
        """Return the command that fills a replica's data folder from the primary, or None if it starts as a new server.

        :raises BackendNotAvailable: a program is missing; the text names the package to install.
        """

    def open_primary(self, primary: Endpoint) -> None:
        """Make a primary of a server that has just been made."""

    def expect(self, primary: Endpoint, name: str) -> None:
        """Have the primary keep what a replica needs, from now on."""

    def follow(self, replica: Endpoint, primary: Endpoint, name: str) -> None:
        """Have a running replica follow this primary, which it may do already."""

    def position(self, primary: Endpoint) -> str:
        """Return how far the primary has come with all that is committed on it."""

    def progress(self, replica: Endpoint) -> int:
        """Return how much the replica has received, as a number to compare with other replicas'."""

    def replay_to(self, replica: Endpoint, position: str, bound_s: float) -> None:
        """Wait until the replica shows what the primary held at this position.

        :raises UsageError: it cannot come to that, because its replay is paused.
        :raises TimeoutError: it did not within the bound.
        """

    def pause(self, replica: Endpoint) -> None:
        """Stop the replay, and return when nothing more is replayed. What comes from the primary is still received."""

    def resume(self, replica: Endpoint) -> None:
        """Let the paused replay go on."""

    def delay(self, replica: Endpoint, seconds: float) -> None:
        """Replay every transaction this long after its commit; 0 for at once."""

    def promote(self, replica: Endpoint) -> None:
        """Replay all that was received, follow nobody any more, and return when writes are accepted."""


class Provider(Protocol):
    """A product whose servers can be started from its programs."""

    kind: str
    speaks: str | None
    """The kind whose clients and URLs serve for it: its own if it is a database, or that of the one it stands for."""
    replication: Replication | None
    """How its servers follow each other; None where :func:`dbkit.testing.servers.pair` is not offered."""
    accounts: Sequence[str]
    """Users to run as when the caller is root, best first."""
    user: str
    """The user by which clients connect; it has all rights and no password."""
    maintenance_database: str | None
    """A database that always exists, for connections that need one."""
    stop_signal: signal.Signals
    death_signal: signal.Signals
    """Ends the server and all of its processes at once."""

    def find(self, environment: Mapping[str, str]) -> Installation:
        """Return the programs that this environment leads to.

        :raises BackendNotAvailable: they are not there; the text names the package to install.
        """

    def version_command(self, installation: Installation) -> list[str]:
        """Return the command that prints the version."""

    def creation_files(self) -> Mapping[str, str]:
        """Return the files, name and content, that :meth:`creation_command` expects in the server's folder."""

    def creation_command(self, installation: Installation, layout: Layout) -> list[str]:
        """Return the command that fills the data folder of a new server."""

    def server_command(self, installation: Installation, layout: Layout, port: int, settings: Settings) -> list[str]:
        """Return the command that is the server, with these settings over the product's own for tests."""

    def is_ready(self, layout: Layout, port: int, pid: int) -> bool:
        """Return whether the server accepts clients. It does not block for longer than a moment."""

    def scour(self, layout: Layout) -> None:
        """Remove what a killed server leaves outside its folder. Its processes have ended, its folder is there."""


def as_settings(settings: Mapping[str, object] | None) -> dict[str, str]:
    """Return settings in the one form in which they travel: names with ``_``, values as the servers write them."""
    return {name.replace("-", "_"): _as_text(value) for name, value in (settings or {}).items()}


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
