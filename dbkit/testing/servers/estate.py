"""What a run owns: shared servers, private servers and databases, and which client each belongs to."""

from __future__ import annotations

import json
import logging
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dbkit.exceptions import BackendNotAvailable, DBError, UsageError
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.folders import Run
from dbkit.testing.servers.instance import DataTemplate, Instance, State
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.loop import ClientLink
from dbkit.testing.servers.polling import Waiting, waiting
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, Settings
from dbkit.testing.servers.wire import Message

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_DROP_BOUND_S = 120.0


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
    is_busy: bool = False

    def coming_free(self) -> Waiting[None]:
        yield from waiting(lambda: not self.is_busy, _DROP_BOUND_S, "the end of the server's last task")


@dataclass
class _Belongings:
    servers: dict[str, _Private] = field(default_factory=dict)
    databases: dict[str, Endpoint] = field(default_factory=dict)


class Estate:
    """The service behind the supervisor's loop."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._templates: dict[str, Once[Any]] = {}
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
        yield from self._starting_first(instance, installation)
        return instance

    def _starting_first(self, instance: Instance, installation: Installation) -> Waiting[None]:
        key = json.dumps(installation.to_wire(), sort_keys=True)
        if key not in self._templates:
            self._templates[key] = Once(DataTemplate(self._run, instance.provider, installation).filling())
        try:
            yield from instance.creating((yield from self._templates[key].outcome()))
            yield from instance.starting()
        except BackendNotAvailable:
            yield from instance.removing()
            raise

    def _building(self, client: ClientLink, request: Message) -> Waiting[Message]:
        installation = Installation.from_wire(request["installation"])
        settings: Settings = request["settings"]
        instance = Instance(self._run, provider_of(installation.kind), installation, settings)
        key, owned = secrets.token_hex(8), self._of[client]  # the client may leave meanwhile
        private = owned.servers[key] = _Private(instance, is_busy=True)
        try:
            yield from self._starting_first(instance, installation)
        except BackendNotAvailable:
            owned.servers.pop(key, None)
            raise
        finally:
            private.is_busy = False
        return {"key": key, **_description(instance)}

    def _controlling(self, client: ClientLink, request: Message) -> Waiting[Message]:
        key, action, owned = request["key"], request["action"], self._of[client]
        private = owned.servers.get(key)
        if private is None:
            raise UsageError("this private server is gone: it was removed, or the supervisor that owned it has ended")
        yield from private.coming_free()
        private.is_busy = True
        try:
            yield from self._acting(private.instance, action)
        finally:
            private.is_busy = False
        if action == "remove":
            owned.servers.pop(key, None)
            return {}
        return _description(private.instance)

    def _acting(self, instance: Instance, action: str) -> Waiting[None]:
        if action == "start":
            yield from instance.starting()
        elif action == "stop":
            yield from instance.stopping()
        elif action == "restart":
            yield from instance.stopping()
            yield from instance.starting()
        elif action == "crash":
            yield from instance.crashing()
        elif action == "freeze":
            yield from instance.freezing()
        elif action == "thaw":
            instance.thaw()
        elif action == "remove":
            yield from instance.removing()
        else:
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
    endpoint = Endpoint(provider.kind, LOOPBACK, instance.port, provider.user, database=provider.maintenance_database)
    return {
        "endpoint": endpoint.to_wire(),
        "version": instance.version,
        "folder": str(instance.layout.folder),
        "pid": instance.pid,
        "state": instance.state.value,
    }
