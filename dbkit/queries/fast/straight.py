"""Statements on their way straight to the driver's cursor: compiled once, without SQLAlchemy's Connection between.

They go through the compiler of the block's own dialect, so the rules of tables count; they are sent on the block's own
connection, so ownership, BEGIN, COMMIT and the translation of errors are the same. Where a connection has something to
look at, such as a deadline or a reader inside a writer, they take the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Dialect
from sqlalchemy.event.attr import _EmptyListener
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import TypeDecorator, UserDefinedType

from dbkit.engines.connection import TrackedConnection
from dbkit.engines.record import Record
from dbkit.engines.statements import needs_transaction
from dbkit.engines.variant import KEPT
from dbkit.engines.watch import Watch
from dbkit.filters.owning import OWNED
from dbkit.queries.fast.listening import AFTER_BEGIN, ORM_EXECUTE, is_overheard
from dbkit.transaction.transaction import Transaction

_NEVER = Watch.DOOMED | Watch.READING
_OWN_TYPES = (TypeDecorator, UserDefinedType)
"""Types whose values may be bound otherwise at another moment."""
_COSTLY_CURSORS = frozenset({"psycopg"})
"""Drivers to which a cursor costs as much as half a statement, and that let one be used for many statements."""
Values = Mapping[str, Any]
T = TypeVar("T")


class Text:
    """A statement as one dialect writes it.

    :ivar bind: makes the driver's parameters of values by name; a name that is missing is a ``KeyError``.
    :ivar columns: what SQLAlchemy has compiled of the columns that come back. Not all that it has compiled: that would
        keep the dialect for which this is forgotten, see :class:`Kept`.
    :ivar description: what the driver says of the columns, since the first answer.
    :ivar keeps_cursor: the driver takes long to make a cursor, so that a connection keeps one.
    """

    __slots__ = ("bind", "columns", "description", "keeps_cursor", "sql")

    def __init__(self, sql: str, bind: Callable[[Values], Any], columns: Any, driver: str = "") -> None:
        self.sql = sql
        self.keeps_cursor = driver in _COSTLY_CURSORS
        self.bind = bind
        self.columns = columns
        self.description: Any = None


class Kept(Generic[T]):
    """What is made once for each dialect, and kept by it: each event loop and each reload has others.

    What is made of a type may refer to the dialect; the two vanish together, but for those that were asked for last.

    :ivar last: the dialect that was asked for last, and what was made for it; looked at without a call.
    """

    __slots__ = ("__weakref__", "_make", "last")

    def __init__(self, make: Callable[[Dialect], T]) -> None:
        self._make = make
        self.last: tuple[Dialect | None, Any] = (None, None)

    def of(self, dialect: Dialect) -> T:
        """Return what belongs to a dialect, made on the first call."""
        made: WeakKeyDictionary[Kept[Any], Any] = dialect.__dict__.setdefault(KEPT, WeakKeyDictionary())
        if self in made:
            found: T = made[self]
        else:
            found = made[self] = self._make(dialect)
        self.last = (dialect, found)
        return found


def straight_connection(transaction: Transaction) -> TrackedConnection | None:
    """Return the connection of a block, begun; None where the ordinary way must be taken."""
    connection = transaction.connection
    if connection is None:
        connection = transaction.make_connection()
    if ORM_EXECUTE or AFTER_BEGIN:
        return None
    session = transaction.session
    if session is not None:
        if is_overheard(session):
            return None
        if session._nested_transaction is not None:
            session.connection()  # it sends SAVEPOINT with its own next statement; this one must not be before it
    if connection.__class__ is not TrackedConnection or connection._echo or connection._execution_options:
        return None
    dialect: Any = connection.dialect
    if connection._has_events or connection.engine._has_events or "do_execute" in connection.engine.dialect.__dict__:
        return None  # somebody looks at what is sent: a listener, or a test
    if dialect.dispatch.do_execute.__class__ is not _EmptyListener:
        return None
    watch = connection.watch
    if watch:
        if watch & _NEVER:
            return None
        if watch & Watch.UNOPENED:
            connection.begin_alone()
    elif not connection.has_begun and connection._transaction is None:
        connection.begin_alone()
    return connection


def has_objects(session: Any) -> bool:
    """Return whether a session holds objects, with which what is read or written past it would have to agree."""
    return bool(session._new or session._deleted or session.identity_map._dict)


def text_of(statement: Any, dialect: Dialect, looked_at: frozenset[str] = frozenset()) -> Text | None:
    """Return a statement as a dialect writes it; None if it can't be sent without SQLAlchemy's help at each execution.

    Such are an IN with a list that is bound, and a statement that wants a cursor of its own kind.

    :param looked_at: the names of the rules by which the caller looks itself at whose the rows are that it writes.
    """
    if needs_transaction(statement) or statement.get_execution_options():
        return None
    return text_in(statement.compile(dialect=dialect), looked_at)


def text_in(compiled: Any, looked_at: frozenset[str] = frozenset()) -> Text | None:
    """Return a statement as SQLAlchemy has compiled it; None if it needs help at each execution."""
    if compiled.literal_execute_params or compiled.post_compile_params:
        return None
    if compiled.insert_prefetch or compiled.update_prefetch:
        return None  # a default that SQLAlchemy calls at each execution
    if not {each.tenant.name for each in compiled.__dict__.get(OWNED, ())} <= looked_at:
        return None
    return Text(compiled.string, _binder(compiled), compiled._result_columns, compiled.dialect.driver)


def _binder(compiled: Any) -> Callable[[Values], Any]:
    """Return the function that makes parameters: one expression, so that a value costs no call but its own."""
    places: dict[str, Any] = {}
    parts: dict[str, str] = {}
    escaped = compiled.escaped_bind_names or {}
    for parameter, name in compiled.bind_names.items():
        process = compiled._bind_processors.get(name)
        number = len(places)
        places[f"n{number}"] = parameter.key
        if parameter.callable is not None:
            places[f"k{number}"] = parameter.callable
            source = f"k{number}()"
        elif parameter.required:
            source = f"v[n{number}]"
        elif parameter.unique and not isinstance(parameter.type, _OWN_TYPES):
            places[f"k{number}"] = parameter.value if process is None else process(parameter.value)
            source, process = f"k{number}", None
        else:
            places[f"k{number}"] = parameter.value
            source = f"k{number}"
        if not (parameter.required or parameter.unique):  # the caller may give another value than its own
            source = f"(v[n{number}] if n{number} in v else {source})"
        if process is not None:
            places[f"p{number}"] = process
            source = f"p{number}({source})"
        parts[escaped.get(name, name)] = source
    if compiled.positional:
        written = "".join(f"{parts[escaped.get(name, name)]}, " for name in compiled.positiontup)
        body = f"({written})"
    else:
        for number, name in enumerate(parts):
            places[f"d{number}"] = name
        body = "{" + ", ".join(f"d{number}: {part}" for number, part in enumerate(parts.values())) + "}"
    made: Callable[[Values], Any] = eval(f"lambda v: {body}", places)
    return made


def send(connection: TrackedConnection, text: Text, parameters: Any) -> Sequence[Any]:
    """Send a statement that answers with rows, and return them all.

    :param parameters: as the text has bound them.
    :raises DBError: the database refused.
    """
    sql = text.sql
    cursor: Any = None
    try:
        proxy: Any = connection._dbapi_connection
        if text.keeps_cursor:
            kept = take_cursor(proxy._connection_record, proxy.dbapi_connection, sql)
            cursor = kept.cursor
            kept.execute(parameters)
        else:
            cursor = proxy.dbapi_connection.cursor()
            cursor.execute(sql, parameters)
        rows: Sequence[Any] = cursor.fetchall()
        if text.description is None:
            text.description = cursor.description
        if text.keeps_cursor and not rows[1:]:
            leave_cursor(proxy._connection_record, sql, kept)
        else:
            cursor.close()
    except BaseException as error:
        failed(connection, error, sql, parameters, cursor)
    connection.used = True
    return rows


class KeptCursor:
    """A cursor of psycopg that a pooled connection keeps for one statement.

    For a string that is the same object as before, psycopg goes on with what it has worked out for the session's
    encoding, time zone and styles of dates. The server tells the driver of each change of these.

    :ivar native: the DBAPI connection that has made it.
    """

    __slots__ = ("_manners", "_psycopgs", "_sql", "_tell", "cursor", "native")

    def __init__(self, native: Any, sql: str) -> None:
        self.native = native
        self.cursor = native.cursor()
        self._psycopgs = getattr(self.cursor, "_cursor", self.cursor)  # in SQLAlchemy's adapter, in asyncio
        self._sql = sql
        self._tell = getattr(native, "driver_connection", native).pgconn.parameter_status
        self._manners: Any = None

    def execute(self, parameters: Any) -> None:
        """Execute the statement."""
        tell, sql = self._tell, self._sql
        manners = (tell(b"client_encoding"), tell(b"TimeZone"), tell(b"DateStyle"), tell(b"IntervalStyle"))
        if manners != self._manners:
            self._manners = manners
            sql = sql[:1] + sql[1:]  # another object
        self.cursor.execute(sql, parameters)

    def let_go(self) -> None:
        """Let go of the rows and values of the last execution; psycopg does so itself only with the next."""
        psycopgs = self._psycopgs
        psycopgs._reset()
        psycopgs._tx.set_pgresult(None)


def take_cursor(record: Record | None, native: Any, sql: str) -> KeptCursor:
    """Return the cursor that a pooled connection keeps for a statement, taken from it until it is left there again.

    :param record: the pool's; None if the connection was detached from it. Then, as where none is kept, it is made.
    """
    if record is not None:
        kept: KeptCursor | None = record.kept.pop(sql, None)
        if kept is not None and kept.native is native:
            return kept
    return KeptCursor(native, sql)


def leave_cursor(record: Record | None, sql: str, kept: KeptCursor) -> None:
    """Leave a cursor to the connection."""
    if record is None:
        kept.cursor.close()
    else:
        kept.let_go()
        record.keep(sql, kept)


def send_change(connection: TrackedConnection, text: Text, parameters: Any) -> int:
    """Send a statement that changes rows; return how many it has found.

    :param parameters: as the text has bound them.
    :raises DBError: the database refused.
    """
    sql = text.sql
    cursor: Any = None
    try:
        proxy: Any = connection._dbapi_connection
        if text.keeps_cursor:
            kept = take_cursor(proxy._connection_record, proxy.dbapi_connection, sql)
            cursor = kept.cursor
            kept.execute(parameters)
        else:
            cursor = proxy.dbapi_connection.cursor()
            cursor.execute(sql, parameters)
        count: int = cursor.rowcount
        if text.keeps_cursor:
            leave_cursor(proxy._connection_record, sql, kept)
        else:
            cursor.close()
    except BaseException as error:
        failed(connection, error, sql, parameters, cursor)
    connection.used = True
    return count


def send_new(connection: TrackedConnection, text: Text, parameters: Any) -> Any:
    """Send an INSERT of one row; return the number that the driver says the database has given it.

    :param parameters: as the text has bound them.
    :raises DBError: the database refused.
    """
    sql = text.sql
    cursor: Any = None
    try:
        cursor = connection._dbapi_connection.dbapi_connection.cursor()  # type: ignore[union-attr]
        cursor.execute(sql, parameters)
        number = cursor.lastrowid
        cursor.close()
    except BaseException as error:
        failed(connection, error, sql, parameters, cursor)
    connection.used = True
    return number


def failed(connection: TrackedConnection, error: BaseException, sql: str, parameters: Any, cursor: Any) -> NoReturn:
    """Raise what SQLAlchemy would have made of a driver's error; the transaction goes on as an ordinary one."""
    connection.adopt()
    connection._handle_dbapi_exception(error, sql, parameters, cursor, None)
    raise error  # it has raised


def is_plain(value: Any) -> bool:
    """Return whether a value is one, and no SQL expression."""
    return not isinstance(value, ClauseElement) and not hasattr(value, "__clause_element__")
