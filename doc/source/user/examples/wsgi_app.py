"""A WSGI service in the standard library: python wsgi_app.py, then curl -X PUT localhost:8000/accounts/ann."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.simple_server import make_server

import accounts

from dbkit.exceptions import DBDuplicateEntry, DBError

LOG = logging.getLogger(__name__)


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    try:
        status, lines = answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    except DBDuplicateEntry:
        status, lines = HTTPStatus.CONFLICT, ["there is such an account"]
    except DBError as error:
        LOG.exception("the database failed")
        status = HTTPStatus.SERVICE_UNAVAILABLE if error.transient else HTTPStatus.INTERNAL_SERVER_ERROR
        lines = ["the database failed"]
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{line}\n".encode() for line in lines]


def answer(method: str, path: str) -> tuple[HTTPStatus, list[str]]:
    match method, path.strip("/").split("/"):
        case "GET", ["accounts"]:
            return HTTPStatus.OK, accounts.owners()
        case "PUT", ["accounts", owner]:
            accounts.open_account(owner)  # a transaction, committed before this returns
            return HTTPStatus.CREATED, [owner]
    return HTTPStatus.NOT_FOUND, ["there is nothing here"]


if __name__ == "__main__":
    accounts.create_tables()
    try:
        make_server("localhost", 8000, application).serve_forever()
    finally:
        accounts.db.dispose()
