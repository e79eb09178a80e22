"""Transactions for code without a context object: one Database, known by name.

.. code-block:: python

    db = dbkit.Database("sqlite:///app.db")

    @db.writer
    def transfer(source, target, amount):
        db.session.get(Account, source).balance -= amount
        db.session.get(Account, target).balance += amount
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from oslo_config import cfg
from sqlalchemy.engine import URL, Engine
from sqlalchemy.orm import Session

from dbkit.ambient import CURRENT
from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.engines.connection import TrackedConnection
from dbkit.engines.settings import EngineSettings
from dbkit.exceptions import NoTransaction
from dbkit.spec import Colour, Handle, Mode, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.decorate import decorate
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.hooks import Hook, UnknownHook
from dbkit.transaction.manager import Databased, Modifiers, Root
from dbkit.transaction.retrying import refuse_blocks_that_are_run_again
from dbkit.transaction.scope import Scope, nearest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseManager(Modifiers):
    """A reader or writer of one Database: a decorator, and a maker of blocks."""

    __slots__ = ()

    @overload
    def __call__(self) -> Block: ...

    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R]: ...

    def __call__(self, function: Callable[..., Any] | None = None) -> Any:
        """Make a function a block; without one, return a block for ``with`` or ``async with``.

        :raises InvalidDecoration: a generator function.
        :raises UsageError: a block of ``.retrying()``, which cannot be run again.
        """
        if function is None:
            refuse_blocks_that_are_run_again(self.spec)
            return Block(self._root.factory, self._root.factory, self.spec)
        return decorate(function, self.spec, self._root, lambda function: None)


class Database(Databased):
    """One database, for blocking code and for asyncio.

    Nothing is opened before the first statement.

    :param url: a SQLAlchemy URL; None reads ``[database] connection`` and the environment.
    :param settings: settings by name, stronger than the configuration; see the table of settings.
    :raises UnknownSetting: there is no such setting; the text offers the nearest.

    .. versionadded:: 0.1
    """

    __slots__ = ("_root", "reader", "writer")

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        conf: cfg.ConfigOpts | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Any,
    ) -> None:
        factory = Factory(url, conf=conf, clock=clock)
        factory.configure(**settings)
        self._root = Root(factory)
        #: A block that writes.
        self.writer = DatabaseManager(self._root, TransactionSpec(mode=Mode.WRITER))
        #: A block that only reads.
        self.reader = DatabaseManager(self._root, TransactionSpec(mode=Mode.READER))

    @classmethod
    def from_config(cls, conf: cfg.ConfigOpts, **settings: Any) -> Database:
        """Return the database that a configuration's ``[database]`` section describes."""
        return cls(conf=conf, **settings)

    @property
    def _dbkit_key(self) -> Factory:
        """What its blocks have in common, as that of a context object."""
        return self._root.factory

    # -- handles of the open block ------------------------------------------------------------------------------------

    @property
    def current(self) -> Scope:
        """The innermost open block.

        :raises NoTransaction: there is none.
        """
        scope: Scope | None = CURRENT.get()
        factory = self._root.factory
        if scope is not None and (scope.key is not factory or not scope.is_open):
            scope = nearest(scope.outer, factory)
        if scope is None:
            raise NoTransaction(
                "no block of this database is open here; call this inside a function decorated with db.reader or "
                "db.writer, or inside `with db.writer() as session:`"
            )
        return scope

    @property
    def session(self) -> Session:
        """The open block's session; raises what :attr:`current` does."""
        scope: Scope | None = CURRENT.get()
        if scope is not None and scope.key is self._root.factory and scope.is_open and scope.owner == get_ident():
            transaction = scope.root.transaction
            if transaction is not None and transaction.session is not None and scope.spec.handle is Handle.SESSION:
                return transaction.session  # by far the commonest case, without a further call
        return self.current.session

    @property
    def connection(self) -> TrackedConnection:
        """The open block's connection; raises what :attr:`current` does."""
        return self.current.connection

    @property
    def async_session(self) -> AsyncSession:
        """The open asyncio block's session; raises what :attr:`current` does."""
        return self.current.async_session

    @property
    def async_connection(self) -> AsyncConnection:
        """The open asyncio block's connection; raises what :attr:`current` does."""
        return self.current.async_connection

    def after_commit(self, hook: Hook) -> None:
        """Run a function once, when the open transaction is known to be committed; raises as :attr:`current`."""
        self.current.after_commit(hook)

    def after_rollback(self, hook: Hook) -> None:
        """Run a function once, when the open transaction is known to be rolled back; raises as :attr:`current`."""
        self.current.after_rollback(hook)

    def after_unknown(self, hook: UnknownHook) -> None:
        """Run a function once, with the token, when it is not known whether the open transaction is stored.

        The token is None where none was written; raises as :attr:`current`.
        """
        self.current.after_unknown(hook)

    @property
    def commit_token(self) -> str | None:
        """The token that COMMIT will carry, see :attr:`.Scope.commit_token`; raises as :attr:`current`."""
        return self.current.commit_token

    # -- the database as a whole --------------------------------------------------------------------------------------

    @property
    def settings(self) -> EngineSettings:
        """The settings in force, each with its origin."""
        return self.factory.settings

    @property
    def engine(self) -> Engine:
        """The blocking engine of writers, for what blocks do not serve, such as creating tables."""
        return self.factory.lane(True, Colour.BLOCKING).engine

    @property
    def async_engine(self) -> AsyncEngine:
        """The running event loop's engine of writers."""
        engine = self.factory.lane(True, Colour.ASYNCIO).async_engine
        assert engine is not None
        return engine

    def dispose(self) -> None:
        """Close the idle blocking connections; those in use are closed when they come back."""
        self.factory.dispose()

    async def adispose(self) -> None:
        """Close the idle connections of the running event loop; those in use are closed when they come back."""
        await in_task(self.factory.dispose_asyncio)

    def reload(self) -> None:
        """Read the settings anew: later transactions use new engines, open ones end on the old.

        :raises InvalidSetting: a value is wrong, and so on; then the old ones stay in force.
        """
        self.factory.reload()

    def __repr__(self) -> str:
        if not self.is_started:
            return "<Database, not used yet>"
        return f"<Database {self.settings.masked_url}>"
