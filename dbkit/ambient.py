"""Where the running code stands: the chain of blocks that enclose it.

The chain is one ContextVar that holds the innermost block; each block knows the one around it. A new thread starts with
no chain, a new asyncio task with a copy of its parent's: so a block remembers its owner, and a copy is noticed.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NoReturn, Self

from dbkit.deadline import Deadline, seconds_of, sooner
from dbkit.exceptions import InvalidDecoration, UsageError


class Frame:
    """A link of the chain: an entered block, as far as this floor knows it.

    :ivar key: what the block belongs to: a context object's key, or a database.
    :ivar source: what gives the block its connections; blocks of different sources never join.
    :ivar owner: the thread's ident or the asyncio task in which it was entered.
    :ivar outer: the next block outwards, whatever its key.
    :ivar is_open: False once the block has ended; a copied chain may still show it.
    :ivar deadline: when it, and all that is entered inside it, must have ended; None: whenever it likes.
    """

    __slots__ = ("deadline", "is_open", "key", "outer", "owner", "source")
    key: Any
    source: Any
    owner: Any
    outer: Self | None
    is_open: bool
    deadline: Deadline | None
    is_block = True
    """Whether it stands for a block, and not for something that blocks pass by."""


CURRENT: ContextVar[Any] = ContextVar("dbkit_innermost_block", default=None)


class Bounds(Frame):
    """A link that no block joins: it sets a deadline for the code inside it, blocks and all.

    :param deadline: the sooner of this one and that of the link around it counts.
    """

    root = None
    is_block = False

    def __init__(self, deadline: Deadline, outer: Any) -> None:
        self.key = self.source = self.owner = self
        self.outer = outer
        self.is_open = True
        self.deadline = deadline if outer is None else sooner(deadline, outer.deadline)


def innermost() -> Any:
    """Return the innermost block that is open; those that were left in another context still hang on the chain."""
    frame = CURRENT.get()
    while frame is not None and not frame.is_open:
        frame = frame.outer
    return frame


def is_in_block() -> bool:
    """Return whether a block of any database is open around the running code."""
    frame = CURRENT.get()
    while frame is not None:
        if frame.is_open and frame.is_block:
            return True
        frame = frame.outer
    return False


class Apart(Frame):
    """A frame that no block joins: what stands behind it sees none of the blocks around it, only their deadline."""

    __slots__ = ()
    is_block = False

    def __init__(self, deadline: Deadline | None) -> None:
        self.key = self.source = self.owner = self.outer = None
        self.is_open = True
        self.deadline = deadline


def stand_apart() -> Token[Any] | None:
    """Let what follows join none of the open blocks; return what :func:`leave` takes, or None if no block is open."""
    frame = innermost()
    return None if frame is None else CURRENT.set(Apart(frame.deadline))


def leave(token: Token[Any]) -> None:
    """Take the innermost block off the chain.

    A block that is left in another context than it was entered in (a generator fixture, a dependency whose two halves
    run in two threads) has nothing to take off there; it is closed all the same, and a closed block is never joined.
    """
    try:
        CURRENT.reset(token)
    except ValueError:
        pass


class Within:
    """What :func:`within` returns: a with statement that sets a deadline for the blocks inside it."""

    __slots__ = ("_frame", "_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds_of(seconds)
        self._frame: Bounds | None = None

    def __enter__(self) -> None:
        if self._frame is not None:  # what is kept for all would be one deadline for all threads
            raise UsageError("dbkit.within() is entered once; write the whole expression into each with statement")
        self._frame = Bounds(Deadline.after(self._seconds), innermost())
        self._token: Token[Any] = CURRENT.set(self._frame)

    def __exit__(self, *error: object) -> None:
        assert self._frame is not None
        self._frame.is_open = False
        leave(self._token)

    if not TYPE_CHECKING:  # a type checker says by itself that it is neither of these

        def __call__(self, function: Any) -> NoReturn:
            # around a coroutine function it would end before the function has begun
            raise InvalidDecoration(
                f"dbkit.within() cannot decorate {getattr(function, '__qualname__', function)}; write `with "
                f"dbkit.within({self._seconds:g}):` inside it, or .deadline({self._seconds:g}) on its reader or writer"
            )

        def __aenter__(self) -> NoReturn:
            raise UsageError(f"write `with dbkit.within({self._seconds:g}):`, without async: it waits for nothing")

        def __aexit__(self, *error: object) -> None: ...


def within(seconds: float) -> Within:
    """Let each block inside end before so much time has passed, counted from here, with all that it waits for.

    It is written ``with dbkit.within(0.8):`` in asyncio too. Blocks inside may have sooner deadlines of their own.

    :param seconds: more than 0.
    :raises InvalidSetting: it is not.

    .. versionadded:: 0.1
    """
    return Within(seconds)
