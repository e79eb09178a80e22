"""The kinds of servers that tests can ask for, and who provides each: entry points, dbkit's own among them."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stevedore import ExtensionManager

from dbkit.exceptions import BackendNotAvailable, UsageError
from dbkit.testing.servers.provider import Provider

#: An entry point of this group is named after the kind, and gives the provider when it is called without arguments.
NAMESPACE = "dbkit.testing.servers"

# A kind names folders, whose records are read by it, and environment variables.
_KIND = re.compile(r"[a-z][a-z0-9_]*")

_ALIASES: Mapping[str, str] = MappingProxyType({"mariadb": "mysql"})

# What people call a product, and what is not written nearly like its name.
_NICKNAMES: Mapping[str, str] = MappingProxyType(
    {"pg": "postgresql", "pgsql": "postgresql", "psql": "postgresql", "maria": "mariadb"}
)

# Started by other kinds, and by nobody's wish.
_INTERNAL = frozenset({"health"})

_NEEDED = (
    ("kind", "speaks", "replication", "accounts", "user", "maintenance_database", "stop_signal", "death_signal")
    + ("find", "version_command", "creation_files", "creation_command", "server_command", "is_ready", "scour")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registry:
    """The providers that are installed, and those that cannot be used.

    :param failures: by the name of the entry point; said only to who asks for that kind.
    """

    providers: Mapping[str, Provider] = field(default_factory=dict)
    failures: Mapping[str, BaseException] = field(default_factory=dict)

    @classmethod
    def gather(cls, found: Iterable[tuple[str, Any]], failures: Mapping[str, BaseException]) -> Registry:
        """Build the registry from providers; one that cannot be used becomes a failure.

        :param found: name of the entry point, and what it gave.
        """
        providers: dict[str, Provider] = {}
        failed = dict(failures)
        for name, provider in sorted(found, key=lambda pair: pair[0]):
            if name in providers or name in failed:
                providers.pop(name, None)
                failed.setdefault(name, TypeError("two distributions provide it; uninstall one of them"))
            elif fault := _fault_of(name, provider):
                failed[name] = TypeError(fault)
            else:
                providers[name] = provider
        return cls(MappingProxyType(providers), MappingProxyType(failed))

    @property
    def database_kinds(self) -> tuple[str, ...]:
        """The kinds of databases, in alphabetical order."""
        return tuple(sorted(name for name, provider in self.providers.items() if provider.speaks == name))

    def provider_of(self, kind: str, offered: Iterable[str] | None = None) -> Provider:
        """Return the provider of this kind of server, which may be written by its alias.

        :param offered: the kinds that an error text offers; None is for all that a person may ask for.

        :raises BackendNotAvailable: it is installed and cannot be used; the text says why.
        :raises UsageError: there is no such kind.
        """
        name = kind_named(kind)
        if name in self.providers:
            return self.providers[name]
        if name in self.failures:
            failure = self.failures[name]
            raise BackendNotAvailable(
                f"the provider of {name!r} servers is installed and cannot be used: {type(failure).__name__}: {failure}"
            ) from failure
        if not self.providers and not self.failures:
            raise UsageError(
                f"there is no kind of server named {kind!r}, and none is registered at all: dbkit runs from files "
                f"that were not installed; install it, for development with: pip install -e ."
            )
        names = self.providers.keys() - _INTERNAL if offered is None else offered
        raise UsageError(f"there is no kind of server named {kind!r}; {offer(kind, names)}")


def _fault_of(name: str, provider: Any) -> str | None:
    missing = [part for part in _NEEDED if not hasattr(provider, part)]
    if missing:
        return f"{provider!r} is no provider: it has no {missing[0]!r}"
    if provider.kind != name:
        return f"its entry point is named {name!r}, and its kind is {provider.kind!r}; the two must be the same"
    if not _KIND.fullmatch(name):
        return f"{name!r} is no name for a kind; use small letters, digits and underscores"
    if name in _ALIASES:
        return f"{name!r} is another name of {_ALIASES[name]!r}; choose a name of its own"
    return None


@functools.cache
def installed() -> Registry:
    """Return the registry of this process, read from the installed distributions once."""
    failures: dict[str, BaseException] = {}

    def remember(manager: ExtensionManager[Any], entry_point: Any, error: BaseException) -> None:
        failures[entry_point.name] = error

    manager = ExtensionManager(NAMESPACE, invoke_on_load=True, on_load_failure_callback=remember)
    return Registry.gather([(extension.name, extension.obj) for extension in manager], failures)


def kind_named(name: str) -> str:
    """Return the kind that a person means by a name: ``"mariadb"`` is ``"mysql"``, and all others are themselves."""
    return _ALIASES.get(name, name)


def offer(name: str, known: Iterable[str]) -> str:
    """Return what an error text says to whoever wrote ``name``: the kinds that they can write, the nearest first."""
    offered = sorted({*known})
    names = {*offered, *(alias for alias, kind in _ALIASES.items() if kind in offered)}
    written = name.strip().lower()
    near = [_NICKNAMES[written]] if _NICKNAMES.get(written) in names else difflib.get_close_matches(written, names, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"{advice}there are: {', '.join(offered)}"


def database_kinds() -> tuple[str, ...]:
    """Return the kinds of databases, in alphabetical order: what stands before or beside them is left out."""
    return installed().database_kinds


def pair_kinds() -> tuple[str, ...]:
    """Return the kinds of databases whose servers can be a primary and its replicas, in alphabetical order."""
    providers = installed().providers
    return tuple(kind for kind in database_kinds() if providers[kind].replication is not None)


def database_names() -> tuple[str, ...]:
    """Return the names by which a person may write the kinds of databases, aliases included."""
    kinds = database_kinds()
    return tuple(sorted({*kinds, *(alias for alias, kind in _ALIASES.items() if kind in kinds)}))


def provider_of(kind: str, offered: Iterable[str] | None = None) -> Provider:
    """Return the installed provider of this kind of server.

    :param offered: the kinds that an error text offers; None is for all that a person may ask for.
    :raises BackendNotAvailable: it is installed and cannot be used; the text says why.
    :raises UsageError: there is no such kind.
    """
    return installed().provider_of(kind, offered)


def url_setting(kind: str) -> str:
    """Return the environment variable that names an existing server, as a URL with an administrator's rights."""
    return f"DBKIT_TEST_{kind.upper()}_URL"
