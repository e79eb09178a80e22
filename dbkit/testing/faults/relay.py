"""A proxy: where it listens, where it leads, its conversations, and what its test asks of it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dbkit.exceptions import BackendNotAvailable, UsageError
from dbkit.testing.faults.conversation import Conversation
from dbkit.testing.faults.journal import Event, Journal, to_wire
from dbkit.testing.faults.kinds import DIALOGUES
from dbkit.testing.faults.loop import READ, Loop
from dbkit.testing.faults.rules import Armed, Book, Rule
from dbkit.testing.servers.ports import LOOPBACK, PortClaim, claim_port

Message = dict[str, Any]
Answer = Callable[[Message], None]

_BACKLOG = 512
_TRIES = 20
_AT_ONCE = struct.pack("ii", 1, 0)


class Relay:
    """One proxy in its process."""

    def __init__(self, loop: Loop, kind: str, host: str, port: int) -> None:
        self.loop = loop
        self.book = Book()
        self._dialogue = DIALOGUES[kind]
        self.journal = Journal(self._dialogue().dialect, self._tell_waiters)
        self._conversations: dict[int, Conversation] = {}
        self._connections = 0
        self._held: dict[int, list[Callable[[], bool]]] = {}
        self._waiters: list[Callable[[Event | None], None]] = []
        self._is_frozen = False
        self._resets = False
        self._target = _resolved(host, port)
        self._listener: socket.socket | None = None
        self._claim = self._listen_anywhere()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return self._claim.port

    def close(self) -> None:
        """End all connections and free the port."""
        self._stop_listening()
        for conversation in self._each():
            conversation.cut("test")
        self._claim.release()

    # -- what conversations ask for -----------------------------------------------------------------------------------

    def upstream(self) -> tuple[socket.socket, tuple[object, ...]]:
        """Return a new socket, and the address to which it is to be connected."""
        family, address = self._target
        return socket.socket(family), address

    def freeze_all(self) -> None:
        """Let nothing pass on any connection, new ones included."""
        self._is_frozen = True
        for conversation in self._each():
            conversation.freeze()

    def hold(self, armed: Armed, resume: Callable[[], bool]) -> None:
        """Keep what is to be called when the fault is released; it returns whether something then goes on."""
        self._held.setdefault(armed.number, []).append(resume)

    def forget(self, conversation: Conversation) -> None:
        """Know that the conversation has ended."""
        self._conversations.pop(conversation.number, None)

    # -- listening ----------------------------------------------------------------------------------------------------

    def _listen_anywhere(self) -> PortClaim:
        for _ in range(_TRIES):
            claim = claim_port()
            try:
                self._listen(claim.port)
            except OSError:  # somebody without a claim was faster
                claim.release()
                continue
            return claim
        raise BackendNotAvailable(f"the fault proxy found no loopback port to listen on in {_TRIES} tries")

    def _listen(self, port: int) -> None:
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self.loop.watch(listener, READ, self._welcome)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self.loop.watch(self._listener, 0, self._welcome)
            self._listener.close()
            self._listener = None

    def _welcome(self, mask: int) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has left the queue again
            return
        if self._resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            client.close()
            self.journal.write("refused", None)
            return
        self._connections += 1
        conversation = Conversation(self._connections, client, self._dialogue(), self)
        self._conversations[conversation.number] = conversation
        self.journal.write("opened", conversation.number)
        if self._is_frozen:
            conversation.freeze()
        conversation.begin()

    def _each(self) -> Iterator[Conversation]:
        return iter(list(self._conversations.values()))

    # -- what the test asks for ---------------------------------------------------------------------------------------

    def hear(self, request: Mapping[str, Any], answer: Answer) -> None:
        """Do what a request says and answer it, at once or when what it waits for has come.

        :raises UsageError: it cannot be done; the text says why.
        """
        name, fields = request["do"], {key: value for key, value in request.items() if key not in ("do", "number")}
        if name in _PATIENT:
            _PATIENT[name](self, answer, **fields)
        else:
            answer(_REQUESTS[name](self, **fields) or {})

    def _add(self, rule: Mapping[str, Any]) -> Message:
        return {"fault": self.book.add(Rule.from_wire(rule)).number}

    def _remove(self, fault: int) -> Message:
        armed = {each.number: each.fired for each in self.book}
        self.book.remove(fault)
        self._release(fault)
        return {"fired": armed.get(fault, 0)}

    def _release(self, fault: int) -> Message:
        return {"released": sum([resume() for resume in self._held.pop(fault, [])])}

    def _fired(self, fault: int) -> Message:
        return {"fired": self.book.find(fault).fired}

    def _clear(self) -> None:
        for armed in self.book:
            self._remove(armed.number)
        self._thaw()

    def _thaw(self) -> None:
        self._is_frozen = False
        for conversation in self._each():
            conversation.thaw()

    def _refuse(self, reset: bool) -> None:
        self._resets = reset
        if not reset:
            self._stop_listening()
        elif self._listener is None:
            self._listen(self.port)

    def _accept(self) -> None:
        self._resets = False
        if self._listener is None:
            self._listen(self.port)

    def _retarget(self, host: str, port: int) -> None:
        self._target = _resolved(host, port)

    def _look(self) -> Message:
        connections = [
            {
                "number": each.number,
                "state": each.state,
                "statement": self.journal.mask(each.last.text) if each.last is not None else "",
            }
            for each in self._each()
        ]
        return {"connections": connections, "counts": dict(self.journal.counts)}

    def _events(self, since: int) -> Message:
        return {"events": [to_wire(event) for event in self.journal.events(since)]}

    def _statements(self) -> Message:
        return {"statements": [to_wire(each) for each in self.journal.statements()]}

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _wait(
        self,
        answer: Answer,
        timeout_s: float,
        fault: int | None = None,
        times: int = 1,
        kind: str | None = None,
        connection: int | None = None,
        since: int = 0,
    ) -> None:
        """Answer when a fault has fired so often, or an event of this kind has come; or when the time is up."""

        def look(event: Event | None) -> Event | None:
            if fault is not None:
                found = [each for each in self.journal.events() if each.kind == "fired" and each.fault == fault]
                return found[times - 1] if len(found) >= times else None
            found = [event] if event is not None else list(self.journal.events(since))
            return next((each for each in found if each.kind == kind and connection in (None, each.connection)), None)

        def wake(event: Event | None) -> None:
            seen = look(event)
            if seen is not None and wake in self._waiters:
                self._waiters.remove(wake)
                answer({"event": to_wire(seen)})

        def give_up() -> None:
            if wake in self._waiters:
                self._waiters.remove(wake)
                answer({"event": None, "counts": dict(self.journal.counts)})

        if fault is not None:
            self.book.find(fault)
        self._waiters.append(wake)
        self.loop.later(timeout_s, give_up)
        wake(None)

    def _cut_all(self, answer: Answer, reset: bool) -> None:
        """Answer when all connections of this moment have ended, which the servers' sessions do first."""
        left = set(self._conversations)

        def look(event: Event | None) -> None:
            if look in self._waiters and not left & self._conversations.keys():
                self._waiters.remove(look)
                answer({})

        self._waiters.append(look)
        for conversation in self._each():
            conversation.sever("test", reset=reset)
        look(None)

    def _tell_waiters(self, event: Event) -> None:
        for wake in list(self._waiters):
            wake(event)


_REQUESTS: Mapping[str, Callable[..., Message | None]] = {
    "add": Relay._add,
    "remove": Relay._remove,
    "release": Relay._release,
    "fired": Relay._fired,
    "clear": Relay._clear,
    "freeze_all": Relay.freeze_all,
    "thaw": Relay._thaw,
    "refuse": Relay._refuse,
    "accept": Relay._accept,
    "retarget": Relay._retarget,
    "look": Relay._look,
    "events": Relay._events,
    "statements": Relay._statements,
}

# These answer later.
_PATIENT: Mapping[str, Callable[..., None]] = {"wait": Relay._wait, "cut_all": Relay._cut_all}


def _resolved(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as unknown:
        raise UsageError(f"the fault proxy cannot lead to {host}:{port}: {unknown.strerror or unknown}") from unknown
    # Servers of tests listen on IPv4, where "localhost" may mean both.
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address
