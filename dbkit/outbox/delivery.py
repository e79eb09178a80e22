"""The plans by which messages are delivered, written once for both colours."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from dbkit.ambient import CURRENT
from dbkit.clock import Clock
from dbkit.exceptions import DBError, Outcome
from dbkit.outbox.colours import Handler, Steps
from dbkit.outbox.message import Claimed, Delivery
from dbkit.outbox.statements import Failure, claim, settle
from dbkit.plan import Plan
from dbkit.spec import Isolation, Mode, Propagation, Protection, TransactionSpec
from dbkit.transaction.block import Block
from dbkit.transaction.factory import Factory
from dbkit.transaction.scope import Scope, nearest

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# Of its own, whatever is open. At READ COMMITTED, because at REPEATABLE READ InnoDB locks the gaps between the rows as
# well, and senders would wait for the handlers.
_DELIVERER = TransactionSpec(mode=Mode.WRITER, propagation=Propagation.REQUIRES_NEW, isolation=Isolation.READ_COMMITTED)

# What the setting may ask for every block: a handler's call cannot be repeated unseen, and a lost reply does no harm.
_BARE = Protection(exactly_once=False, replays=False)

_SAVEPOINT = TransactionSpec(mode=Mode.WRITER, propagation=Propagation.NESTED)

_LONGEST_WAIT_S = 60.0
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a message whose handler has raised.

    :param max_attempts: the failure with this number sets it aside.
    :param backoff_s: seconds before the second attempt; they double with each.
    :param max_backoff_s: seconds that no wait exceeds.
    """

    max_attempts: int
    backoff_s: float
    max_backoff_s: float

    def wait_s(self, failures: int, clock: Clock) -> float | None:
        """Return how long to wait after so many failures; None: set it aside."""
        if failures >= self.max_attempts:
            return None
        # 2.0 ** 1023 is the largest that a float holds
        wait = min(self.max_backoff_s, self.backoff_s * 2.0 ** min(failures - 1, 1000))
        return wait * clock.uniform(1 - _JITTER, 1 + _JITTER)


@dataclass(slots=True)
class _Round:
    """What has become of the messages of one round."""

    delivered: list[Claimed] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    interrupt: BaseException | None = None
    """What cut off a handler that is neither a success nor a failure."""
    lost: tuple[Claimed, Exception, DBError] | None = None
    """With what error of its handler which message has lost the transaction, and what the transaction was lost to."""

    def result(self) -> Delivery:
        aside = sum(each.wait_s is None for each in self.failures)
        return Delivery(len(self.delivered), len(self.failures) - aside, aside)


def inside(steps: Steps, factory: Factory, spec: TransactionSpec, body: Callable[[Scope], Plan[T]]) -> Plan[T]:
    """Plan: carry out a plan inside a block of a database."""
    block = Block(factory, factory, spec)
    yield partial(steps.enter, block)
    try:
        scope = nearest(CURRENT.get(), factory)
        assert scope is not None
        result = yield from body(scope)
    except BaseException as error:
        yield partial(steps.leave, block, error)
        raise
    yield partial(steps.leave, block, None)
    return result


class _Lost(Exception):
    """Ends the block of a transaction that is lost; it never leaves this file."""


