"""Credentials from a callable: asked before each new connection, so that they rotate without a restart."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from dbkit.engines.settings import EngineSettings


def install(engine: Engine, settings: EngineSettings) -> None:
    """Ask ``settings.credentials`` for user and password whenever a connection is opened."""
    ask = settings.credentials
    if ask is None:
        return

    def use_current(dialect: Any, record: Any, arguments: list[Any], parameters: dict[str, Any]) -> None:
        user, password = ask()
        if user is not None:
            parameters["user"] = user
        parameters["passwd" if dialect.driver == "mysqldb" else "password"] = password

    event.listen(engine, "do_connect", use_current)
