"""One server of a run: its folder, its port, its process, and what can be done to it."""

from __future__ import annotations

import enum
import functools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable, UsageError
from dbkit.testing.servers.account import Account, acting_as_owner, server_account
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.origins import Filling
from dbkit.testing.servers.polling import Waiting, waiting
from dbkit.testing.servers.ports import PortClaim, claim_port, is_free
from dbkit.testing.servers.processes import is_halted, killing, signal_all, spawn
from dbkit.testing.servers.provider import Installation, Layout, Provider, Settings

_TOOL_BOUND_S = 120.0
_START_BOUND_S = 60.0
_STOP_BOUND_S = 5.0
_VERSION_BOUND_S = 30.0
_STOP_TRIES = 4
_PORT_TRIES = 3
_FREEZE_BOUND_S = 10.0
_TAIL = 3000

_VERSIONS: dict[tuple[str, ...], str] = {}
"""What programs say of their version, by the commands that make them say it."""


class State(enum.Enum):
    """What a server is doing."""

    NEW = "new"
    STOPPED = "stopped"
    RUNNING = "running"
    FROZEN = "frozen"
    REMOVED = "removed"


_MOVES: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.STOPPED, State.REMOVED}),
    State.STOPPED: frozenset({State.RUNNING, State.STOPPED, State.REMOVED}),
    State.RUNNING: frozenset({State.STOPPED, State.FROZEN, State.REMOVED}),
    State.FROZEN: frozenset({State.STOPPED, State.RUNNING, State.REMOVED}),
    State.REMOVED: frozenset({State.REMOVED}),
}


class DataTemplate:
    """The data folder of a fresh server, made once by the product's own program and then copied."""

    def __init__(self, run: Run, provider: Provider, installation: Installation) -> None:
        self._run = run
        self._provider = provider
        self._installation = installation

    def filling(self) -> Waiting[Path]:
        """Make the data folder and return it.

        :raises BackendNotAvailable: the product's program failed.
        """
        account = server_account(self._provider.accounts)
        layout = _new_layout(self._run, self._provider, account)
        for name, content in self._provider.creation_files().items():
            (layout.folder / name).write_text(content)
            account.give(layout.folder / name)
        command = self._provider.creation_command(self._installation, layout)
        yield from _running(command, layout, self._installation, self._provider, account)
        return layout.data


