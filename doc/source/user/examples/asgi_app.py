"""An ASGI service without a framework: serve ``asgi_app:application`` with any ASGI server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import accounts_async as accounts
from accounts import db

from dbkit.exceptions import DBDuplicateEntry, DBError

LOG = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    try:
        status, lines = await answer(scope["method"], scope["path"])
    except DBDuplicateEntry:
        status, lines = 409, ["there is such an account"]
    except DBError as error:
        LOG.exception("the database failed")
        status, lines = 503 if error.transient else 500, ["the database failed"]
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": "".join(f"{line}\n" for line in lines).encode()})


async def lifespan(receive: Receive, send: Send) -> None:
    """Answer the server's notices of the start and the end of the process."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await db.adispose()  # in the loop that has opened the connections
    await send({"type": "lifespan.shutdown.complete"})


async def answer(method: str, path: str) -> tuple[int, list[str]]:
    match method, path.strip("/").split("/"):
        case "GET", ["accounts"]:
            return 200, await accounts.owners()
        case "PUT", ["accounts", owner]:
            await accounts.open_account(owner)  # a transaction, committed before this returns
            return 201, [owner]
    return 404, ["there is nothing here"]
