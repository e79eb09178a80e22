"""One client's connection through the proxy: what comes is passed on, or meets a fault."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from dbkit.testing.faults.dialogue import Dialogue, Frame, Operation, Piece, Unreadable
from dbkit.testing.faults.journal import Journal
from dbkit.testing.faults.loop import Loop
from dbkit.testing.faults.rules import Action, Armed, Book, Moment
from dbkit.testing.faults.side import Side

# With so much on its way to one side, the other is not read.
_LIMIT = 1 << 20

# The longest wait for a server that has been told to end a session, before its client is told.
_FAREWELL_S = 1.0


class Station(Protocol):
    """What a conversation is part of."""

    loop: Loop
    book: Book
    journal: Journal

    def upstream(self) -> tuple[socket.socket, tuple[object, ...]]:
        """Return a new socket, and the address to which it is to be connected."""

    def freeze_all(self) -> None:
        """Let nothing pass on any connection."""

    def hold(self, armed: Armed, resume: Callable[[], bool]) -> None:
        """Keep what is to be called when the fault is released; it returns whether something then goes on."""

    def forget(self, conversation: Conversation) -> None:
        """Know that the conversation has ended."""


class Conversation:
    """What a client and the server say to each other.

    Each direction is a queue. A fault that holds something halts its queue, and what comes behind waits in it. A
    client that gives up meanwhile is not noticed: what it has sent still goes to the server when the fault lets it, as
    on a slow network.
    """

    def __init__(self, number: int, client: socket.socket, dialogue: Dialogue, station: Station) -> None:
        self.number = number
        self.last: Operation | None = None
        self.is_open = True
        self._station = station
        self._dialogue = dialogue
        self._client = Side(
            client, station.loop, on_data=self._hear_client, on_loss=self._lose_client, on_room=self._advance
        )
        self._server: Side | None = None
        # None in a queue is the end of what comes.
        self._frames: deque[Frame | None] = deque()
        self._pieces: deque[Piece | None] = deque()
        self._frames_halt = False
        self._pieces_halt = False
        self._client_ended = False
        self._server_ended = False
        self._ended_by = ""
        self._is_reset = False
        self._is_frozen = False
        self._is_dead_end = False
        self._is_severed = False
        self._is_advancing = False
        # The answers that faults wait for, the one that is being withheld, and how much of it has been shown.
        self._judged: Frame | None = None
        self._awaited: dict[Operation, Armed] = {}
        self._sealed: Operation | None = None
        self._withheld = bytearray()
        self._shown = 0

    def begin(self) -> None:
        """Let the client speak."""
        operation = self._dialogue.opening()
        if operation is not None:
            self._frames.append(Frame(b"", operation))
        self._advance()

    @property
    def state(self) -> str:
        """``"open"``, ``"held"``, ``"frozen"`` or ``"dropped"``."""
        if self._is_dead_end:
            return "dropped"
        if self._is_frozen:
            return "frozen"
        return "held" if self._frames_halt or self._pieces_halt else "open"

    # -- what others do -----------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """Let nothing pass in either direction."""
        if not self._is_frozen:
            self._is_frozen = True
            self._station.journal.write("frozen", self.number)
            self._read()

    def thaw(self) -> None:
        """Let pass what has been waiting."""
        if self._is_frozen:
            self._is_frozen = False
            self._station.journal.write("thawed", self.number)
            self._advance()

    def cut(self, by: str, *, reset: bool = True) -> None:
        """Close both sides; what has not been passed on is lost."""
        if not self.is_open:
            return
        self.is_open = False
        for side in (self._client, self._server):
            if side is not None:
                side.close(reset=reset)
        self._station.forget(self)
        self._station.journal.write("closed", self.number, detail=by)

    def sever(self, by: str, *, reset: bool) -> None:
        """Cut, the server first: when the client learns of it, the server's session has ended, or is about to."""
        if self._is_severed:
            return
        if self._server is None or self._server_ended:
            self.cut(by, reset=reset)
            return
        self._is_severed = True
        self._ended_by, self._is_reset = by, reset
        self._server.finish()
        self._station.loop.later(_FAREWELL_S, lambda: self.cut(by, reset=reset))
        self._read()

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _hear_client(self, data: bytes) -> None:
        if not data:
            self._end_client("client")
        elif not self._is_dead_end:
            try:
                self._frames.extend(self._dialogue.from_client(data))
            except Unreadable as unreadable:
                self.cut(f"proxy: {unreadable}")
        self._advance()

    def _hear_server(self, data: bytes) -> None:
        if self._is_severed:
            if not data:
                self.cut(self._ended_by, reset=self._is_reset)
            return
        if not data:
            self._end_server("server")
        elif not self._is_dead_end:
            try:
                self._pieces.extend(self._dialogue.from_server(data))
            except Unreadable as unreadable:
                self.cut(f"proxy: {unreadable}")
        self._advance()

    def _lose_client(self, lost: OSError) -> None:
        self._client.close()
        self._end_client("client")
        self._advance()

    def _lose_server(self, lost: OSError) -> None:
        if self._is_severed:
            self.cut(self._ended_by, reset=self._is_reset)
            return
        if self._server is not None:
            self._server.close()
        self._is_reset = True
        self._end_server(f"server: {lost.strerror or lost}")
        self._advance()

    def _end_client(self, by: str) -> None:
        if not self._client_ended:
            self._client_ended = True
            self._ended_by = self._ended_by or by
            self._frames.append(None)

    def _end_server(self, by: str) -> None:
        if not self._server_ended:
            self._server_ended = True
            self._ended_by = self._ended_by or by
            self._pieces.append(None)

    # -- what goes on -------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Pass on what nothing holds."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self.is_open and not self._is_severed:
                if self._pieces and not (self._is_frozen or self._pieces_halt or self._is_dead_end):
                    self._show(self._pieces[0])
                elif self._frames and not (self._is_frozen or self._frames_halt or self._is_dead_end):
                    self._tell(self._frames[0])
                elif not self._flush():
                    break
        finally:
            self._is_advancing = False
        self._read()

    def _flush(self) -> bool:
        """Send what has been passed on; return whether that has shown the end of a side."""
        ended = self._client_ended, self._server_ended
        if self._server is not None:
            self._server.flush()
        self._client.flush()
        return ended != (self._client_ended, self._server_ended)

    def _read(self) -> None:
        """Read what can be passed on."""
        if not self.is_open:
            return
        if self._is_severed and self._server is not None:
            self._client.read(False)
            self._server.read(True)
            return
        backlog = 0 if self._server is None else self._server.backlog
        self._client.read(not (self._client_ended or self._is_frozen or self._frames_halt or backlog > _LIMIT))
        if self._server is not None:
            backlog = self._client.backlog
            self._server.read(not (self._server_ended or self._is_frozen or self._pieces_halt or backlog > _LIMIT))
        if not self._is_dead_end and (self._is_told or (self._server is None and self._is_heard)):
            self.cut(self._ended_by, reset=False)

    @property
    def _is_told(self) -> bool:
        """Whether the client has got all that the server has said, and its end."""
        return self._server_ended and not self._pieces and not self._client.backlog

    @property
    def _is_heard(self) -> bool:
        """Whether all that the client has said has been passed on, and its end."""
        return self._client_ended and not self._frames

    def _tell(self, frame: Frame | None) -> None:
        """Pass on what the client says next, or let a fault have it."""
        if frame is None:
            self._frames.popleft()
            if self._server is not None:
                self._server.finish()
            return
        operation = frame.operation
        if operation is not None and self._judged is not frame:
            self._judged = frame
            early = self._judge(operation)
            if early is not None:
                self._flush()
                self._strike(early, operation, towards_server=True)
                return
        self._frames.popleft()
        self._client.write(frame.answer)
        if self._server is None and (frame.data or operation is not None):
            self._connect()
        if self._server is not None:
            self._server.write(frame.data)
        for done in frame.completes:
            self._settle(done)

    def _judge(self, operation: Operation) -> Armed | None:
        """Return what strikes before the operation, and keep in mind what strikes after it."""
        self._station.journal.see(operation, self.number)
        self.last = operation
        verdict = self._station.book.judge(operation, self.number)
        if verdict.after is not None:
            self._awaited[operation] = verdict.after
        return verdict.before

    def _connect(self) -> None:
        stream, address = self._station.upstream()
        self._server = Side(
            stream, self._station.loop, on_data=self._hear_server, on_loss=self._lose_server, on_room=self._advance
        )
        self._server.connect(address)

    def _show(self, piece: Piece | None) -> None:
        """Pass on what the server says next, or withhold it."""
        if piece is None:
            self._part()
            return
        self._pieces.popleft()
        if self._sealed is None and piece.operation in self._awaited:
            self._sealed = piece.operation
        if self._sealed is None:
            self._client.write(piece.data)
            return
        self._withheld += piece.data
        point = self._awaited[self._sealed].rule.point
        if piece.is_question:
            left = point.bytes - self._shown if point.moment is Moment.DURING else len(self._withheld)
            self._reveal(left)
            if point.moment is Moment.DURING and self._shown >= point.bytes:
                self._settle(self._sealed)
        elif self._sealed in piece.completes:
            self._settle(self._sealed)

    def _reveal(self, count: int) -> None:
        self._client.write(bytes(self._withheld[:count]))
        self._shown += len(self._withheld[:count])
        del self._withheld[:count]

    def _settle(self, operation: Operation) -> None:
        """Let the fault that waits for the answer, if there is one, have it."""
        armed = self._awaited.pop(operation, None)
        if armed is None:
            return
        if armed.rule.point.moment is Moment.DURING:
            self._reveal(max(0, armed.rule.point.bytes - self._shown))
        if self._withheld:
            self._pieces.appendleft(Piece(bytes(self._withheld)))
        self._withheld.clear()
        self._sealed, self._shown = None, 0
        self._flush()
        self._strike(armed, operation, towards_server=False)

    def _part(self) -> None:
        """Tell the client that the server has ended, after all that it has said."""
        if self._sealed is not None:
            self._settle(self._sealed)
            return
        if self._is_reset:
            self.cut(self._ended_by)
            return
        self._pieces.popleft()
        self._client.finish()

    def _strike(self, armed: Armed, operation: Operation, *, towards_server: bool) -> None:
        """Do what the fault does."""
        rule = armed.rule
        armed.fired += 1
        self._station.journal.write("fired", self.number, fault=armed.number, detail=str(rule), operation=operation)
        match rule.action:
            case Action.CUT:
                self.sever(f"fault: {rule}", reset=rule.reset)
            case Action.DROP:
                self._is_dead_end = True
                self._frames.clear()
                self._pieces.clear()
            case Action.ABANDON:
                self._client.close(reset=rule.reset)
                self._end_client(f"fault: {rule}")
                self._station.loop.later(rule.seconds, self._halt(armed, towards_server))
            case Action.DELAY:
                self._station.loop.later(rule.seconds, self._halt(armed, towards_server))
            case Action.HOLD:
                self._halt(armed, towards_server)
            case Action.FREEZE if rule.everywhere:
                self._station.freeze_all()
            case Action.FREEZE:
                self.freeze()

    def _halt(self, armed: Armed, towards_server: bool) -> Callable[[], bool]:
        """Stop one direction, and return what lets it go on, once."""
        is_over = False

        def resume() -> bool:
            nonlocal is_over
            if is_over or not self.is_open:
                return False
            is_over = True
            if towards_server:
                self._frames_halt = False
            else:
                self._pieces_halt = False
            self._station.journal.write("released", self.number, fault=armed.number, detail=str(armed.rule))
            self._advance()
            return True

        if towards_server:
            self._frames_halt = True
        else:
            self._pieces_halt = True
        self._station.hold(armed, resume)
        return resume