class Instance:
    """A server that is started, stopped and removed here. Its methods that wait are work for the supervisor's loop."""

    def __init__(self, run: Run, provider: Provider, installation: Installation, settings: Settings) -> None:
        self.provider = provider
        self._run = run
        self._installation = installation
        self._settings = settings
        self._state = State.NEW
        self._account = server_account(provider.accounts)
        self._claim: PortClaim | None = None
        self._extra_claims: list[PortClaim] = []
        self._layout: Layout | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> State:
        """What the server is doing; one that has ended by itself is stopped."""
        if self._state is State.RUNNING and self._process is not None and self._process.poll() is not None:
            self._state = State.STOPPED
        return self._state

    @property
    def port(self) -> int:
        """The port on which it listens, or will when it is started."""
        if self._claim is None:
            raise UsageError(f"this {self.provider.kind} server has no port: it is {self._state.value}")
        return self._claim.port

    @property
    def extra_ports(self) -> list[int]:
        """The ports that were claimed for it beyond the one on which it listens."""
        return [claim.port for claim in self._extra_claims]

    @property
    def pid(self) -> int | None:
        """The id of its first process, or None while it is stopped."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def layout(self) -> Layout:
        """Its folder."""
        if self._layout is None:
            raise UsageError(f"this {self.provider.kind} server has no folder: it is {self._state.value}")
        return self._layout

    def _move(self, to: State) -> None:
        if to not in _MOVES[self.state]:
            raise UsageError(f"a {self.provider.kind} server that is {self.state.value} cannot become {to.value}")
        self._state = to

    def creating(self, filling: Filling, extra_ports: int) -> Waiting[None]:
        """Make the server's folder, fill it with data and claim the ports."""
        self._layout = layout = _new_layout(self._run, self.provider, self._account)
        yield from _running(filling(layout), layout, self._installation, self.provider, self._account)
        self._claim = claim_port()
        self._extra_claims.extend(claim_port() for _ in range(extra_ports))
        self._move(State.STOPPED)

    def configure(self, settings: Settings | None, files: Mapping[str, str]) -> None:
        """Have other settings from the next start on, and files in the server's folder from now on.

        :param settings: instead of all that were given before; None leaves them as they are.
        :param files: content by path within the folder.
        """
        if settings is not None:
            self._settings = settings
        for name, content in files.items():
            path = self.layout.folder / name
            if self.layout.folder not in Path(os.path.normpath(path)).parents:
                raise UsageError(f"{name!r} leads out of the server's folder")
            path.unlink(missing_ok=True)  # it may be the server's own by now
            path.write_text(content)
            self._account.give(path)

    def rebuilding(self, filling: Filling) -> Waiting[None]:
        """Replace the data of the stopped server."""
        if self.state is not State.STOPPED:
            raise UsageError(f"a {self.provider.kind} server that is {self.state.value} cannot be made anew; stop it")
        with acting_as_owner(self.layout.folder):
            self.provider.scour(self.layout)
        shutil.rmtree(self.layout.data)
        yield from _running(filling(self.layout), self.layout, self._installation, self.provider, self._account)

    @functools.cached_property
    def version(self) -> str:
        """The version that the server's program prints, without words."""
        command = self.provider.version_command(self._installation)
        # everyone waits meanwhile, so a program is asked once
        version = _VERSIONS.get(tuple(command))
        if version is None:
            printed = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=_VERSION_BOUND_S,
                env=_environment(self._installation, self.layout),
                cwd="/",
                check=False,
            ).stdout
            found = re.search(r"\d+\S*", printed.removeprefix(command[0]))  # its path may hold numbers, too
            if found is None:
                return ""
            version = _VERSIONS[tuple(command)] = found.group()
        return version

    def starting(self, *, may_move: bool = False) -> Waiting[None]:
        """Start the server and wait until it accepts clients.

        :param may_move: to another port, if its own is taken; for a server whose port nobody knows yet.
        :raises BackendNotAvailable: it did not come up; the text ends with the tail of its log.
        """
        if self.state is not State.STOPPED:
            raise UsageError(f"a {self.provider.kind} server that is {self.state.value} cannot be started")
        for attempt in range(_PORT_TRIES if may_move else 1):
            if attempt and self._claim is not None:
                self._claim.release()
                self._claim = claim_port()
            if (yield from self._came_up()):
                self._move(State.RUNNING)
                return
            if is_free(self.port):  # so it was not a port that another had taken
                break
        raise BackendNotAvailable(f"{self.provider.kind} did not start at port {self.port}: {_tail(self.layout)}")

    def _came_up(self) -> Waiting[bool]:
        command = self.provider.server_command(self._installation, self.layout, self.port, self._settings)
        self._process = process = _spawn(command, self.layout, self._installation, self.provider, self._account)

        def is_decided() -> bool:
            if process.poll() is not None:
                return True
            return self.provider.is_ready(self.layout, self.port, process.pid)

        try:
            yield from waiting(is_decided, _START_BOUND_S, f"the start of {self.provider.kind}")
        except TimeoutError as late:
            yield from killing(self.layout.folder)
            raise BackendNotAvailable(f"{late}; its log ends: {_tail(self.layout)}") from late
        return process.poll() is None

    def stopping(self) -> Waiting[None]:
        """End the server in order, or by force where it does not listen."""
        process = self._process
        if self.state is State.FROZEN:
            self.thaw()
        for _ in range(_STOP_TRIES):
            if process is None or process.poll() is not None:
                break
            process.send_signal(self.provider.stop_signal)  # again, because a request during the start can be lost
            try:
                yield from waiting(lambda: process.poll() is not None, _STOP_BOUND_S, "the end of the server")
            except TimeoutError:
                continue
        yield from self._ending()

    def crashing(self) -> Waiting[None]:
        """Kill all processes of the server at once, as a power cut would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # the first one first, so that it cannot react to the death of the others
        yield from self._ending()

    def _ending(self) -> Waiting[None]:
        yield from killing(self.layout.folder)
        if (process := self._process) is not None:
            yield from waiting(lambda: process.poll() is not None, _STOP_BOUND_S, "the end of the server")
        self._move(State.STOPPED)

    def freezing(self) -> Waiting[None]:
        """Halt all processes of the server: clients wait for answers, and nothing tells them why."""
        self._move(State.FROZEN)
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # the first one first, so that no others are started meanwhile
        folder = self.layout.folder
        yield from waiting(
            lambda: all(map(is_halted, signal_all(folder, signal.SIGSTOP))), _FREEZE_BOUND_S, "the halt of the server"
        )

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._move(State.RUNNING)
        signal_all(self.layout.folder, signal.SIGCONT)

    def removing(self) -> Waiting[None]:
        """Kill the server and remove all that is left of it."""
        if self._layout is not None:
            yield from removing(self._run, self.provider, self._layout.folder)
        if self._process is not None:
            self._process.wait()
        if self._claim is not None and self._state is not State.REMOVED:
            for claim in (self._claim, *self._extra_claims):
                claim.release()
        self._state = State.REMOVED


def removing(run: Run, provider: Provider | None, folder: Path) -> Waiting[None]:
    """Kill whatever works in a server's folder, and remove the folder and what the product left elsewhere."""
    yield from killing(folder)
    if provider is not None and folder.exists():
        with acting_as_owner(folder):
            provider.scour(Layout(folder))
    run.remove_server_folder(folder)


