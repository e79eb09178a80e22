"""The four ways in which a test leaves nothing to the next one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from sqlalchemy.engine import URL, make_url

from dbkit.exceptions import UsageError
from dbkit.spec import Colour
from dbkit.testing.isolation.databases import WorkerDatabase
from dbkit.testing.isolation.errors import IsolationBroken, LeftInUse
from dbkit.testing.isolation.ownership import Owners, current_user, name_of
from dbkit.testing.isolation.stages import STAGES, Stage
from dbkit.transaction.factory import Factory
from dbkit.transaction.manager import Databased


class Ground:
    """What a test is to work on: a database of tests, or just a URL, and how its blocks are configured.

    :param managers: what the code under test uses; the first one's settings apply.
    """

    def __init__(
        self,
        database: WorkerDatabase | URL | str,
        managers: Sequence[Databased],
        driver: str | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.database = database
        self.managers = tuple(managers)
        self.settings = dict(settings)
        self._driver = driver
        self._origin = self.managers[0].factory if self.managers else None

    def url(self, driver: str | None = None, database: Any = None) -> URL:
        """Return the URL of the database, or of one that was made like it."""
        source = self.database if database is None else database
        if isinstance(source, (str, URL)):
            url = make_url(source)
            return url if driver is None else url.set(drivername=f"{url.get_backend_name()}+{driver}")
        return cast(URL, source.url(driver))

    @property
    def driver(self) -> str | None:
        """The driver that was asked for, or that the code under test uses in production."""
        origin = self._origin
        if self._driver is not None or origin is None or not origin.is_started:
            return self._driver
        theirs = origin.settings.connection
        is_same = theirs.get_backend_name() == self.url().get_backend_name()
        return (theirs.drivername.partition("+")[2] or None) if is_same else None

    def stage(self, *, in_sandbox: bool, database: Any = None) -> Stage:
        """Return engines for the database."""
        url = self.url(self.driver, database)
        return STAGES.take(url, self._origin or Factory(url), self.settings, in_sandbox=in_sandbox)

    def needs(self, strategy: str) -> WorkerDatabase:
        """Return the database, which must be able to do more than a URL says.

        :raises UsageError: it is a URL.
        """
        if not isinstance(self.database, WorkerDatabase):
            raise UsageError(
                f"isolation {strategy!r} needs a database that dbkit has built, such as "
                "provision.template(...).worker_database(); a URL alone serves 'rollback' and 'none'"
            )
        return self.database


class Strategy:
    """One way. The steps of a test: :meth:`open`, :meth:`start`, the test, :meth:`stop`, :meth:`close`.

    ``start`` and ``stop`` may reach the database in the colour of the test; the others are blocking and may take long.
    """

    name: str

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @property
    def is_quick(self) -> bool:
        """Whether ``open`` and ``close`` take no time."""
        return True

    def open(self) -> Stage:
        """Return engines on what the test is to work on."""
        return self.ground.stage(in_sandbox=False)

    def url(self, driver: str | None) -> URL:
        """Return the URL of what the test works on."""
        return self.ground.url(driver)

    def start(self, stage: Stage, colour: Colour) -> Owners | None:
        """Begin the test; return who may use its connection, if it has only one."""
        return None

    def stop(self, stage: Stage, colour: Colour) -> IsolationBroken | None:
        """End the test; return what has broken its isolation."""
        return None

    def close(self, stage: Stage, broken: IsolationBroken | None) -> None:
        """Tidy up."""
        STAGES.give_back(stage)

    def open_layer(self, stage: Stage, colour: Colour) -> None:
        """Let what follows be undone by itself.

        :raises UsageError: the strategy can't.
        """
        raise UsageError(f"a layer needs isolation 'rollback', and this test has {self.name!r}")

    def close_layer(self, stage: Stage, colour: Colour) -> IsolationBroken | None:
        """Undo it."""
        return None


class Rollback(Strategy):
    """The test runs inside a transaction that is rolled back."""

    name = "rollback"

    @property
    def is_quick(self) -> bool:
        return not STAGES.is_dirty(self.ground.url())

    def open(self) -> Stage:
        STAGES.clean(self.ground.url())
        return self.ground.stage(in_sandbox=True)

    def start(self, stage: Stage, colour: Colour) -> Owners | None:
        held = stage.pool(colour).held_connection
        stage.serving = colour
        held.owners = Owners(current_user(colour))
        return held.owners

    def stop(self, stage: Stage, colour: Colour) -> IsolationBroken | None:
        pool = stage.pool(colour)
        held = pool.held_connection
        owners, stage.serving = held.owners, None
        stage.is_spent = True  # unless all goes well
        if not pool.checkedout():
            if pool.has_lost_connection:
                held.lost("the connection of the test was lost", is_dirty=False)
            broken = held.end_test()
            stage.is_spent = broken is not None
            if broken is not None:
                pool.dispose()
            elif held.is_marked:
                pool.evict()  # the next test opens another connection
            return broken
        held.owners = None
        user = held.gate.holder
        # under a thread that may be inside the driver it cannot be closed; a task waits somewhere
        if colour is Colour.ASYNCIO or (owners is not None and user == owners.owner):
            pool.take_away()
        pool.dispose()
        warnings.warn(
            f"the test has ended and {name_of(user)} still has its connection in use: close each Session and "
            "Connection, and wait for threads and tasks, before the test ends",
            LeftInUse,
            stacklevel=4,
        )
        return None

    def open_layer(self, stage: Stage, colour: Colour) -> None:
        pool = stage.pool(colour)
        if pool.checkedout():
            raise UsageError("a layer begins between two transactions; end the open block, Session or Connection first")
        pool.held_connection.open_layer()

    def close_layer(self, stage: Stage, colour: Colour) -> IsolationBroken | None:
        pool = stage.pool(colour)
        held = pool.held_connection
        if pool.checkedout():
            user = name_of(held.gate.holder)
            held.lost(f"the layer has ended while {user} has its connection in use", is_dirty=False)
        return held.close_layer()

    def close(self, stage: Stage, broken: IsolationBroken | None) -> None:
        if broken is not None and broken.is_dirty:
            STAGES.mark_dirty(stage.url, self.ground.database)
        STAGES.give_back(stage)


class Clone(Strategy):
    """The test has a database of its own, which is dropped after it."""

    name = "clone"
    _clone: Any = None

    @property
    def is_quick(self) -> bool:
        return False

    def open(self) -> Stage:
        self._clone = self.ground.needs(self.name).clone()
        try:
            return self.ground.stage(in_sandbox=False, database=self._clone)
        except BaseException:
            self._clone.drop()
            raise

    def url(self, driver: str | None) -> URL:
        return self.ground.url(driver, self._clone)

    def stop(self, stage: Stage, colour: Colour) -> IsolationBroken | None:
        if colour is Colour.ASYNCIO:
            stage.factory.dispose_asyncio()
        return None

    def close(self, stage: Stage, broken: IsolationBroken | None) -> None:
        stage.factory.dispose()
        self._clone.drop()


class Truncate(Strategy):
    """The test commits for real, and what it has stored is deleted after it."""

    name = "truncate"

    @property
    def is_quick(self) -> bool:
        return False

    def open(self) -> Stage:
        self.ground.needs(self.name)
        STAGES.clean(self.ground.url())
        return super().open()

    def close(self, stage: Stage, broken: IsolationBroken | None) -> None:
        database = self.ground.needs(self.name)
        is_as_built = getattr(database, "is_as_built", None)
        is_empty = False
        try:
            if is_as_built is None or is_as_built():
                database.empty()
                is_empty = True
        finally:
            if not is_empty:
                STAGES.mark_dirty(stage.url, database)
            super().close(stage, broken)


class Nothing(Strategy):
    """The test commits for real, and what it has stored stays."""

    name = "none"


STRATEGIES: Mapping[str, type[Strategy]] = MappingProxyType(
    {each.name: each for each in (Rollback, Clone, Truncate, Nothing)}
)
