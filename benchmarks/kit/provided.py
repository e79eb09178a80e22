"""The template of the sixty tables on a place, and how its databases are reached."""

from __future__ import annotations

from sqlalchemy.engine import URL

from benchmarks.kit.tables import SCHEMA
from benchmarks.places import Place
from dbkit.testing import provision


def template_on(place: Place) -> provision.Template:
    """Return the template; the place's URL is an administrator's, or says which sort of SQLite database it is."""
    if not place.is_sqlite:
        # without the driver, which may be one of asyncio's: databases are made by a blocking one
        return provision.template(place.url.set(drivername=place.url.get_backend_name()), SCHEMA)
    return provision.template("sqlite://" if place.backend.in_memory else "sqlite", SCHEMA)


def driver_of(place: Place) -> str | None:
    """Return the place's driver, as SQLAlchemy names it; None is the usual one."""
    return place.url.drivername.partition("+")[2] or None


def oslo_url(place: Place, file: str) -> URL:
    """Return the URL that oslo.db's fixtures are given, which for a file names another than theirs.

    :param file: a path at which they may make a database.
    """
    return place.url.set(database=file) if place.is_sqlite and not place.backend.in_memory else place.url