def _new_layout(run: Run, provider: Provider, account: Account) -> Layout:
    layout = Layout(run.new_server_folder(provider.kind, account))
    layout.temporary.mkdir(mode=0o700)
    account.give(layout.temporary)
    return layout


def _environment(installation: Installation, layout: Layout) -> dict[str, str]:
    path = os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"))
    own = {"PATH": path, "LC_ALL": "C", "HOME": str(layout.folder), "TMPDIR": str(layout.temporary)}
    return {**own, **installation.environment}


def _spawn(
    command: Sequence[str], layout: Layout, installation: Installation, provider: Provider, account: Account
) -> subprocess.Popen[bytes]:
    try:
        return spawn(
            command,
            folder=layout.folder,
            log=layout.log,
            environment=_environment(installation, layout),
            account=account,
            death_signal=provider.death_signal,
        )
    except (OSError, subprocess.SubprocessError) as failed:
        advice = "; let others enter the folders above it" if isinstance(failed, PermissionError) else ""
        raise BackendNotAvailable(
            f"{provider.kind}: {command[0]} could not be run as user {account.name}: {failed}{advice}"
        ) from failed


def _running(
    command: Sequence[str], layout: Layout, installation: Installation, provider: Provider, account: Account
) -> Waiting[None]:
    process = _spawn(command, layout, installation, provider, account)
    try:
        yield from waiting(lambda: process.poll() is not None, _TOOL_BOUND_S, f"the end of {command[0]}")
    except TimeoutError as late:
        yield from killing(layout.folder)
        raise BackendNotAvailable(f"{provider.kind}: {late}; its log ends: {_tail(layout)}") from late
    if process.returncode:
        raise BackendNotAvailable(
            f"{provider.kind}: {command[0]} ended with {process.returncode}; its log ends: {_tail(layout)}"
        )


def _tail(layout: Layout) -> str:
    try:
        written = layout.log.read_text(errors="replace").strip()
    except OSError:
        written = ""
    return written[-_TAIL:] or "(empty)"
