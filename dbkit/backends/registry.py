"""Which backend serves which database: the entry points ``dbkit.backends``, dbkit's own among them."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stevedore import ExtensionManager

from dbkit.backends.base import Backend
from dbkit.exceptions import BackendMissing

NAMESPACE = "dbkit.backends"

# "postgres" and "postgre" are near to "postgresql"; "mssql" is not near to "mysql".
_NEAR = 0.81

_NEEDED = ("name", "schemes", "rules", "drivers", "defaults", "vet")


@dataclass(frozen=True, slots=True)
class Registry:
    """The backends that are installed, and those that could not be loaded.

    :param backends: by the name of the SQLAlchemy dialect.
    :param failures: by the name of the entry point; said only to who asks for what it may have served.
    """

    backends: Mapping[str, Backend] = field(default_factory=dict)
    failures: Mapping[str, BaseException] = field(default_factory=dict)

    @classmethod
    def gather(cls, found: Iterable[tuple[str, Any]], failures: Mapping[str, BaseException]) -> Registry:
        """Build the registry from loaded entry points; one that cannot be used becomes a failure.

        :param found: name of the entry point, and what it loaded.
        """
        backends: dict[str, Backend] = {}
        owners: dict[str, str] = {}
        failed = dict(failures)
        for name, backend in sorted(found, key=lambda pair: pair[0]):
            missing = [part for part in _NEEDED if not hasattr(backend, part)]
            if missing:
                failed[name] = TypeError(f"{backend!r} is no backend: it has no {missing[0]!r}")
                continue
            for scheme in backend.schemes:
                if scheme in owners:
                    failed[scheme] = TypeError(
                        f"the entry points {owners[scheme]!r} and {name!r} both serve it; uninstall one of them"
                    )
                    backends.pop(scheme, None)
                    continue
                owners[scheme] = name
                backends[scheme] = backend
        return cls(MappingProxyType(backends), MappingProxyType(failed))

    @property
    def schemes(self) -> tuple[str, ...]:
        """The dialect names that are served, in alphabetical order."""
        return tuple(sorted(self.backends))

    def nearest(self, scheme: str) -> str | None:
        """Return the dialect name that was probably meant, or None."""
        near = difflib.get_close_matches(scheme, self.schemes, n=1, cutoff=_NEAR)
        return near[0] if near else None

    def backend_for(self, scheme: str) -> Backend:
        """Return the backend that serves a SQLAlchemy dialect.

        :raises BackendMissing: none does; the text offers the nearest name, or says what could not be loaded.
        """
        backend = self.backends.get(scheme)
        if backend is not None:
            return backend
        failure = self.failures.get(scheme)
        if failure is not None:
            raise BackendMissing(
                f"the backend for {scheme!r} is installed and could not be loaded: {type(failure).__name__}: {failure}"
            ) from failure
        raise BackendMissing(self._absence(scheme))

    def _absence(self, scheme: str) -> str:
        if not self.backends and not self.failures:
            return (
                f"no backend serves {scheme!r}, and none is registered at all: dbkit runs from files that were not "
                f"installed; install it, for development with: pip install -e ."
            )
        near = self.nearest(scheme)
        advice = f"did you mean {near!r}? " if near else ""
        broken = "".join(f"; the backend {name!r} could not be loaded: {self.failures[name]}" for name in self.failures)
        return (
            f"no backend serves {scheme!r}: {advice}served are {', '.join(self.schemes)}; another product needs a "
            f"distribution with an entry point in {NAMESPACE!r}{broken}"
        )


@functools.cache
def installed() -> Registry:
    """Return the registry of this process, read from the installed distributions once."""
    failures: dict[str, BaseException] = {}

    def remember(manager: ExtensionManager[Any], entry_point: Any, error: BaseException) -> None:
        failures[entry_point.name] = error

    manager = ExtensionManager(NAMESPACE, on_load_failure_callback=remember)
    return Registry.gather([(extension.name, extension.plugin) for extension in manager], failures)


def backend_for(scheme: str) -> Backend:
    """Return the installed backend that serves a SQLAlchemy dialect, such as ``"mariadb"``.

    :raises BackendMissing: none does.
    """
    return installed().backend_for(scheme)
