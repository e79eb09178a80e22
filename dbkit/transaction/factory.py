"""What gives transactions their engines: one database, its settings, its engines in both colours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

from oslo_config import cfg
from sqlalchemy.engine import URL
from sqlalchemy.util import await_only

from dbkit.backends.base import Backend
from dbkit.backends.registry import backend_for
from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.deadline import LIMIT
from dbkit.engines.create import EngineMaker, Engines, Lane, create_engines
from dbkit.engines.probe import probing
from dbkit.engines.settings import EngineSettings
from dbkit.engines.settings_values import setting_named
from dbkit.engines.translate import raise_typed
from dbkit.exceptions import AlreadyStartedError
from dbkit.plan import drive
from dbkit.retry.budget import RetryBudget
from dbkit.retry.statistics import RetryCounters
from dbkit.spec import Colour
from dbkit.transaction.hooks import Hook
from dbkit.transaction.replay.counts import Replays

HookTaker = Callable[[Hook, bool], Hook]
"""What is given each hook that is registered, and whether it waits for COMMIT; it returns the one that is kept."""


class Factory:
    """One database as transactions see it.

    Nothing is resolved or opened before the first transaction needs it. Blocking engines serve the whole process;
    asyncio engines serve one event loop each, because their connections belong to it.

    :param url: overrides what the configuration says.
    :param conf: the oslo.config object to read; ``cfg.CONF`` if None is given and there is no ``url``.
    :param overrides: settings by name, stronger than the configuration.
    :param make_engines: makes the engines of a colour when they are first needed.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        conf: cfg.ConfigOpts | None = None,
        overrides: Mapping[str, Any] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        make_engines: EngineMaker = create_engines,
    ) -> None:
        self._url = url
        self._make_engines = make_engines
        self._conf = conf
        self._overrides: dict[str, Any] = dict(overrides or {})
        self._defaults: dict[str, Any] = {}
        self.clock = clock
        """Time and chance for all that belongs to this database."""
        self.retry_budget = RetryBudget(clock)
        self.retry_counters = RetryCounters()
        self._lock = threading.RLock()
        self._settings: EngineSettings | None = None
        self._backend: Backend | None = None
        self._anchor: object | None = None
        self._blocking: Engines | None = None
        self._asyncio: dict[asyncio.AbstractEventLoop, Engines] = {}
        self.has_stale = False
        """A reload has left connections of event loops that are to be closed."""
        self._stale: dict[asyncio.AbstractEventLoop, list[Engines]] = {}
        self._followers: tuple[Callable[[Engines], object], ...] = ()
        self._takers: tuple[HookTaker, ...] = ()
        self.reached = False
        """A connection was made once."""
        self.is_ready = False
        """The settings are resolved; said by an attribute, because a property would cost a call."""
        self.expires = False
        """``expire_on_commit``: what a block loaded expires at its end."""
        self.rolls_back_readers = False
        """``rollback_reader_sessions``: what a reader loaded expires at its end."""
        self.protects = False
        """``exactly_once`` or ``replay``: every block is protected."""
        self.replays = Replays()
        """Counts the transactions that were repeated on another connection, and compares their answers."""
        self.flushes_joined = False
        """``flush_on_subtransaction``: a block that joined another flushes at its end."""

    # -- settings -----------------------------------------------------------------------------------------------------

    @property
    def is_started(self) -> bool:
        """Whether the settings are resolved, and so fixed."""
        return self._settings is not None

    def configure(self, **overrides: Any) -> None:
        """Set values that are stronger than the configuration.

        :raises AlreadyStartedError: the engines were started with other values.
        :raises UnknownSetting: there is no such setting.
        """
        self._refuse_if_started()
        _check_names(overrides)
        self._overrides.update(overrides)

    def configure_defaults(self, **defaults: Any) -> None:
        """Set values that apply where the configuration says nothing; raises what :meth:`configure` does."""
        self._refuse_if_started()
        _check_names(defaults)
        self._defaults.update(defaults)

    @property
    def configuration(self) -> tuple[object, Mapping[str, Any], Mapping[str, Any]]:
        """What the settings are read from, but for what says where the database is; equal where factories are alike."""
        conf = cfg.CONF if self._conf is None and self._url is None else self._conf
        return conf, _without_place(self._overrides), dict(self._defaults)

    def elsewhere(self, url: str | URL, make_engines: EngineMaker = create_engines, **overrides: Any) -> Factory:
        """Return a factory that is configured like this one, for another database.

        :param overrides: settings that it has over those of this one.
        """
        conf, own, defaults = self.configuration
        made = Factory(
            url,
            conf=cast(cfg.ConfigOpts | None, conf),
            overrides={**own, **overrides},
            clock=self.clock,
            make_engines=make_engines,
        )
        made.configure_defaults(**defaults)
        return made

    def _refuse_if_started(self) -> None:
        if self.is_started:
            raise AlreadyStartedError(
                "this TransactionFactory is already started; configure it before its first transaction, or use reload()"
            )

    @property
    def settings(self) -> EngineSettings:
        """The settings, resolved on the first call.

        :raises CantStartEngineError: no URL was given anywhere.
        :raises InvalidSetting: a value is wrong.
        """
        settings = self._settings
        return self.start() if settings is None else settings

    def start(self) -> EngineSettings:
        """Resolve the settings if they are not, and return them; raises what :attr:`settings` does."""
        with self._lock:
            if self._settings is None:
                self._adopt(self._resolve())
            assert self._settings is not None
            return self._settings

    def _resolve(self) -> EngineSettings:
        conf = cfg.CONF if self._conf is None and self._url is None else self._conf
        return EngineSettings.resolve(url=self._url, conf=conf, overrides=self._overrides, defaults=self._defaults)

    def _adopt(self, settings: EngineSettings) -> None:
        backend = backend_for(settings.connection.get_backend_name())
        self._anchor = backend.anchor(settings.connection)
        self._backend = backend
        self.expires = settings.expire_on_commit
        self.rolls_back_readers = settings.rollback_reader_sessions
        self.flushes_joined = settings.flush_on_subtransaction
        self.protects = settings.exactly_once or settings.replay
        self._settings = settings
        self.is_ready = True

    @property
    def backend(self) -> Backend:
        """The database product."""
        if self._backend is None:
            self.start()
        assert self._backend is not None
        return self._backend

    # -- engines ------------------------------------------------------------------------------------------------------

    def engines(self, colour: Colour) -> Engines:
        """Return the engines of a colour; those of asyncio are the running event loop's.

        :raises DriverMissing: the colour's driver is not installed.
        """
        if colour is Colour.BLOCKING:
            engines = self._blocking
            return self._make_blocking() if engines is None else engines
        loop = asyncio.get_running_loop()
        engines = self._asyncio.get(loop)
        return self._make_asyncio(loop) if engines is None else engines

    def _make_blocking(self) -> Engines:
        with self._lock:
            if self._blocking is None:
                self._blocking = self._create(Colour.BLOCKING)
            return self._blocking

    def _make_asyncio(self, loop: asyncio.AbstractEventLoop) -> Engines:
        with self._lock:
            for ended in [each for each in (*self._asyncio, *self._stale) if each.is_closed()]:
                # nothing can be sent through a closed loop
                for engines in (*self._stale.pop(ended, ()), *filter(None, [self._asyncio.pop(ended, None)])):
                    engines.abandon()
            engines = self._asyncio[loop] = self._create(Colour.ASYNCIO)
            return engines

    def _create(self, colour: Colour) -> Engines:
        url = self.settings.url_for(colour)
        assert url is not None
        made = self._make_engines(self.settings, self.backend, url, colour, self.clock)
        for follower in self._followers:
            follower(made)
        return made

    def lane(self, writes: bool, colour: Colour) -> Lane:
        """Return the engine for writers or readers of a colour; raises what :meth:`engines` does."""
        engines = (colour is Colour.BLOCKING and self._blocking) or self.engines(colour)
        return engines.writer if writes else engines.reader

    def reach(self, lane: Lane, colour: Colour) -> Any:
        """Make the first connection, trying for as long as the settings say; return it.

        :raises DBConnectionError: the database stayed out of reach.
        """
        settings = self.settings

        def connect() -> Any:
            try:
                return lane.engine.pool.connect()
            except BaseException as error:
                raise_typed(lane.backend, lane.engine, error)

        sleep: Callable[[float], Any] = self.clock.sleep if colour is Colour.BLOCKING else self.sleep_in_greenlet
        connection = drive(
            probing(
                connect, sleep, settings.max_retries, float(settings.retry_interval), settings.masked_url, LIMIT.get()
            )
        )
        self.reached = True
        return connection

    def pause(self, seconds: float, colour: Colour) -> None:
        """Wait, in code that is written once for both colours."""
        if colour is Colour.BLOCKING:
            self.clock.sleep(seconds)
        else:
            self.sleep_in_greenlet(seconds)

    def sleep_in_greenlet(self, seconds: float) -> None:
        """Suspend the current task in blocking-style code; call it inside SQLAlchemy's greenlet."""
        await_only(self.clock.asleep(seconds))

    # -- for those who look on ----------------------------------------------------------------------------------------

    def follow(self, follower: Callable[[Engines], object]) -> Callable[[], None]:
        """Tell someone of the engines that there are, and of each that is made later.

        :returns: what ends it.
        """
        with self._lock:
            known = [*filter(None, [self._blocking]), *self._asyncio.values()]
            known += [engines for each in self._stale.values() for engines in each]
            for engines in known:
                follower(engines)
            self._followers = (*self._followers, follower)
        return lambda: self._forget(follower, None)

    def take_hooks(self, taker: HookTaker) -> Callable[[], None]:
        """Let someone have each hook that is registered from now on; of several, the last one.

        :returns: what ends it.
        """
        with self._lock:
            self._takers = (*self._takers, taker)
        return lambda: self._forget(None, taker)

    def _forget(self, follower: object, taker: object) -> None:
        with self._lock:
            self._followers = tuple(each for each in self._followers if each is not follower)
            self._takers = tuple(each for each in self._takers if each is not taker)

    def admit(self, hook: Hook, waits_for_commit: bool) -> Hook:
        """Return the hook that is to be kept for one that is being registered: usually itself."""
        return self._takers[-1](hook, waits_for_commit) if self._takers else hook

    # -- letting go ---------------------------------------------------------------------------------------------------

    def dispose(self) -> None:
        """Close the idle blocking connections; those in use are closed when they come back."""
        with self._lock:
            engines = self._blocking
        if engines is not None:
            engines.dispose()

    def dispose_asyncio(self) -> None:
        """Close the idle connections of the running event loop; call it inside SQLAlchemy's greenlet."""
        self.dispose_stale()
        engines = self._asyncio.get(asyncio.get_running_loop())
        if engines is not None:
            engines.dispose()

    def dispose_stale(self) -> None:
        """Close what :meth:`reload` has left of the running event loop; call it inside SQLAlchemy's greenlet."""
        for engines in self._stale.pop(asyncio.get_running_loop(), ()):
            engines.dispose()

    def reload(self) -> None:
        """Read the settings anew; the next transaction uses them, and those that are open end on the old ones.

        The old connections are closed: blocking ones that are idle at once, those in use when they come back, those of
        an event loop with its next transaction. If the new settings are wrong, the old ones stay in force.

        :raises InvalidSetting: a value is wrong; so do the other errors of :attr:`settings`.
        """
        with self._lock:
            old, new = self.settings, self._resolve()
            if _is_unnamed(old.connection) and _is_unnamed(new.connection):
                new = new.on_database(old.connection.database)  # the same one in memory, which was given another name
            self._adopt(new)
            blocking, self._blocking = self._blocking, None
            for loop, engines in self._asyncio.items():
                engines.retire()
                self._stale.setdefault(loop, []).append(engines)
            self.has_stale = bool(self._stale)
            self._asyncio.clear()
            self.reached = False
        if blocking is not None:
            blocking.dispose()


def _is_unnamed(url: URL) -> bool:
    return backend_for(url.get_backend_name()).is_unnamed(url)


_PLACE = frozenset(
    {
        "connection", "connection_parameters", "asyncio_connection", "replica_connection",
        "asyncio_replica_connection", "slave_connection", "asyncio_slave_connection", "credentials",
    }
)  # fmt: skip
"""The settings that say where the database is, and who logs in there."""


def _without_place(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in _PLACE}


def _check_names(names: Mapping[str, Any]) -> None:
    for name in names:
        setting_named(name)
