"""A service in Flask, blocking."""

from __future__ import annotations

import accounts
from flask import Flask

from dbkit.exceptions import DBDuplicateEntry, DBError

app = Flask(__name__)


@app.put("/accounts/<owner>")
def open_account(owner: str) -> tuple[dict[str, str], int]:
    accounts.open_account(owner)  # a transaction, committed before this returns
    return {"owner": owner}, 201


@app.get("/accounts")
def owners() -> dict[str, list[str]]:
    return {"owners": accounts.owners()}


@app.errorhandler(DBDuplicateEntry)
def taken(error: DBDuplicateEntry) -> tuple[dict[str, str], int]:
    return {"error": "there is such an account"}, 409


@app.errorhandler(DBError)
def failed(error: DBError) -> tuple[dict[str, str], int]:
    app.logger.error("the database failed", exc_info=error)
    return {"error": "the database failed"}, 503 if error.transient else 500
