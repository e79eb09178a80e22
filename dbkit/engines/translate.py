"""The one listener for errors: every driver's exception leaves the engine as a typed error."""

from __future__ import annotations

from copy import copy
from typing import Any, NoReturn, cast

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext

from dbkit.backends.base import Backend, Role
from dbkit.backends.build import Place, build_error
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.guarded import GuardedConnection
from dbkit.engines.pool import BoundedPool
from dbkit.exceptions import (
    CommitUnknown,
    DBConnectionError,
    DBError,
    DBLockTimeout,
    DBNotPrimary,
    DBReadOnly,
    Outcome,
)
from dbkit.masking import mask, secrets_of


def install(engine: Engine, backend: Backend, role: Role) -> None:
    """Translate the errors of an engine; for an asyncio engine, of its ``sync_engine``."""

    def translate(context: ExceptionContext) -> BaseException | None:
        original = context.original_exception
        if isinstance(original, DBError):
            # one of ours that SQLAlchemy would wrap leaves as it is; a copy, because it becomes its own cause
            return None if context.sqlalchemy_exception is None else copy(original)
        if not isinstance(original, Exception):
            return None
        if _is_sqlalchemys_own(context):
            return None
        connection = context.connection
        committing = isinstance(connection, TrackedConnection) and connection.committing
        error = build_error(
            backend.rules,
            original,
            statement=context.statement,
            parameters=context.parameters,
            is_disconnect=context.is_disconnect,
            in_transaction=connection is not None,
            at_commit=committing,
            place=_place(engine, role),
        )
        if role is Role.WRITER:
            error = with_role(backend, connection, error)
        if connection is not None:
            # SQLAlchemy goes by words in the text, which may be the user's; the rules go by the code
            cast(Any, context).is_disconnect = isinstance(error, DBConnectionError | DBNotPrimary)
        if context.is_disconnect:
            # one dead connection says little of the others: they are tested before their next use
            cast(Any, context).invalidate_pool_on_disconnect = False
            if not (isinstance(connection, TrackedConnection) and connection.was_cut):
                doubt_others(context.engine, error)
        if not isinstance(connection, TrackedConnection):
            return error
        if committing and error.outcome is Outcome.UNKNOWN:
            # the server lets a reader store nothing, so that nothing of it can be in doubt
            error = _commit_unknown(error) if role is Role.WRITER else _nothing_to_store(error)
        elif isinstance(error, DBLockTimeout) and error.errno == 1205 and connection.facts.lock_timeout_rolls_back:
            error.outcome = Outcome.ROLLED_BACK
        if isinstance(connection, GuardedConnection):
            error = connection.judged(error)
        for note in getattr(original, "__notes__", ()):
            error.add_note(note)  # what a protection has to say
        connection.failed(error)
        return error

    event.listen(engine, "handle_error", translate)


def without_connection(backend: Backend, engine: Engine, error: BaseException) -> DBError | None:
    """Return the typed error for what came up while a connection was made; None for what is not a database's.

    asyncio drivers let errors of the network, and on SQLAlchemy 2.0 some of their own, out as they are.
    """
    if isinstance(error, DBError):
        return error
    driver = backend.drivers.get(engine.dialect.driver.removesuffix("_async"))
    module = "" if driver is None else driver.module.partition(".")[0]
    is_databases = isinstance(error, (engine.dialect.loaded_dbapi.Error, OSError, TimeoutError)) or any(
        cls.__module__.partition(".")[0] == module for cls in type(error).__mro__
    )
    if not is_databases:
        return None
    typed = build_error(backend.rules, error, in_transaction=False, place=_place(engine, None))
    typed.args = (f"{typed}; the URL is {mask(engine.url)}",)
    return typed


def raise_typed(backend: Backend, engine: Engine, error: BaseException) -> NoReturn:
    """Raise what :func:`without_connection` makes of an error; the error itself where it makes nothing else."""
    typed = without_connection(backend, engine, error)
    if typed is None or typed is error:
        raise error
    raise typed from error


def _place(engine: Engine, role: Role | None) -> Place:
    url = engine.url
    names = {"database": url.database, "user": url.username}
    return Place(names, secrets_of(url), is_reader=role is Role.READER)


def _commit_unknown(error: DBError) -> CommitUnknown:
    unknown = CommitUnknown(error.orig, message=_NO_REPLY, sqlstate=error.sqlstate, errno=error.errno)
    unknown.errname = error.errname
    return unknown


def _nothing_to_store(error: DBError) -> DBError:
    error.outcome = Outcome.ROLLED_BACK
    error.transient = type(error).transient
    return error


def _is_sqlalchemys_own(context: ExceptionContext) -> bool:
    """Whether SQLAlchemy sent the statement for itself and waits for the plain error: ``has_table`` on MySQL does."""
    execution = context.execution_context
    return execution is not None and bool(execution.execution_options.get("skip_user_error_events"))


def doubt_others(engine: Engine | None, error: DBError) -> None:
    """Let the other connections of an engine be tested before their next use, because one was lost like this."""
    if engine is None or not isinstance(engine.pool, BoundedPool):
        return
    if isinstance(error, DBNotPrimary) or error.errno == _LEFT_ITS_CLUSTER:
        engine.pool.capacity.doubt_role()
    else:
        engine.pool.capacity.suspect()


def with_role(backend: Backend, connection: Any, error: DBError) -> DBError:
    """Return the error of a writer; :class:`DBNotPrimary` if it was refused because its server is no primary."""
    if not isinstance(error, DBReadOnly) or connection is None or connection.invalidated:
        return error
    ours = isinstance(connection, TrackedConnection)
    native = connection.driver_level if ours else connection.connection.dbapi_connection
    return _not_primary(error) if backend.is_not_primary(native, connection.dialect.driver, error) else error


def _not_primary(error: DBReadOnly) -> DBNotPrimary:
    found = DBNotPrimary.classify(
        f"{DBNotPrimary.summary} ({error.code}); {DBNotPrimary.advice}",
        inner_exception=error.orig,
        sqlstate=error.sqlstate,
        errno=error.errno,
        statement=error.statement,
    )
    found.__cause__ = error.orig
    return found


_LEFT_ITS_CLUSTER = 1047
"""MySQL's number for a Galera node that serves no one: it goes on answering a ping."""


_NO_REPLY = (
    "the connection was lost while COMMIT was on its way: the transaction is stored as a whole, or not at all; look at "
    "the data before doing it again"
)