class Deliverer:
    """Delivers rounds of messages.

    :param keeps: a delivered message is kept and marked, not removed.
    """

    def __init__(
        self, factory: Factory, steps: Steps, handler: Handler, policy: Policy, clock: Clock, *, limit: int, keeps: bool
    ) -> None:
        steps.check(handler)
        self._factory = factory
        self._steps = steps
        self._handler = handler
        self._policy = policy
        self._clock = clock
        self._limit = limit
        self._keeps = keeps

    def delivering(self) -> Plan[Delivery]:
        """Plan: deliver the messages whose time has come, up to the limit, in one transaction.

        :raises DBError: the transaction failed; what it has delivered is delivered again, with the same ids.
        """
        round_ = _Round()
        try:
            yield from inside(self._steps, self._factory, self._spec(), partial(self._round, round_))
        except _Lost:
            yield from self._after_loss(round_)
        except Exception as error:
            if round_.interrupt is not None:
                raise round_.interrupt from error  # it came first, and has often lost the transaction itself
            raise
        if round_.interrupt is not None:
            raise round_.interrupt
        return round_.result()

    def _spec(self) -> TransactionSpec:
        self._factory.start()  # the settings say whether every block is protected
        return replace(_DELIVERER, protection=_BARE) if self._factory.protects else _DELIVERER

    def _round(self, round_: _Round, scope: Scope) -> Plan[None]:
        claimed = yield partial(self._steps.work, partial(claim, scope, self._limit))
        began = self._clock.now()
        for each in claimed:
            yield from self._handing_over(round_, scope, each, began)
            if round_.lost is not None:
                raise _Lost
            if round_.interrupt is not None:
                break
        if round_.delivered or round_.failures:
            write = partial(settle, scope, round_.delivered, round_.failures, self._keeps)
            yield partial(self._steps.work, write)

    def _handing_over(self, round_: _Round, scope: Scope, claimed: Claimed, began: float) -> Plan[None]:
        """Plan: call the handler behind a savepoint, so that what it has written can be undone by itself."""

        def calling(inner: Scope) -> Plan[None]:
            yield partial(self._steps.call, self._handler, claimed.message)

        try:
            yield from inside(self._steps, self._factory, _SAVEPOINT, calling)
        except Exception as error:  # the handler's, which must not stop the others
            connection = scope.physical().connection
            if connection is not None and connection.doom is not None:
                round_.lost = claimed, error, connection.doom
            else:
                round_.failures.append(self._failure(claimed, error, began))
        except BaseException as error:
            round_.interrupt = error
        else:
            round_.delivered.append(claimed)

    def _failure(self, claimed: Claimed, error: Exception, began: float) -> Failure:
        message = claimed.message
        failures = message.attempts + 1
        wait_s = self._policy.wait_s(failures, self._clock)
        if wait_s is None:
            LOG.error(
                "message %s of topic %r failed, attempt %d, and is set aside",
                message.id, message.topic, failures, exc_info=error,
            )  # fmt: skip
            return Failure(claimed, error, None)
        LOG.warning(
            "message %s of topic %r failed, attempt %d; the next one is due in %.1f s",
            message.id, message.topic, failures, wait_s, exc_info=error,
        )  # fmt: skip
        return Failure(claimed, error, wait_s + self._clock.now() - began)

    def _after_loss(self, round_: _Round) -> Plan[None]:
        """Plan: count the failure by which the transaction was lost; nothing else of the round has happened.

        :raises DBError: the transaction was lost to something that passes, which is no fault of the message.
        """
        assert round_.lost is not None
        claimed, error, doom = round_.lost
        if doom.transient:
            raise doom
        failure = self._failure(claimed, error, self._clock.now())
        round_.delivered, round_.failures = [], [failure]

        def counting(scope: Scope) -> Plan[None]:
            yield partial(self._steps.work, partial(settle, scope, (), (failure,), self._keeps))

        yield from inside(self._steps, self._factory, self._spec(), counting)

    def running(self, poll_s: float, until: Callable[[], object] | None) -> Plan[None]:
        """Plan: deliver round after round until told to end, and wait where nothing is to be delivered.

        :raises DBError: what does not pass by itself.
        """
        failed = 0
        while until is None or not until():
            try:
                delivery = yield from self.delivering()
            except DBError as error:
                if not error.transient and error.outcome is not Outcome.UNKNOWN:
                    raise
                failed += 1
                wait = min(_LONGEST_WAIT_S, poll_s * 2.0 ** min(failed, 1000))
                LOG.warning("the outbox could not be delivered, next attempt in about %.1f s: %s", wait, error)
            else:
                failed, wait = 0, poll_s
                if delivery.delivered >= self._limit:
                    continue
            if until is None or not until():
                yield partial(self._steps.sleep, self._clock, wait * self._clock.uniform(1 - _JITTER, 1 + _JITTER))
