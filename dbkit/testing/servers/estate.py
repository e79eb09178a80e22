"""What a run owns: shared servers, private servers and databases, and which client each belongs to."""

from __future__ import annotations

import json
import logging
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from dbkit.exceptions import BackendNotAvailable, DBError, UsageError
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.instance import DataTemplate, Instance, State
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.loop import ClientLink
from dbkit.testing.servers.origins import Filling, Origin, Way, copying, emptiness
from dbkit.testing.servers.polling import Waiting, together, waiting
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, Provider, Settings
from dbkit.testing.servers.wire import Message

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_DROP_BOUND_S = 120.0

_ACTIONS: Mapping[str, Callable[[Instance], Waiting[None]]] = {
    "start": Instance.starting,
    "stop": Instance.stopping,
    "crash": Instance.crashing,
    "freeze": Instance.freezing,
    "remove": Instance.removing,
}


class Once(Generic[T]):
    """Work that the first asker does, and whose result or error every asker gets."""

    def __init__(self, work: Waiting[T]) -> None:
        self._work: Waiting[T] | None = work
        self._result: list[T] = []
        self._error: BackendNotAvailable | None = None

    def outcome(self) -> Waiting[T]:
        """Return the result of the work.

        :raises BackendNotAvailable: the work failed so.
        """
        if self._work is not None:
            work, self._work = self._work, None
            try:
                self._result.append((yield from work))
            except BackendNotAvailable as failed:
                self._error = failed
            except BaseException as failed:
                self._error = BackendNotAvailable(f"the supervisor failed: {type(failed).__name__}: {failed}")
                raise
        while not self._result and self._error is None:
            yield
        if self._error is not None:
            raise self._error
        return self._result[0]


@dataclass
class _Private:
    instance: Instance
    installation: Installation
    is_busy: bool = False

    def coming_free(self) -> Waiting[None]:
        yield from waiting(lambda: not self.is_busy, _DROP_BOUND_S, "the end of the server's last task")


@dataclass
class _Belongings:
    servers: dict[str, _Private] = field(default_factory=dict)
    databases: dict[str, Endpoint] = field(default_factory=dict)

    def private(self, key: str) -> _Private:
        if key not in self.servers:
            raise UsageError("this private server is gone: it was removed, or the supervisor that owned it has ended")
        return self.servers[key]


