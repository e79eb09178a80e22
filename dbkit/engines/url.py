"""The database URL: read, checked, completed, and turned to the colour of the code that will use it."""

from __future__ import annotations

import difflib

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from dbkit.backends import registry
from dbkit.backends.base import Backend, Driver
from dbkit.engines.url_drivers import load_driver, refuse_blocking_driver
from dbkit.exceptions import BackendMissing, InvalidURL
from dbkit.masking import mask
from dbkit.spec import Colour

FORMS = "sqlite:///app.db, postgresql://user:password@host/database or mysql://user:password@host/database"

# Read by SQLAlchemy's create_engine, whatever the driver.
_ENGINE_ARGUMENTS = frozenset({"plugin", "plugins"})

# A URL that has one of these, or a service, names its database there.
_DATABASE_ARGUMENTS = frozenset({"database", "db", "dbname", "service", "read_default_file"})

# A driver that takes it reaches a server; one that does not opens a file.
_HOST = "host"


def parse(url: str | URL) -> URL:
    """Return the URL that a text holds; space around it, such as a file's last line break, is no part of it.

    :raises InvalidURL: it holds none; the text says what a URL looks like, and shows no password.
    """
    if isinstance(url, URL):
        return url
    if not isinstance(url, str):
        raise InvalidURL(f"a database URL is a text or a sqlalchemy.engine.URL, not {type(url).__name__}")
    url = url.strip()
    if not url:
        raise InvalidURL(f"the database URL is empty; write {FORMS}")
    if "://" not in url:
        raise InvalidURL(f"the database URL names no scheme; write {FORMS}")
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # the cause would quote the part that it could not read, and that can be a password
        raise InvalidURL(
            f"the database URL {mask(url)} cannot be read; write {FORMS}, and escape what stands for itself in the "
            f"user's name and the password: '@' as %40, '/' as %2F, ':' as %3A"
        ) from None


def backend_of(url: URL) -> Backend:
    """Return the backend that serves the URL's dialect.

    :raises InvalidURL: the dialect's name is nearly one that is served.
    :raises BackendMissing: no backend serves it.
    """
    scheme = url.get_backend_name()
    try:
        return registry.backend_for(scheme)
    except BackendMissing as missing:
        near = registry.installed().nearest(scheme)
        if near is None or scheme in registry.installed().failures:
            raise
        raise InvalidURL(f"{mask(url)} names no database product that is known; write {near}://") from missing


def named_driver(url: URL) -> str | None:
    """Return the driver that the URL names after the plus sign, or None."""
    return url.drivername.partition("+")[2] or None


def driver_of(url: URL, colour: Colour = Colour.BLOCKING) -> Driver:
    """Return the driver that the URL names, or else its backend's default for the colour.

    :raises InvalidURL: dbkit does not serve the driver; the text names those that it does.
    """
    backend = backend_of(url)
    name = named_driver(url) or backend.defaults[colour]
    driver = backend.drivers.get(name)
    if driver is not None:
        return driver
    near = difflib.get_close_matches(name, backend.drivers, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    raise InvalidURL(
        f"the driver {name!r} in {mask(url)} is not served: {advice}"
        f"for {url.get_backend_name()} there are {', '.join(sorted(backend.drivers))}"
    )


def has_server(url: URL) -> bool:
    """Return whether the URL leads to a server, which has hosts and users, and not to a file."""
    return _HOST in driver_of(url).arguments()


def with_parameters(url: URL, parameters: str) -> URL:
    """Return the URL with ``name=value&name=value`` added to its arguments; a name that it has already gets both."""
    return url.update_query_string(parameters, append=True) if parameters else url


def vet(url: str | URL) -> URL:
    """Return the URL, completed with what its product needs, if dbkit can use it.

    :raises InvalidURL: it cannot be read, names an unknown dialect, driver or argument, or lacks its database.
    :raises BackendMissing: no backend serves its dialect.
    """
    url = parse(url)
    backend = backend_of(url)
    driver = driver_of(url)
    accepted = driver.arguments()
    if _HOST in accepted:
        _vet_place(url)
    elif url.host or url.username or url.password:
        raise InvalidURL(
            f"{url.get_backend_name()} has no server, and {mask(url)} names one; a relative path has three slashes, "
            f"an absolute one four: {url.get_backend_name()}:///app.db, {url.get_backend_name()}:////var/lib/app.db"
        )
    _vet_arguments(url, driver, accepted)
    return backend.vet(url)


def _vet_place(url: URL) -> None:
    if "@" in (url.host or ""):
        raise InvalidURL(f"the password in {mask(url)} holds an '@' that is not escaped; write it as %40")
    if not url.database and not _DATABASE_ARGUMENTS & url.query.keys():
        raise InvalidURL(f"{mask(url)} names no database; write its name after the host: ...host/database")


def _vet_arguments(url: URL, driver: Driver, accepted: frozenset[str]) -> None:
    for name in url.query:
        if name in accepted or name in _ENGINE_ARGUMENTS:
            continue
        near = difflib.get_close_matches(name, accepted, n=1)
        advice = f"did you mean {near[0]!r}?" if near else "what a URL cannot hold goes into connect_args"
        raise InvalidURL(f"the driver {driver.name!r} has no argument {name!r}, which {mask(url)} gives; {advice}")


def partner_of(url: URL, colour: Colour) -> Driver:
    """Return the driver with which code of this colour uses the URL: the one it names, its partner, or the default."""
    driver = driver_of(url, colour)
    if colour in driver.colours:
        return driver
    return backend_of(url).drivers[driver.partner]


def for_colour(url: str | URL, colour: Colour) -> URL:
    """Return the URL with the driver for this colour written into it, ready for ``create_engine``.

    :raises DriverMissing: the driver's package is not installed; the text names it.
    :raises DriverRefused: the driver would block this process.
    :raises InvalidURL: the URL cannot be used, or an argument of it has no counterpart in this driver.
    """
    url = vet(url)
    driver = partner_of(url, colour)
    refuse_blocking_driver(driver)
    load_driver(driver, colour, named=driver_of(url, colour))
    translated = _translate(url, driver, colour)
    return backend_of(url).vet(translated.set(drivername=f"{url.get_backend_name()}+{driver.name}"))


def _translate(url: URL, driver: Driver, colour: Colour) -> URL:
    if driver_of(url).name == driver.name:
        return url
    accepted = driver.arguments() | _ENGINE_ARGUMENTS
    translations = driver.translations
    query = {}
    for name, value in url.query.items():
        own = name if name in accepted else translations.get(name)
        if own is None:
            raise InvalidURL(
                f"the argument {name!r} in {mask(url)} is of {driver_of(url).name}, and {driver.name}, which serves "
                f"{colour.value} code in its place, has none such; give {colour.value} code a URL of its own, with "
                f"{'asyncio_connection' if colour is Colour.ASYNCIO else 'connection'}"
            )
        query[own] = value
    return url.set(query=query)
