"""Clients and servers that are killed, stopped and replaced while a COMMIT is on its way."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from dbkit.exceptions import DBError, Outcome
from dbkit.testing import servers
from dbkit.testing.faults import after, before
from dbkit.tests.behaviours.colours import AsyncioColour
from dbkit.tests.behaviours.combinations import Combination
from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ground import Ground, kind_of
from dbkit.tests.soak.ways import by_hand, protected
from dbkit.tests.steering import Worker

_APPEND = text("INSERT INTO elements (element) VALUES (:element)")
_PATIENCE_S = 30.0


def clients(ground: Ground, *, size: int, seed: int = 1) -> Figures:
    """Kill programs whose COMMIT or its reply is held up, and ask what became of it from another process."""
    figures = Figures("kill the client", ground.where, seed)
    wrong, told = 0, {True: 0, False: 0}
    with ground.database() as database:
        for number in range(size):
            is_after = number % 2 == 1
            point = after if is_after else before
            with ground.proxy.hold(point("COMMIT")) as fault:
                token = _killed(ground, number, fault)
                # the message of one that died lies in the network still, and arrives when it is released
                answers = [_ask(ground, database, token) for _ in range(2)]
            ground.proxy.cut_all()
            answers.append(_ask(ground, database, token))
            is_stored = number in ground.ask("SELECT element FROM elements")
            told[is_stored] += 1
            wrong += answers != [Outcome.COMMITTED if is_stored else Outcome.ROLLED_BACK] * 3
    ground.settle()
    figures.end()
    stored = ground.ask("SELECT element FROM elements")
    figures.report("killed", size)
    figures.expect("told otherwise", 0, wrong)
    figures.expect("stored", [number for number in range(size) if number % 2], sorted(stored))
    figures.counts["stored"] = len(stored)
    return figures


def _killed(ground: Ground, number: int, fault: Any) -> str:
    """Return the token of a program that was killed while the fault held up its COMMIT."""
    colour = ground.combination.colour.value
    url = ground.through.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "dbkit.tests.soak.victim", url, str(number), colour]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            fault.wait(timeout_s=_PATIENCE_S)
        finally:
            program.send_signal(signal.SIGKILL)
        assert program.stdout is not None
        return program.stdout.readline().strip()


def _ask(ground: Ground, database: Any, token: str) -> Outcome:
    if isinstance(ground.colour, AsyncioColour):
        outcome: Outcome = ground.colour.run(database.aoutcome(token))
    else:
        outcome = database.outcome(token)
    return outcome


def crashes(combination: Combination, *, size: int, seed: int = 1, control: str | None = None) -> Figures:
    """Kill the server and start it again while COMMIT or its reply is held up."""
    kind = kind_of(combination)
    with contextlib.ExitStack() as stack:
        server = servers.or_skip(kind, lambda: stack.enter_context(servers.private(kind)))
        ground = stack.enter_context(Ground(combination, server))

        def strike(is_stored: bool) -> None:
            server.crash()
            server.start()

        name = "kill the server" if control is None else f"kill the server {control}"
        return _struck(
            ground, Figures(name, ground.where, seed, must_break=control and "doubled"), size, strike, control
        )


def failovers(combination: Combination, *, size: int, seed: int = 1, loses: bool = False) -> Figures:
    """Kill the primary while COMMIT or its reply is held up, and let its replica take over.

    :param loses: the replica has not received what was committed last, token and work alike.
    """
    kind = kind_of(combination)
    with contextlib.ExitStack() as stack:
        pair = servers.or_skip(kind, lambda: stack.enter_context(servers.pair(kind)))
        ground = stack.enter_context(Ground(combination, pair.primary))
        pair.catch_up()

        def prepare() -> None:
            pair.catch_up()
            if loses:
                pair.replica.freeze()

        def strike(is_stored: bool) -> None:
            if is_stored and not loses:
                pair.catch_up()
            pair.primary.crash()
            if loses:
                pair.replica.thaw()
            new = pair.promote()
            ground.follow(new)
            pair.rejoin()

        name = "fail over" + (", last commit lost" if loses else "")
        return _struck(ground, Figures(name, ground.where, seed), size, strike, None, prepare)


def _struck(
    ground: Ground,
    figures: Figures,
    size: int,
    strike: Callable[[bool], None],
    control: str | None,
    prepare: Callable[[], None] = lambda: None,
) -> Figures:
    """Append elements one by one, each while the strike comes before or after its COMMIT."""
    acknowledged, errors, runs = [], [], []
    with ground.database(max_retries=10) as database:
        face = ground.face(database)

        async def body(number: int) -> None:
            runs.append(number)
            await face.handle("session").execute(_APPEND, {"element": number})

        manager = database.writer if control else protected(database.writer, ("retrying", "exactly_once"))
        call = ground.opener(manager)(body)
        call = by_hand(call) if control else call
        for number in range(size):
            prepare()
            is_stored = number % 2 == 1
            with ground.proxy.hold((after if is_stored else before)("COMMIT")) as fault:
                worker = Worker(lambda number=number: ground.colour.run(call(number)))
                fault.wait(timeout_s=_PATIENCE_S)
                strike(is_stored)
                ground.proxy.cut_all()  # what is held is lost: a reply that came late would be a reply
            try:
                worker.outcome()
            except DBError as error:
                errors.append(f"{number}: {type(error).__name__}: {error}")
            else:
                acknowledged.append(number)
    figures.end()
    stored = ground.ask("SELECT element FROM elements")
    figures.report("struck", size)
    figures.report("bodies run", len(runs))
    figures.expect("acknowledged", size, len(acknowledged))
    figures.expect("doubled", 0, len(stored) - len(set(stored)))
    figures.expect("lost", 0, len(set(acknowledged) - set(stored)))
    figures.damage += errors[:3]
    return figures


def stops(combination: Combination, *, size: int, seed: int = 1) -> Figures:
    """Stop the server with SIGSTOP when COMMIT is about to arrive; who has a deadline asks later what became of it."""
    kind = kind_of(combination)
    with contextlib.ExitStack() as stack:
        server = servers.or_skip(kind, lambda: stack.enter_context(servers.private(kind)))
        ground = stack.enter_context(Ground(combination, server))
        figures = Figures("stop the server", ground.where, seed)
        unknown = wrong = acknowledged = 0
        with ground.database() as database:
            face = ground.face(database)

            async def body(number: int) -> None:
                await face.handle("session").execute(_APPEND, {"element": number})

            call = ground.opener(database.writer.exactly_once.deadline(3))(body)
            for number in range(size):
                with ground.proxy.hold(before("COMMIT")) as fault:
                    worker = Worker(lambda number=number: ground.colour.run(call(number)))
                    fault.wait(timeout_s=_PATIENCE_S)
                    server.freeze()
                # what was held is with the server now, which will do it when it goes on, or whenever it likes
                says: Outcome | None = None
                try:
                    worker.outcome()
                    says = Outcome.COMMITTED
                except DBError as error:
                    token, says = getattr(error, "token", None), error.outcome
                    unknown += says is Outcome.UNKNOWN
                server.thaw()
                if says is Outcome.UNKNOWN:
                    assert token is not None, "an error that does not know has no token to ask with"
                    says = _ask(ground, database, token)
                acknowledged += says is Outcome.COMMITTED
                is_stored = number in ground.ask("SELECT element FROM elements")
                wrong += (says is Outcome.COMMITTED) != is_stored
        ground.settle(leaves_connections=True)
        figures.end()
        stored = ground.ask("SELECT element FROM elements")
        figures.report("stopped", size)
        figures.report("unknown at first", unknown)
        figures.expect("told otherwise", 0, wrong)
        figures.expect("stored", acknowledged, len(stored))
        return figures


def silences(ground: Ground, *, size: int, seed: int = 1, deadline_s: float = 0.8) -> Figures:
    """Let COMMIT or its reply vanish without a word; who has a deadline asks later what became of it.

    The server keeps the sessions of those that it hears no more of, with their locks.
    """
    figures = Figures("silence", ground.where, seed)
    said: dict[str, int] = {}
    wrong = tokenless = 0
    with ground.database() as database:
        face = ground.face(database)

        async def body(number: int) -> None:
            await face.handle("session").execute(_APPEND, {"element": number})

        def silenced(number: int, seconds: float) -> tuple[int, Outcome | None, str | None]:
            """Return how often COMMIT was silenced, and what the block says became of it."""
            call = ground.opener(database.writer.exactly_once.deadline(seconds))(body)
            fault = ground.proxy.drop((before, after)[number % 2]("COMMIT"), last_ran="INTO elements")
            says, token = Outcome.COMMITTED, None
            try:
                ground.colour.run(call(number))
            except DBError as error:
                says, token = error.outcome, getattr(error, "token", None)
            if says is Outcome.UNKNOWN:  # it was sent, and the proxy may have to come to it yet
                fault.wait(timeout_s=_PATIENCE_S)
            return fault.remove(), says, token

        for number in range(size):
            struck, says, token = silenced(number, deadline_s)
            if not struck:  # the time was up before COMMIT was sent
                struck, says, token = silenced(number, 10 * deadline_s)
            assert struck, "COMMIT was not sent in time"
            said[says.value] = said.get(says.value, 0) + 1
            if says is Outcome.UNKNOWN:
                tokenless += token is None
                says = _ask(ground, database, token) if token is not None else says
            is_stored = number in ground.ask("SELECT element FROM elements")
            wrong += (says is Outcome.COMMITTED) != is_stored
    ground.settle(leaves_connections=True)
    figures.end()
    stored = ground.ask("SELECT element FROM elements")
    figures.report("silenced", size)
    figures.report("said", said)
    figures.expect("told otherwise", 0, wrong)
    figures.expect("unknown without a token", 0, tokenless)
    figures.expect("doubled", 0, len(stored) - len(set(stored)))
    return figures
