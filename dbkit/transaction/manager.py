"""Managers: what a reader or writer is, before it decorates a function or opens a block."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, Self, TypeVar

from sqlalchemy.engine import Engine

from dbkit.deadline import seconds_of
from dbkit.exceptions import InvalidSetting, ModeConflict, UsageError
from dbkit.filters.options import named
from dbkit.retry.decorator import refuse_a_function
from dbkit.retry.statistics import RetryStatistics
from dbkit.spec import Colour, Handle, Isolation, Mode, Propagation, Protection, Retrying, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.commits import Commits
from dbkit.transaction.decorate import decorate
from dbkit.transaction.factory import Factory
from dbkit.transaction.greenlets import in_task
from dbkit.transaction.provider import argument_finder, key_of
from dbkit.transaction.replay.counts import ReplayCounts
from dbkit.transaction.retrying import Key, refuse_blocks_that_are_run_again

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")


class Root:
    """What the managers of one database share: the factory, which a test may replace."""

    __slots__ = ("_followers", "factory")

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self._followers: tuple[Callable[[Factory], object], ...] = ()

    def replace(self, factory: Factory) -> None:
        """Let all managers work with another factory."""
        self.factory = factory
        for follower in self._followers:
            follower(factory)

    def follow(self, follower: Callable[[Factory], object]) -> Callable[[], None]:
        """Tell someone of the factory, and of each that comes in its place; return what ends it."""
        follower(self.factory)
        self._followers = (*self._followers, follower)

        def stop() -> None:
            self._followers = tuple(each for each in self._followers if each is not follower)

        return stop


class Modifiers:
    """The modifiers of a block. Each returns a new manager, and their order does not matter."""

    __slots__ = ("_root", "spec")

    def __init__(self, root: Root, spec: TransactionSpec) -> None:
        self._root = root
        self.spec = spec

    def _with(self, **changes: Any) -> Self:
        return type(self)(self._root, replace(self.spec, **changes))

    @property
    def connection(self) -> Self:
        """Hand out a Core ``Connection`` in place of a ``Session``."""
        return self._with(handle=Handle.CONNECTION)

    @property
    def savepoint(self) -> Self:
        """Inside an open block, open a savepoint: what this block did can be undone by itself."""
        return self._propagating(Propagation.NESTED)

    @property
    def independent(self) -> Self:
        """Open a transaction of one's own, whatever is open; it commits or rolls back by itself."""
        return self._propagating(Propagation.REQUIRES_NEW)

    def _propagating(self, propagation: Propagation) -> Self:
        if self.spec.propagation not in (Propagation.REQUIRED, propagation):
            raise ModeConflict(
                "setting savepoint and independent makes no sense: the one takes part in the open transaction, the "
                "other does not; choose one of them"
            )
        return self._with(propagation=propagation)

    @property
    def replica(self) -> Self:
        """Let this reader be served by a replica, which may lag behind.

        :raises ModeConflict: a writer can't be.
        """
        if self.spec.mode is Mode.WRITER:
            raise ModeConflict("a writer cannot run on a replica; use reader.replica")
        return self._with(mode=Mode.REPLICA)

    def isolation(self, level: str | Isolation) -> Self:
        """Run the transaction at this isolation level, such as ``"SERIALIZABLE"``.

        :raises InvalidSetting: there is no such level; the text offers the nearest.
        """
        refuse_a_function(level, ".isolation(level)")
        if not isinstance(level, Isolation):
            try:
                level = Isolation.of(level)
            except (KeyError, AttributeError):
                raise InvalidSetting(_no_level(level)) from None
        return self._with(isolation=level)

    def without(self, *names: str) -> Self:
        """Let the block see the rows that rules of these names hide, and delete for good what they would mark.

        Inside another block they are switched off until this one ends, beside those that are off already.

        :param names: such as ``"soft_delete"``; a name that no rule has is refused when the block is entered.
        :raises UnknownRule: no name is given, or what is given is none.

        .. versionadded:: 0.1
        """
        return self._with(without=self.spec.without | named(names))

    # -- protections: they are asked for on the outermost block; inside another one they change nothing ----------------

    def retrying(
        self,
        max_retries: int | None = None,
        *,
        interval_s: float | None = None,
        max_interval_s: float | None = None,
        also: Iterable[type[Exception]] = (),
    ) -> Self:
        """Let the decorated function be run again when its transaction is known to be rolled back by a passing cause.

        :param max_retries: runs after the first; -1 sets no limit; None reads ``[database] db_max_retries``.
        :param interval_s: seconds from which the waits grow; None reads ``[database] db_retry_interval``.
        :param max_interval_s: seconds that no wait exceeds; None reads ``[database] db_max_retry_interval``.
        :param also: classes of errors that are worth another run of this function, such as :class:`.DBDuplicateEntry`.
        :raises InvalidSetting: a number is out of bounds, or a class is no class of exceptions.

        .. versionadded:: 0.1
        """
        return self._protected(retrying=retrying_of(max_retries, interval_s, max_interval_s, also))

    @property
    def exactly_once(self) -> Self:
        """Let COMMIT carry a token, so that a lost reply can be decided; needs the token table.

        :raises ModeConflict: a reader stores nothing.

        .. versionadded:: 0.1
        """
        if self.spec.mode is not Mode.WRITER:
            raise ModeConflict("a reader stores nothing that could be stored twice; use writer.exactly_once")
        return self._protected(exactly_once=True)

    @property
    def replaying(self) -> Self:
        """Let the statements be repeated on another connection, and compared, when the first one is lost before COMMIT.

        .. versionadded:: 0.1
        """
        return self._protected(replays=True)

    def deadline(self, seconds: float) -> Self:
        """Let the block end, with everything under it, before so much time has passed.

        :param seconds: more than 0.
        :raises InvalidSetting: it is not.

        .. versionadded:: 0.1
        """
        refuse_a_function(seconds, ".deadline(seconds)")
        return self._protected(deadline_s=seconds_of(seconds))

    def _protected(self, **changes: Any) -> Self:
        return self._with(protection=replace(self.spec.protection or Protection(), **changes))

    # -- what is written by mistake: only a failure comes here --------------------------------------------------------

    _block = "db.{}()"

    def _refuse_entry(self, keyword: str) -> NoReturn:
        refuse_blocks_that_are_run_again(self.spec)
        block = self._block.format(_written(self.spec))
        raise UsageError(f"a reader or writer is not a block yet; write: {keyword} {block} as session")

    if not TYPE_CHECKING:  # a type checker says by itself that a manager is no block, and knows its attributes

        def __enter__(self) -> NoReturn:
            self._refuse_entry("with")

        def __exit__(self, *error: object) -> None: ...

        def __aenter__(self) -> NoReturn:
            self._refuse_entry("async with")

        def __aexit__(self, *error: object) -> None: ...

        def __getattr__(self, name: str) -> NoReturn:
            # Without obj= Python does not add its own guess to ours. Protocols ask for names with an underscore.
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            text = f"a reader or writer has no attribute {name!r}"
            raise AttributeError(text if name.startswith("_") else f"{text}; {advice}", name=name)


