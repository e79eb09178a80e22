"""All subjects, in the order of the tables, and what is missing for them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from benchmarks.places import Backend, Place
from benchmarks.subjects.subject import Subject, blocking, in_asyncio


class Late:
    """Imports a subject's file when it is first opened, so that a missing library stops nobody else.

    :param arguments: what the function is given beside the place.
    """

    def __init__(self, module: str, function: str, package: str = "benchmarks.subjects", **arguments: Any) -> None:
        self._module = f"{package}.{module}"
        self._function = function
        self._arguments = arguments

    def __call__(self, place: Place) -> Any:
        module = importlib.import_module(self._module)
        return getattr(module, self._function)(place, **self._arguments)


def _sqlite(backend: Backend) -> bool:
    return blocking(backend) and backend.server is None


def _server(backend: Backend) -> bool:
    return blocking(backend) and backend.server is not None


SUBJECTS: tuple[Subject, ...] = (
    Subject("dbkit context", Late("dbkit_subjects", "open_with_context"), blocking, ("dbkit",)),
    Subject("dbkit database", Late("dbkit_subjects", "open_database"), blocking, ("dbkit",)),
    Subject("dbkit fast", Late("dbkit_subjects", "open_fast"), blocking, ("dbkit",)),
    Subject("dbkit connection", Late("dbkit_subjects", "open_connections"), blocking, ("dbkit",)),
    Subject("dbkit asyncio", Late("dbkit_subjects", "open_in_asyncio"), in_asyncio, ("dbkit", "greenlet")),
    Subject("sqlalchemy orm", Late("sqlalchemy_subjects", "open_orm"), blocking),
    Subject("sqlalchemy core", Late("sqlalchemy_subjects", "open_core"), blocking),
    Subject("sqlalchemy asyncio orm", Late("sqlalchemy_subjects", "open_async_orm"), in_asyncio, ("greenlet",)),
    Subject("sqlalchemy asyncio core", Late("sqlalchemy_subjects", "open_async_core"), in_asyncio, ("greenlet",)),
    Subject("oslo.db", Late("oslo_subjects", "open_enginefacade"), blocking, ("oslo_db",)),
    Subject("raw driver", Late("raw_subjects", "open_sqlite"), _sqlite),
    Subject("raw driver", Late("raw_subjects", "open_driver"), _server),
)

#: Package to install for a module whose name differs from it.
_PACKAGES = {
    "django": "Django",
    "oslo_db": "oslo.db",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "PyMySQL",
    "MySQLdb": "mysqlclient",
}


def missing(modules: tuple[str, ...]) -> list[str]:
    """Return the packages to install for those of the modules that are not there."""
    return [_PACKAGES.get(name, name) for name in modules if importlib.util.find_spec(name) is None]


def subjects_for(backend: Backend) -> list[Subject]:
    """Return the subjects that a backend can serve."""
    return [subject for subject in SUBJECTS if subject.measures(backend)]
