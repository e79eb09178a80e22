"""Whether a driver can be used in this process: installed, and able to share it with what patched it."""

from __future__ import annotations

import sys
from importlib import import_module

from dbkit.backends.base import Driver
from dbkit.exceptions import DriverMissing, DriverRefused
from dbkit.spec import Colour

# libmysqlclient waits in C, where a green thread cannot give way. Source: eventlet, "Using Eventlet with the Python
# DBAPI"; gevent, "Incompatible libraries".
_WAITS_IN_C = frozenset({"MySQLdb"})


def load_driver(driver: Driver, colour: Colour, *, named: Driver | None = None) -> None:
    """Import what the driver needs in this colour.

    :param named: the driver that the URL names, for which this one stands in.
    :raises DriverMissing: it is not installed, or its import fails; the text names the package.
    """
    try:
        import_module(driver.module)
    except ImportError as error:
        raise DriverMissing(_lacking(driver, error) + _why(driver, colour, named)) from error
    if colour is Colour.ASYNCIO:
        try:
            import_module("greenlet")
        except ImportError as error:
            raise DriverMissing(
                "asyncio needs greenlet, which SQLAlchemy does not install by itself: pip install 'dbkit[asyncio]'"
            ) from error


def _lacking(driver: Driver, error: ImportError) -> str:
    if not driver.package:
        return f"the driver {driver.name!r} is a part of Python that this one was built without: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name == driver.module:
        return f"the driver {driver.name!r} is not installed: pip install '{driver.package}'"
    return f"the driver {driver.name!r} is installed and cannot be imported: {error}; install '{driver.package}'"


def _why(driver: Driver, colour: Colour, named: Driver | None) -> str:
    """Return why a driver is needed that the URL does not name."""
    if named is None or named.name == driver.name:
        return ""
    other = " and ".join(each.value for each in Colour if each in named.colours)
    return (
        f"; the URL names {named.name!r}, which serves {other} code only, and {driver.name!r} stands in for it in "
        f"{colour.value} code; or leave the driver out of the URL, and dbkit uses its default for each"
    )


def refuse_blocking_driver(driver: Driver) -> None:
    """Refuse a driver that would stop all green threads of this process while it waits for the server.

    :raises DriverRefused: eventlet or gevent has patched the sockets, and the driver does not use Python's.
    """
    if driver.module not in _WAITS_IN_C:
        return
    for library, is_patched in (("eventlet", _eventlet_patched), ("gevent", _gevent_patched)):
        if is_patched():
            raise DriverRefused(
                f"the driver {driver.name!r} waits for the server in C, and {library} has patched this process's "
                f"sockets: each query would stop every green thread; name a driver in the URL that is "
                f"written in Python, such as mysql+pymysql://"
            )


def _eventlet_patched() -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("socket"))


def _gevent_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))
