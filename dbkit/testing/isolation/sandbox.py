"""What a test has in its hands while it is isolated, and the ``with`` and ``async with`` that give it."""

from __future__ import annotations

import asyncio
import difflib
from _thread import get_ident
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL, Engine

from dbkit.database import Database
from dbkit.exceptions import UsageError
from dbkit.spec import Colour
from dbkit.testing.isolation.databases import WorkerDatabase
from dbkit.testing.isolation.errors import IsolationBroken
from dbkit.testing.isolation.ownership import Owners
from dbkit.testing.isolation.stages import Stage
from dbkit.testing.isolation.strategies import STRATEGIES, Ground, Strategy
from dbkit.transaction.greenlets import to_the_end
from dbkit.transaction.manager import Databased

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class Sandbox:
    """An isolated database, for the time of a test.

    :ivar strategy: ``"rollback"``, ``"clone"``, ``"truncate"`` or ``"none"``.
    :ivar database: a :class:`dbkit.Database` on it.

    .. versionadded:: 0.1
    """

    def __init__(self, strategy: Strategy, stage: Stage) -> None:
        self.strategy = strategy.name
        self.database: Database = stage.database
        self._strategy = strategy
        self._stage = stage
        self._owners: Owners | None = None
        self._resets: list[Callable[[], None]] = []

    def url(self, driver: str | None = None) -> URL:
        """Return the URL of the database.

        With ``rollback`` it is a way out of the sandbox: what connects to it by itself does not see what the test has
        stored, and what it stores there stays. With ``clone`` it is the URL of the copy.

        :param driver: as SQLAlchemy names it; None leaves the choice to whoever reads the URL.
        """
        return self._strategy.url(driver)

    @property
    def engine(self) -> Engine:
        """A blocking engine for code that opens no blocks.

        With ``rollback``, each ``begin`` on it is a savepoint, so that ``commit`` and ``rollback`` do what they say and
        the test's end undoes it all. It is the engine of writers of :attr:`database`, and outlives the test: take off
        what you listen to.
        """
        return self.database.engine

    @property
    def async_engine(self) -> AsyncEngine:
        """The same for the running event loop."""
        return self.database.async_engine

    def patch(self, manager: Databased) -> None:
        """Let a manager or Database, and the functions that it decorates, work here until the test ends."""
        self._resets.append(manager.patch_factory(self._stage.factory))

    def layer(self) -> Layer:
        """Return what undoes a part of the test by itself, for ``with`` or ``async with``; only with ``rollback``.

        What was stored before it stays: rows that many tests need are stored once, in a sandbox around all of them, and
        each test has a layer. The managers stay patched. Layers may be nested.

        .. code-block:: python

            with isolated(database, managers=[db]) as sandbox:
                store_what_all_need()
                for test in tests:
                    with sandbox.layer():
                        test()
        """
        return Layer(self._strategy, self._stage)

    # -- who may use the one connection of a test that is rolled back -----------------------------------------------

    def allow(self, user: Any) -> None:
        """Let a thread or an asyncio task use the test's connection; it waits while a block of another one is open.

        A thread may be given before it starts. With the other strategies each user has connections of its own anyway.

        :param user: a ``threading.Thread`` or its ident, or an ``asyncio.Task``.
        :raises UsageError: it is something else.
        """
        if self._owners is not None:
            self._owners.allow(user)

    def allow_all(self) -> None:
        """Let every thread, or every task of the event loop, use the test's connection; blocks wait for each other."""
        if self._owners is not None:
            self._owners.allow_all()

    def adopt(self) -> None:
        """Make the running thread or task the owner: for fixtures that run in another one than their test.

        An owner that has ended is succeeded by the next one that comes, without being asked.
        """
        if self._owners is not None:
            self._owners.hand_over(_whoever_runs())

    # -- the end ------------------------------------------------------------------------------------------------------

    def hold(self, owners: Owners | None) -> None:
        """Note whom the strategy lets in."""
        self._owners = owners

    def let_go(self) -> None:
        """Let the managers go back to where they were."""
        while self._resets:
            self._resets.pop()()

    def __repr__(self) -> str:
        return f"<Sandbox by {self.strategy} on {self._stage.factory.settings.masked_url}>"


class Layer:
    """A part of a test that is yet to begin; see :meth:`Sandbox.layer`."""

    def __init__(self, strategy: Strategy, stage: Stage) -> None:
        self._strategy = strategy
        self._stage = stage

    def __enter__(self) -> None:
        self._strategy.open_layer(self._stage, Colour.BLOCKING)

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        _tell(self._strategy.close_layer(self._stage, Colour.BLOCKING), error)

    async def __aenter__(self) -> None:
        self._strategy.open_layer(self._stage, Colour.ASYNCIO)

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        found = await to_the_end(lambda: self._strategy.close_layer(self._stage, Colour.ASYNCIO))
        _tell(found, error)


