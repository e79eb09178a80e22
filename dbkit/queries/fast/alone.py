"""A lookup as a reader of its own: one statement, sent without a block where none is open.

A reader of one statement needs no transaction: the statement has its snapshot by itself. So nothing is made that a
block needs for several, and nothing is sent but the statement, on a connection of the readers' pool, which the server
keeps from writing. A connection that must be switched for that is, once a few such statements have come in a row; until
then COMMIT follows the statement.
"""

from __future__ import annotations

import asyncio
import logging
from _thread import get_ident
from collections.abc import Sequence
from typing import Any, NoReturn
from weakref import ref

from sqlalchemy.engine import Connection
from sqlalchemy.event.attr import _EmptyListener

from dbkit.ambient import CURRENT
from dbkit.engines.connection import FACTS, TrackedConnection
from dbkit.engines.create import Lane
from dbkit.engines.lease import Lease
from dbkit.engines.translate import raise_typed
from dbkit.engines.watch import Watch
from dbkit.filters.moments import CONTEXT_RULES
from dbkit.queries.fast.listening import AFTER_BEGIN, ORM_EXECUTE
from dbkit.queries.fast.straight import Text, leave_cursor, take_cursor
from dbkit.spec import Colour, Mode, Propagation
from dbkit.transaction.block import Block
from dbkit.transaction.factory import Factory
from dbkit.transaction.manager import ContextManager, Modifiers

LOG = logging.getLogger(__name__)

READERS = (Modifiers, Block)
"""What is given in place of an open block, for a block of this statement alone."""


def lane_alone(where: Any, colour: Colour) -> Lane | None:
    """Return where a statement can be sent without a block; None where it takes one.

    It takes one where a block is open, which it would join, or a deadline; where more is asked of it than to read; in
    a database that has one connection; until its readers have had a connection, by which the dialect comes to know the
    server; and where somebody listens to statements or sessions.
    """
    if CURRENT.get() is not None or ORM_EXECUTE or AFTER_BEGIN:
        return None
    if where.__class__ is Block:
        spec, factory, is_bound = where._spec, where._factory, where._context is not None
    elif isinstance(where, ContextManager):
        return None  # a block refuses it
    else:
        spec, factory, is_bound = where.spec, where._root.factory, False
    if spec.mode is not Mode.READER or spec.isolation is not None or spec.protection is not None or spec.without:
        return None
    if spec.propagation is Propagation.NESTED or (is_bound and CONTEXT_RULES.attributes):
        return None
    if not factory.reached or factory.protects or factory.has_stale or factory.rolls_back_readers:
        return None
    lane: Lane = factory.lane(False, colour)
    engine: Any = lane.engine
    if (
        not engine.pool.has_opened
        or lane.gate is not None
        or engine._has_events
        or Connection._has_events
        or engine._execution_options
    ):
        return None
    dialect = engine.dialect
    if "do_execute" in dialect.__dict__ or dialect.dispatch.do_execute.__class__ is not _EmptyListener:
        return None
    return None if engine._should_log_info() else lane


def factory_of(where: Any) -> Factory:
    """Return the database of a reader or block."""
    found: Factory = where._factory if where.__class__ is Block else where._root.factory
    return found


def send_alone(lane: Lane, text: Text, parameters: Any, colour: Colour) -> Sequence[Any] | None:
    """Send a statement that answers with rows, and return them all; None if it takes a block.

    :param parameters: as the text has bound them.
    :raises DBError: the database refused, or there is no connection.
    """
    pool: Any = lane.engine.pool
    proxy: Any = None
    try:
        record: Any = pool.lend(bare=True)
        if record is None:
            proxy = pool.connect()
            record = proxy._connection_record
    except BaseException as error:
        raise_typed(lane.backend, lane.engine, error)
    rows: Any = None
    cursor: Any = None
    alone = False
    try:
        alone = record.alone or record.take_singles()
        if alone or record.autocommit is not None:
            record.holder = get_ident() if colour is Colour.BLOCKING else ref(asyncio.current_task())
            native = record.dbapi_connection
            if text.keeps_cursor:
                kept = take_cursor(record, native, text.sql)
                cursor = kept.cursor
                kept.execute(parameters)
            else:
                cursor = native.cursor()
                cursor.execute(text.sql, parameters)
            rows = cursor.fetchall()
            if text.description is None:
                text.description = cursor.description
            if text.keeps_cursor and not rows[1:]:
                leave_cursor(record, text.sql, kept)
            else:
                cursor.close()
            if not alone:
                native.commit()
    except BaseException as error:
        _fail(lane, proxy or Lease(pool, record), error, alone, (text.sql, parameters, cursor))
    if proxy is None:
        pool._do_return_conn(record)
    else:
        proxy._close_special(transaction_reset=True)
    return rows  # type: ignore[no-any-return]


def _fail(lane: Lane, proxy: Any, error: BaseException, alone: bool, sent: tuple[str, Any, Any]) -> NoReturn:
    """Raise what a block would have raised, and give the connection back."""
    facts = proxy._connection_record.info.get(FACTS)
    connection = TrackedConnection(lane.engine, lane.backend, lambda: (proxy, facts))
    try:
        assert connection.driver_level is not None  # it has taken the connection with that
        # without a transaction that SQLAlchemy would roll back
        connection.has_begun, connection.watch = not alone, Watch.AUTOCOMMIT if alone else 0
        connection._handle_dbapi_exception(error, *sent, None)
        raise error  # it has raised
    finally:
        try:
            if not alone and not connection.invalidated:
                connection.driver_level.rollback()
        except Exception as unended:  # it would hide what the statement was refused for
            LOG.debug("a connection is closed instead of being rolled back: %s", unended)
            connection.drop()
        finally:
            connection.give_back()