class Estate:
    """The service behind the supervisor's loop."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._templates: dict[str, Once[Path]] = {}
        self._shared: dict[str, Once[Instance]] = {}
        self._of: dict[ClientLink, _Belongings] = {}
        self._requests: Mapping[str, Callable[[ClientLink, Message], Waiting[Message]]] = {
            "hello": self._greeting,
            "obtain": self._obtaining,
            "private": self._building,
            "control": self._controlling,
            "adopt": self._adopting,
            "forget": self._forgetting,
        }

    def answering(self, client: ClientLink, request: Message) -> Waiting[Message]:
        """Do what a client asks and return the value of the reply.

        :raises BackendNotAvailable, UsageError: it cannot be done.
        """
        work = self._requests.get(str(request.get("do")))
        if work is None:
            raise UsageError(f"the supervisor knows no request {request.get('do')!r}")
        self._of.setdefault(client, _Belongings())
        return (yield from work(client, request))

    def leaving(self, client: ClientLink) -> Waiting[None]:
        """Remove the private servers and the databases of a client that has gone."""
        owned = self._of.pop(client, _Belongings())
        by_server: dict[str, tuple[Endpoint, list[str]]] = {}
        for name, endpoint in owned.databases.items():
            by_server.setdefault(json.dumps(endpoint.to_wire()), (endpoint, []))[1].append(name)
        tasks = [self._removing(private) for private in owned.servers.values()]
        tasks += [self._dropping(endpoint, names) for endpoint, names in by_server.values()]
        for task in tasks:
            try:
                yield from task
            except (DBError, OSError) as failed:  # what is left of it goes with the run; the other tasks come first
                LOG.warning("a client's belongings were not all removed: %s", failed)

    def _removing(self, private: _Private) -> Waiting[None]:
        yield from private.coming_free()
        yield from private.instance.removing()

    def _greeting(self, client: ClientLink, request: Message) -> Waiting[Message]:
        yield from ()
        return {}

    def _obtaining(self, client: ClientLink, request: Message) -> Waiting[Message]:
        installation = Installation.from_wire(request["installation"])
        key = json.dumps(installation.to_wire(), sort_keys=True)
        while True:
            if key not in self._shared:
                self._shared[key] = Once(self._starting_shared(installation))
            start = self._shared[key]
            instance = yield from start.outcome()
            if instance.state is State.RUNNING:
                return _description(instance)
            if self._shared.get(key) is start:  # it has ended by itself since: a new one for all who ask from now on
                del self._shared[key]
                yield from instance.removing()

    def _starting_shared(self, installation: Installation) -> Waiting[Instance]:
        instance = Instance(self._run, provider_of(installation.kind), installation, {})
        template = yield from self._template(instance.provider, installation)
        try:
            yield from instance.creating(copying(template), extra_ports=0)
            yield from instance.starting(may_move=True)
        except BackendNotAvailable:
            yield from instance.removing()
            raise
        return instance

    def _template(self, provider: Provider, installation: Installation) -> Waiting[Path]:
        key = json.dumps(installation.to_wire(), sort_keys=True)
        if key not in self._templates:
            self._templates[key] = Once(DataTemplate(self._run, provider, installation).filling())
        return (yield from self._templates[key].outcome())

    def _building(self, client: ClientLink, request: Message) -> Waiting[Message]:
        installation = Installation.from_wire(request["installation"])
        settings: Settings = request["settings"]
        instance = Instance(self._run, provider_of(installation.kind), installation, settings)
        key, owned = secrets.token_hex(8), self._of[client]  # the client may leave meanwhile
        private = owned.servers[key] = _Private(instance, installation, is_busy=True)
        try:
            filling = yield from self._filling(owned, private, Origin.from_wire(request.get("origin")))
            yield from instance.creating(filling, request.get("ports", 0))
            if request.get("start", True):
                yield from instance.starting(may_move=True)
        except (DBError, OSError):
            owned.servers.pop(key, None)
            yield from instance.removing()
            raise
        finally:
            private.is_busy = False
        return {"key": key, **_description(instance)}

    def _filling(self, owned: _Belongings, private: _Private, origin: Origin) -> Waiting[Filling]:
        """Return what fills a server's data folder, when it can be used."""
        if origin.way is Way.NOTHING:
            return emptiness
        if origin.way is Way.SERVER:
            other = owned.private(str(origin.key))
            yield from other.coming_free()
            if other.instance.state is not State.STOPPED:
                raise UsageError(f"the data of a server that is {other.instance.state.value} is not copied; stop it")
            return copying(other.instance.layout.data)
        provider, installation = private.instance.provider, private.installation
        as_new = copying((yield from self._template(provider, installation)))
        replication, source = provider.replication, origin.source
        if replication is None or source is None:
            return as_new
        return lambda layout: replication.clone_command(installation, layout, source) or as_new(layout)

    def _controlling(self, client: ClientLink, request: Message) -> Waiting[Message]:
        keys: list[str] = request["keys"]
        owned = self._of[client]
        servers = [owned.private(key) for key in keys]
        for private in servers:
            yield from private.coming_free()
        for private in servers:
            private.is_busy = True
        try:
            yield from together(self._acting(owned, private, request) for private in servers)
        finally:
            for private in servers:
                private.is_busy = False
        if request["action"] == "remove":
            for key in keys:
                owned.servers.pop(key, None)
            return {"servers": []}
        return {"servers": [_description(private.instance) for private in servers]}

    def _acting(self, owned: _Belongings, private: _Private, request: Message) -> Waiting[None]:
        instance, action = private.instance, request["action"]
        if action in _ACTIONS:
            yield from _ACTIONS[action](instance)
        elif action == "restart":
            yield from instance.stopping()
            yield from instance.starting()
        elif action == "thaw":
            instance.thaw()
        elif action == "configure":
            instance.configure(request["settings"], request["files"])
        elif action == "rebuild":
            filling = yield from self._filling(owned, private, Origin.from_wire(request["origin"]))
            yield from instance.rebuilding(filling)
        elif action != "look":  # which is answered by the description
            raise UsageError(f"a server cannot be told to {action!r}")

    def _adopting(self, client: ClientLink, request: Message) -> Waiting[Message]:
        yield from ()
        self._of[client].databases[request["name"]] = Endpoint.from_wire(request["endpoint"])
        return {}

    def _forgetting(self, client: ClientLink, request: Message) -> Waiting[Message]:
        yield from ()
        self._of[client].databases.pop(request["name"], None)
        return {}

    def _dropping(self, endpoint: Endpoint, names: list[str]) -> Waiting[None]:
        # In a process of its own: a server that does not answer must not keep the other clients waiting.
        task = json.dumps({"endpoint": endpoint.to_wire(), "names": names}).encode()
        process = subprocess.Popen(
            [sys.executable, "-m", "dbkit.testing.servers.drop"], stdin=subprocess.PIPE, cwd="/", start_new_session=True
        )
        if process.stdin is not None:
            process.stdin.write(task)
            process.stdin.close()
        try:
            yield from waiting(lambda: process.poll() is not None, _DROP_BOUND_S, "the drop of a client's databases")
        except TimeoutError:
            process.kill()
            process.wait()
            raise


def _description(instance: Instance) -> Message:
    provider = instance.provider
    kind = provider.speaks or provider.kind
    endpoint = Endpoint(kind, LOOPBACK, instance.port, provider.user, database=provider.maintenance_database)
    return {
        "endpoint": endpoint.to_wire(),
        "version": instance.version,
        "folder": str(instance.layout.folder),
        "pid": instance.pid,
        "state": instance.state.value,
        "ports": instance.extra_ports,
    }
