"""What can be asked of a database about its commits, and the table that answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from dbkit import tokens
from dbkit.backends.fencing import fence_of
from dbkit.deadline import Deadline
from dbkit.exceptions import DBAccessDenied, DBNonExistentTable, InvalidSetting, Outcome
from dbkit.spec import Colour
from dbkit.transaction.factory import Factory
from dbkit.transaction.fence import connect, decide, hint_at_token_table, way_of
from dbkit.transaction.greenlets import in_task

T = TypeVar("T")

SHORTEST_RETENTION = timedelta(hours=1)
"""No row of the token table is removed sooner: until then the transaction that it shuts out could still arrive."""

_BATCH = 5000
_BY_STATUS = "xact:"


class Commits:
    """The outcomes of transactions whose reply to COMMIT was lost; mixed into what stands for a database."""

    __slots__ = ()
    factory: Factory

    def outcome(self, token: str) -> Outcome:
        """Return what became of a transaction: :attr:`.Outcome.COMMITTED` or :attr:`.Outcome.ROLLED_BACK`.

        The answer is final: a transaction that is under way still is kept from being stored, if the answer says so. It
        may be asked from any process, and as often as one likes.

        :param token: of the :class:`.CommitUnknown`, as it was told.
        :raises CommitUnknown: it could not be found out: the database is out of reach, or it is too long ago.
        :raises InvalidToken: it is no token.

        .. versionadded:: 0.1
        """
        return find_outcome(self.factory, Colour.BLOCKING, token)

    async def aoutcome(self, token: str) -> Outcome:
        """As :meth:`outcome`, in asyncio.

        .. versionadded:: 0.1
        """
        return await in_task(partial(find_outcome, self.factory, Colour.ASYNCIO, token))

    def create_token_table(self) -> None:
        """Create the table that ``exactly_once`` writers need, if it is not there.

        A migration does the same with :func:`dbkit.tokens.create_token_table`.

        .. versionadded:: 0.1
        """
        _run(self.factory, Colour.BLOCKING, tokens.create_token_table)

    async def acreate_token_table(self) -> None:
        """As :meth:`create_token_table`, in asyncio.

        .. versionadded:: 0.1
        """
        await in_task(partial(_run, self.factory, Colour.ASYNCIO, tokens.create_token_table))

    def purge_tokens(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove the rows of transactions that began longer ago, and return how many they were.

        Whoever asks for the outcome of one of these is told that nobody knows any more.

        :param older_than: at least an hour, and longer than any transaction can last: a transaction that is still
            under way when its row is removed could be stored after it was said that it never will be.
        :raises InvalidSetting: it is shorter, or no ``timedelta``.

        .. versionadded:: 0.1
        """
        return purge(self.factory, Colour.BLOCKING, older_than)

    async def apurge_tokens(self, older_than: timedelta = timedelta(days=1)) -> int:
        """As :meth:`purge_tokens`, in asyncio.

        .. versionadded:: 0.1
        """
        return await in_task(partial(purge, self.factory, Colour.ASYNCIO, older_than))


def find_outcome(factory: Factory, colour: Colour, token: str) -> Outcome:
    """Return what became of a transaction; raises what :meth:`Commits.outcome` does."""
    by_status = isinstance(token, str) and token.startswith(_BY_STATUS)
    if not by_status:
        token = str(tokens.parse_token(token))
    lane = factory.lane(True, colour)
    way = way_of(lane.backend, by_status)
    bound = Deadline.after(factory.settings.commit_fence_timeout, factory.clock)
    return Outcome.COMMITTED if decide(factory, lane, colour, way, token, bound) else Outcome.ROLLED_BACK


def purge(factory: Factory, colour: Colour, older_than: timedelta) -> int:
    """Remove old rows in batches and return how many they were; raises what :meth:`Commits.purge_tokens` does."""
    if not isinstance(older_than, timedelta):
        raise InvalidSetting(f"older_than is a timedelta, such as timedelta(days=1); it is {older_than!r}")
    if older_than < SHORTEST_RETENTION:
        raise InvalidSetting(
            f"rows of the token table are kept for at least {SHORTEST_RETENTION}, and for longer than any transaction "
            f"can last; {older_than} is too short"
        )
    fence = fence_of(factory.lane(True, colour).backend)
    limit = tokens.first_token_of(datetime.now(UTC) - older_than)
    last = fence.literal(limit)
    try:
        _run(factory, colour, partial(_mark, last))
    except (DBNonExistentTable, DBAccessDenied) as error:
        hint_at_token_table(error)
        raise
    removed = 0
    while count := _run(factory, colour, partial(_remove_some, last)):
        removed += count
    return removed


def _mark(last: str, connection: sa.Connection) -> None:
    """Note how far rows are removed, before the first one is."""
    known = connection.scalar(sa.text(f"SELECT count(*) FROM {tokens.TABLE} WHERE token = {last}"))
    if not known:
        connection.execute(sa.text(f"INSERT INTO {tokens.TABLE} (token, outcome) VALUES ({last}, '{tokens.PURGED}')"))


def _remove_some(last: str, connection: sa.Connection) -> int:
    """Remove the oldest rows and return how many transactions they stood for."""
    end = f"SELECT token FROM {tokens.TABLE} WHERE token < {last} ORDER BY token LIMIT 1 OFFSET {_BATCH}"
    has_more = connection.execute(sa.text(end)).first() is not None
    # MySQL takes a limit only in a subquery of a subquery
    old = f"FROM {tokens.TABLE} WHERE token < {f'(SELECT token FROM ({end}) AS ends)' if has_more else last}"
    count = connection.scalar(sa.text(f"SELECT count(*) {old} AND outcome <> '{tokens.PURGED}'"))
    connection.execute(sa.text(f"DELETE {old}"))
    return int(count or 0)


def _run(factory: Factory, colour: Colour, work: Callable[[sa.Connection], T]) -> T:
    with connect(factory.lane(True, colour)) as connection, connection.begin():
        return work(connection)
