"""A service in FastAPI, asyncio; Starlette has the same lifespan and the same handlers of exceptions."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import accounts_async as accounts
from accounts import db
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dbkit.exceptions import DBDuplicateEntry, DBError

LOG = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await db.adispose()  # in the loop that has opened the connections


app = FastAPI(lifespan=lifespan)


@app.put("/accounts/{owner}", status_code=201)
async def open_account(owner: str) -> dict[str, str]:
    await accounts.open_account(owner)  # a transaction, committed before this returns
    return {"owner": owner}


@app.get("/accounts")
async def owners() -> dict[str, list[str]]:
    return {"owners": await accounts.owners()}


@app.exception_handler(DBDuplicateEntry)
async def taken(request: Request, error: DBDuplicateEntry) -> JSONResponse:
    return JSONResponse({"error": "there is such an account"}, 409)


@app.exception_handler(DBError)
async def failed(request: Request, error: DBError) -> JSONResponse:
    LOG.error("the database failed", exc_info=error)
    return JSONResponse({"error": "the database failed"}, 503 if error.transient else 500)