def retrying_of(
    max_retries: int | None,
    interval_s: float | None,
    max_interval_s: float | None,
    also: Iterable[type[Exception]],
) -> Retrying:
    """Return what was asked for, checked.

    :raises InvalidSetting: a number is out of bounds, or a class is no class of exceptions.
    """
    refuse_a_function(max_retries, ".retrying()")
    if max_retries is not None and (isinstance(max_retries, bool) or not isinstance(max_retries, int)):
        raise InvalidSetting(f"max_retries is a whole number, -1 for no limit; it is {max_retries!r}")
    if max_retries is not None and max_retries < -1:
        raise InvalidSetting(f"max_retries is at least -1, which sets no limit; it is {max_retries}")
    for name, value in (("interval_s", interval_s), ("max_interval_s", max_interval_s)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value):
            raise InvalidSetting(f"{name} is a number of seconds, at least 0; it is {value!r}")
    classes = tuple(also) if isinstance(also, Iterable) else (also,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            raise InvalidSetting(f"also= takes classes of exceptions, such as DBDuplicateEntry; {each!r} is none")
    return Retrying(max_retries, interval_s, max_interval_s, classes)


def _no_level(level: object) -> str:
    levels = [each.sql for each in Isolation]
    near = difflib.get_close_matches(str(level).strip().upper().replace("_", " ").replace("-", " "), levels, n=1)
    advice = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no isolation level {level!r}; {advice}there are {', '.join(levels)}"


def _written(spec: TransactionSpec) -> str:
    """Return the expression, after the name of the database, that asks for this."""
    parts = [_MODES[spec.mode], *_PROPAGATIONS[spec.propagation]]
    if spec.handle is Handle.CONNECTION:
        parts.append("connection")
    if spec.isolation is not None:
        parts.append(f'isolation("{spec.isolation.sql}")')
    if spec.without:
        parts.append(f"without({', '.join(map(repr, sorted(spec.without)))})")
    if spec.protection is not None:
        parts.extend(_protections(spec.protection))
    return ".".join(parts)


def _protections(protection: Protection) -> list[str]:
    parts = []
    if protection.retrying is not None:
        parts.append("retrying()")
    if protection.exactly_once:
        parts.append("exactly_once")
    if protection.replays:
        parts.append("replaying")
    if protection.deadline_s is not None:
        parts.append(f"deadline({protection.deadline_s:g})")
    return parts


_MODES = {Mode.WRITER: "writer", Mode.READER: "reader", Mode.REPLICA: "reader.replica"}
_PROPAGATIONS: dict[Propagation, tuple[str, ...]] = {
    Propagation.REQUIRED: (),
    Propagation.NESTED: ("savepoint",),
    Propagation.REQUIRES_NEW: ("independent",),
}


class Databased(Commits):
    """What can be asked of a manager's database as a whole."""

    __slots__ = ()
    _root: Root

    @property
    def factory(self) -> Factory:  # type: ignore[override]
        """What gives the transactions their engines."""
        return self._root.factory

    def patch_factory(self, other: Databased | Factory) -> Callable[[], None]:
        """Let this database's managers and decorated functions work on another database, for a test.

        :returns: what goes back to the first one.
        """
        before = self._root.factory
        self._root.replace(other if isinstance(other, Factory) else other.factory)
        return lambda: self._root.replace(before)

    def follow_factory(self, follower: Callable[[Factory], object]) -> Callable[[], None]:
        """Tell someone of the factory, and of each that :meth:`patch_factory` puts in its place.

        :returns: what ends it.
        """
        return self._root.follow(follower)

    @property
    def retry_statistics(self) -> RetryStatistics:
        """How often functions of this database were run again, and how that ended.

        .. versionadded:: 0.1
        """
        factory = self.factory
        return factory.retry_counters.read(factory.retry_budget.calls)

    @property
    def replays(self) -> ReplayCounts:
        """How often transactions that were lost before COMMIT were repeated, and what came of it.

        .. versionadded:: 0.1
        """
        return self.factory.replays.counts

    @property
    def is_started(self) -> bool:
        """Whether the settings are resolved, and so fixed."""
        return self.factory.is_started

    def configure(self, **settings: Any) -> None:
        """Set values that are stronger than the configuration, before the first transaction.

        :raises AlreadyStartedError: it is too late.
        :raises UnknownSetting: there is no such setting.
        """
        self.factory.configure(**settings)

    def configure_defaults(self, **settings: Any) -> None:
        """Set values that apply where the configuration says nothing; raises what :meth:`configure` does."""
        self.factory.configure_defaults(**settings)

    def dispose_pool(self) -> None:
        """Close the idle blocking connections; those in use are closed when they come back."""
        self.factory.dispose()

    async def dispose_pool_async(self) -> None:
        """Close the idle connections of the running event loop; those in use are closed when they come back."""
        await in_task(self.factory.dispose_asyncio)


class ContextManager(Modifiers, Databased):
    """A reader or writer for functions and blocks that are given a context object."""

    __slots__ = ()
    _block = "enginefacade.{}.using(context)"

    @property
    def writer(self) -> Self:
        """The same, as a writer."""
        if self.spec.mode is Mode.REPLICA:
            raise ModeConflict("a writer cannot run on a replica; use reader.replica")
        return self._with(mode=Mode.WRITER)

    @property
    def reader(self) -> Self:
        """The same, as a reader."""
        return self._with(mode=Mode.READER)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make a function a block; its context object is its first parameter, or that after ``self`` or ``cls``.

        :raises InvalidDecoration: a generator function, or a function without a parameter.
        """
        decorated: Callable[P, R] = decorate(function, self.spec, self._root, self._find_key)
        return decorated

    @staticmethod
    def _find_key(function: Any) -> Key:
        return argument_finder(function)

    def using(self, context: Any) -> Block:
        """Return a block for ``with`` or ``async with``, which bind a session or connection.

        :raises InvalidContext: the object takes no attributes.
        :raises UsageError: it is ``.retrying()``, and a block cannot be run again.
        """
        refuse_blocks_that_are_run_again(self.spec)
        return Block(key_of(context), self._root.factory, self.spec, context)

    def get_engine(self) -> Engine:
        """Return the blocking engine with which this manager's blocks work."""
        return self.factory.lane(self.spec.mode is Mode.WRITER, Colour.BLOCKING).engine

    def get_async_engine(self) -> AsyncEngine:
        """Return the running event loop's engine with which this manager's blocks work."""
        engine = self.factory.lane(self.spec.mode is Mode.WRITER, Colour.ASYNCIO).async_engine
        assert engine is not None
        return engine
