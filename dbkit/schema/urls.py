"""oslo.db's three functions for URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from sqlalchemy import Connection, Engine
from sqlalchemy import make_url as parsed
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from dbkit.exceptions import InvalidURL, UsageError
from dbkit.masking import mask

_HIDDEN = "****"


def sanitize_db_url(url: str | URL) -> str:
    """Return a URL as it may be logged: user and password hidden, and secrets among its arguments too.

    A password is hidden as well if it holds an ``@`` that should have been escaped.

    .. versionadded:: 0.1
    """
    if isinstance(url, str) and "://" not in url:
        return url
    shown = mask(url)
    scheme, _, rest = shown.partition("://")
    account, found, place = rest.partition("@")
    return f"{scheme}://{_HIDDEN}:{_HIDDEN}@{place}" if found and ":" in account else shown


def get_db_connection_info(conn_pieces: Any) -> tuple[str, str, str, str]:
    """Return user, password, database and host (with its port, if there is one) of a URL; an empty text for what lacks.

    What was escaped in the URL is not any more.

    :param conn_pieces: what ``urllib.parse.urlparse`` or ``urlsplit`` returns, a text, or SQLAlchemy's ``URL``.
    :raises UsageError: it is nothing of the kind.

    .. versionadded:: 0.1
    """
    if isinstance(conn_pieces, URL):
        host = conn_pieces.host or ""
        host = f"[{host}]" if ":" in host else host
        host = host if conn_pieces.port is None else f"{host}:{conn_pieces.port}"
        return conn_pieces.username or "", str(conn_pieces.password or ""), conn_pieces.database or "", host
    pieces = urlsplit(conn_pieces) if isinstance(conn_pieces, str) else conn_pieces
    if not isinstance(pieces, SplitResult) and not hasattr(pieces, "netloc"):
        raise UsageError(
            f"get_db_connection_info() takes a URL, split or whole; it got an object of class {type(pieces).__name__}"
        )
    account, _, host = pieces.netloc.rpartition("@")
    user, _, password = account.partition(":")
    return unquote(user), unquote(password), pieces.path.strip("/"), host


def make_url(target: Any) -> URL:
    """Return the URL of a text, a ``URL``, or of what is connected: an engine, a connection, a session.

    :raises InvalidURL: the text holds none.
    :raises UsageError: it is nothing of the kind.

    .. versionadded:: 0.1
    """
    if isinstance(target, URL):
        return target
    if isinstance(target, str):
        try:
            return parsed(target)
        except (ArgumentError, ValueError):
            # the cause would quote the part that it could not read, and that can be a password
            raise InvalidURL(f"the database URL {mask(target)} cannot be read") from None
    if isinstance(target, Session):
        target = target.get_bind()
    for name in ("sync_session", "sync_connection", "sync_engine"):  # of asyncio
        inner = getattr(target, name, None)
        if isinstance(inner, Session | Connection | Engine):
            return make_url(inner)
    if isinstance(target, Connection | Engine):
        return target.engine.url
    raise UsageError(
        "a URL is read from a text, a URL, an engine, a connection or a session; an object of class "
        f"{type(target).__name__} was given"
    )