class Isolation:
    """A sandbox that is yet to be entered, once, by ``with`` or by ``async with``."""

    def __init__(self, strategy: Strategy, managers: Sequence[Databased]) -> None:
        self._strategy = strategy
        self._managers = managers
        self._stage: Stage | None = None
        self._sandbox: Sandbox | None = None

    def __enter__(self) -> Sandbox:
        stage = self._stage = self._open()
        try:
            return self._enter(stage, Colour.BLOCKING)
        except BaseException:
            self._strategy.close(stage, None)
            raise

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        stage, strategy = self._leave(), self._strategy
        found: IsolationBroken | None = None
        try:
            found = strategy.stop(stage, Colour.BLOCKING)
        finally:
            strategy.close(stage, found)
        _tell(found, error)

    async def __aenter__(self) -> Sandbox:
        stage = self._stage = self._open() if self._strategy.is_quick else await asyncio.to_thread(self._open)
        try:
            await stage.watch_loop()
            return self._enter(stage, Colour.ASYNCIO)
        except BaseException:
            self._strategy.close(stage, None)
            raise

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        stage, strategy = self._leave(), self._strategy
        found: IsolationBroken | None = None
        try:
            found = await to_the_end(lambda: strategy.stop(stage, Colour.ASYNCIO))
        finally:
            if strategy.is_quick:
                strategy.close(stage, found)
            else:
                await asyncio.to_thread(strategy.close, stage, found)
        _tell(found, error)

    def _open(self) -> Stage:
        if self._stage is not None:
            raise UsageError("a sandbox is entered once; write isolated(...) into each with statement")
        return self._strategy.open()

    def _enter(self, stage: Stage, colour: Colour) -> Sandbox:
        sandbox = self._sandbox = Sandbox(self._strategy, stage)
        sandbox.hold(self._strategy.start(stage, colour))
        for manager in self._managers:
            sandbox.patch(manager)
        return sandbox

    def _leave(self) -> Stage:
        assert self._stage is not None and self._sandbox is not None
        self._sandbox.let_go()
        return self._stage


def isolated(
    database: WorkerDatabase | URL | str,
    strategy: str = "rollback",
    *,
    managers: Sequence[Databased] = (),
    driver: str | None = None,
    **settings: Any,
) -> Isolation:
    """Return what isolates a test, for ``with`` or ``async with``, which bind a :class:`Sandbox`.

    .. code-block:: python

        with isolated(template.worker_database(), managers=[db]) as sandbox:
            create_account(...)              # decorated with db.writer: commits as in production
        # and nothing of it is left

    The strategies:

    * ``rollback``: one connection, inside a transaction that is rolled back at the end; the transactions of the code
      under test are savepoints. By far the quickest.
    * ``clone``: a database of its own, dropped at the end; for tests whose threads must work at the same time, and
      for tests that change the schema.
    * ``truncate``: transactions are real, and what was stored is deleted at the end.
    * ``none``: transactions are real, and what was stored stays.

    :param database: such as ``template.worker_database()``; ``rollback`` and ``none`` can do with a URL.
    :param managers: managers of enginefacade and Database objects that the code under test uses; they work in the
        sandbox, with the settings of the first one, and go back to their own database at the end.
    :param driver: the driver, as SQLAlchemy names it; None takes that of the first manager if it has been used, and
        else the product's usual one.
    :param settings: settings over those of the first manager.
    :raises UsageError: there is no such strategy, it needs more than a URL, or it was called ``isolation``.

    .. versionadded:: 0.1
    """
    if "isolation" in settings:
        raise UsageError(
            "isolated() has no argument isolation; the way of isolation is its second argument, strategy: "
            f"isolated(database, {settings['isolation']!r})"
        )
    try:
        made = STRATEGIES[strategy]
    except KeyError:
        near = difflib.get_close_matches(str(strategy), STRATEGIES, n=1)
        advice = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"there is no isolation strategy {strategy!r}; {advice}there are {', '.join(STRATEGIES)}"
        ) from None
    return Isolation(made(Ground(database, managers, driver, settings)), managers)


def _whoever_runs() -> Any:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return get_ident() if task is None else task


def _tell(broken: IsolationBroken | None, error: BaseException | None) -> None:
    """Raise what has broken the isolation, unless the test has failed anyway: then its error says so too."""
    if broken is None:
        return
    if error is None:
        raise broken
    if not isinstance(error, IsolationBroken):
        error.add_note(str(broken))
