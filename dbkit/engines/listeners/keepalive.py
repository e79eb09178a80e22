"""TCP keepalive: the operating system notices that the server's machine is gone, while a connection lies idle."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from dbkit.backends.base import Backend
from dbkit.engines.settings import EngineSettings


def install(engine: Engine, settings: EngineSettings, backend: Backend, url: URL) -> None:
    """Set ``tcp_keepalive`` on each new connection, unless the URL or ``connect_args`` set the driver's own."""
    idle_s = settings.tcp_keepalive
    driver = url.get_driver_name()
    known = backend.drivers.get(driver)
    own = frozenset() if known is None else known.keepalive_arguments
    if idle_s is None or own & {*url.query, *settings.connect_args}:
        return

    def keep_alive(connection: Any, record: Any) -> None:
        cord = backend.cord(connection, driver)
        if cord is not None:
            cord.keep_alive(idle_s)
            cord.let_go()

    event.listen(engine, "connect", keep_alive)
