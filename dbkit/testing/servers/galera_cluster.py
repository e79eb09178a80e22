"""A Galera cluster on one machine, to lose nodes and connections between them at will."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dbkit.exceptions import DBError, UsageError
from dbkit.testing.servers import databases
from dbkit.testing.servers.client import Client, process_client
from dbkit.testing.servers.galera_provider import NOTIFY_FILE, NOTIFY_PROGRAM
from dbkit.testing.servers.kinds import provider_of
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import LOOPBACK
from dbkit.testing.servers.provider import Installation, as_settings
from dbkit.testing.servers.require import installation_of
from dbkit.testing.servers.server import Making, PrivateServer, together
from dbkit.testing.servers.wire import Message

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: Seconds within which a node is expected to join or to leave.
READY_S = 60.0

_GROUP_PORT, _INCREMENTAL_PORT, _SNAPSHOT_PORT = range(3)

# A lost node is noticed within two seconds, not fifteen. All nodes must have the same, or joining takes long.
_PROVIDER_OPTIONS: Mapping[str, str] = {
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.3S",
    "evs.suspect_timeout": "PT1.5S",
    "evs.inactive_timeout": "PT3S",
    "evs.install_timeout": "PT3S",
    "evs.join_retrans_period": "PT0.3S",
    "gmcast.peer_timeout": "PT1S",
    "gmcast.time_wait": "PT1S",
    "pc.announce_timeout": "PT1S",
    "pc.linger": "PT1S",
    "gcache.size": "8M",
    "gcache.page_size": "8M",
}

_FIRST_SEQUENCE_NUMBER = 1  # of a new cluster's first view: what data that were never replicated stand for


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself and of its part of the cluster.

    :param state: ``"Synced"``, ``"Donor/Desynced"``, ``"Joined"``, ``"Initialized"`` and so on.
    :param is_primary: whether the part that it belongs to is the one that may write.
    :param size: how many nodes that part has.
    :param is_ready: whether it takes statements.
    :param last_committed: the sequence number of the last transaction that it has.
    """

    state: str
    is_primary: bool
    size: int
    is_ready: bool
    last_committed: int

    @property
    def serves(self) -> bool:
        """Whether it takes statements and is up to date."""
        return self.is_ready and self.is_primary and self.state == "Synced"


class GaleraNode(PrivateServer):
    """One node of a cluster. Beside what can be done to any server of one's own, it can be cut off from the others."""

    def learn(self, told: Message) -> Self:
        """Take over what the supervisor tells of the node; to clients it is a server like others of its kind."""
        super().learn(told)
        self.kind = self.endpoint.kind
        return self

    def status(self) -> NodeStatus:
        """Return what the node says of itself.

        :raises UsageError: it is frozen, and would not answer.
        :raises DBError: it does not answer.
        """
        if self.state == "frozen":
            raise UsageError(f"the Galera node at port {self.port} is frozen and says nothing; thaw it first")
        with databases.connected(self.endpoint, None) as run:
            told = {str(name): str(value) for name, value in run(r"SHOW GLOBAL STATUS LIKE 'wsrep\_%'")}
        return NodeStatus(
            state=told["wsrep_local_state_comment"],
            is_primary=told["wsrep_cluster_status"] == "Primary",
            size=int(told["wsrep_cluster_size"]),
            is_ready=told["wsrep_ready"] == "ON",
            last_committed=int(told["wsrep_last_committed"]),
        )

    def serves(self) -> bool:
        """Return whether the node answers, takes statements and is up to date."""
        try:
            return self.state != "frozen" and self.status().serves
        except DBError:
            return False

    def wait_until_ready(self, bound_s: float = READY_S) -> None:
        """Return when the node takes statements and is up to date, as it sees it itself.

        A node that was frozen and thawed learns only in a moment that the others have gone on without it:
        :meth:`GaleraCluster.wait_for_size` waits until they agree again.

        :raises TimeoutError: it did not come to that within the bound.
        """
        wait_until(self.serves, bound_s, f"the readiness of the Galera node at port {self.port}")

    def partition(self) -> None:
        """Cut the node off from the others, and return when it has noticed: it then answers most statements with 1047.

        Clients still reach it.
        """
        self._isolate(1)
        wait_until(lambda: not self.status().is_primary, READY_S, f"the loss of the node at port {self.port}")

    def heal(self) -> None:
        """Let the node that was cut off see the others again, and return when it is up to date."""
        self._isolate(0)
        self.wait_until_ready()

    def rejoin(self) -> None:
        """Start the node after a crash or a stop, and return when it is up to date."""
        self.start()
        self.wait_until_ready()

    def bootstrap(self) -> None:
        """Declare the node's part of the cluster the one that may write, after the majority was lost for good."""
        self._set_option("pc.bootstrap=YES")
        self.wait_until_ready()

    def _isolate(self, level: int) -> None:
        self._set_option(f"gmcast.isolate={level}")

    def _set_option(self, option: str) -> None:
        with databases.connected(self.endpoint, None) as run:
            run(f"SET GLOBAL wsrep_provider_options = '{option}'")


class GaleraCluster:
    """Nodes that all take writes, for use in a ``with`` statement, which starts and removes them."""

    def __init__(
        self, client: Client, installation: Installation, nodes: int, settings: Mapping[str, object] | None = None
    ) -> None:
        if nodes < 2:
            raise UsageError(f"a Galera cluster has two nodes or more, not {nodes}; for one use private('mysql')")
        self._client = client
        self._installation = installation
        self._wanted = nodes
        self._settings = as_settings(settings)
        self._nodes: tuple[GaleraNode, ...] = ()

    def __repr__(self) -> str:
        ports = ", ".join(str(node.port) for node in self._nodes)
        return f"<{type(self).__name__} with nodes at {ports or 'no port'}>"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            making = Making(is_started=False, extra_ports=3)
            for _ in range(self._wanted):
                node = GaleraNode(self._client, self._installation, None, making).__enter__()
                self._nodes = (*self._nodes, node)
            self._form()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        nodes, self._nodes = self._nodes, ()
        together(nodes, "remove")

    def _form(self) -> None:
        # Equal data need no transfer. The nodes are told that they are members of a cluster that has just lost its
        # power: each finds the others, and together they restore it.
        members = sorted(uuid.uuid1() for _ in self._nodes)
        cluster = uuid.uuid1()
        for number, node in enumerate(self._nodes):
            files = {
                NOTIFY_FILE: NOTIFY_PROGRAM,
                "data/grastate.dat": saved_position(cluster),
                "data/gvwstate.dat": saved_view(members[number], members),
            }
            node.configure(self._settings_of(number, node), files=files)
        together(self._nodes, "start")
        self.wait_for_size(len(self._nodes))

    def _settings_of(self, number: int, node: GaleraNode) -> dict[str, str]:
        ports = node.extra_ports
        options = {
            "gmcast.listen_addr": f"tcp://{LOOPBACK}:{ports[_GROUP_PORT]}",
            "base_host": LOOPBACK,
            "base_port": str(ports[_GROUP_PORT]),
            "ist.recv_addr": f"{LOOPBACK}:{ports[_INCREMENTAL_PORT]}",
            **_PROVIDER_OPTIONS,
        }
        addresses = ",".join(f"{LOOPBACK}:{each.extra_ports[_GROUP_PORT]}" for each in self._nodes)
        return {
            "server_id": str(number + 1),
            "wsrep_node_name": f"node{number}",
            "wsrep_node_incoming_address": f"{LOOPBACK}:{node.port}",
            "wsrep_cluster_address": f"gcomm://{addresses}",
            "wsrep_sst_receive_address": f"{LOOPBACK}:{ports[_SNAPSHOT_PORT]}",
            "wsrep_provider_options": ";".join(f"{name}={value}" for name, value in options.items()),
            **self._settings,
        }

    @property
    def nodes(self) -> tuple[GaleraNode, ...]:
        """The nodes, in an order that does not change; none outside the ``with`` block."""
        return self._nodes

    def urls(self, driver: str | None = None, database: str | None = None, scheme: str | None = None) -> list[URL]:
        """Return the URL of a database for each node, as :meth:`Server.url` does."""
        return [node.url(driver, database, scheme) for node in self._nodes]

    def status(self) -> list[NodeStatus | None]:
        """Return what each node says of itself; None for one that does not answer."""
        return [self._status_of(node) for node in self._nodes]

    def _status_of(self, node: GaleraNode) -> NodeStatus | None:
        with contextlib.suppress(DBError):
            return None if node.state == "frozen" else node.status()
        return None

    def wait_for_size(self, size: int, bound_s: float = READY_S) -> Sequence[GaleraNode]:
        """Return the nodes that serve, when they are as many as ``size`` and agree on it.

        :raises TimeoutError: they did not come to that within the bound.
        """

        def found() -> Sequence[GaleraNode] | None:
            told = zip(self._nodes, self.status(), strict=True)
            serving = [(node, status) for node, status in told if status is not None and status.serves]
            agreed = len(serving) == size and all(status.size == size for _node, status in serving)
            return [node for node, _status in serving] if agreed else None

        return wait_until(found, bound_s, f"a Galera cluster of {size} nodes")

    def create_database(self) -> str:
        """Create an empty UTF-8 database and return its name when every serving node has it.

        :raises DBError: no node serves, or one refused.
        """
        serving = [node for node in self._nodes if node.serves()]
        if not serving:
            raise DBError(message=f"no node of {self!r} serves, so none can create a database; rejoin() or heal() one")
        name = serving[0].create_database()
        for node in serving[1:]:
            with databases.connected(node.endpoint, None) as run:
                run("SET SESSION wsrep_sync_wait = 1")
                run("SELECT 1 FROM information_schema.SCHEMATA LIMIT 1")
        return name


def saved_position(cluster: uuid.UUID) -> str:
    """Return the file ``grastate.dat`` of a node that has data of this cluster, and has seen its beginning only."""
    lines = ["# GALERA saved state", "version: 2.1", f"uuid:    {cluster}", f"seqno:   {_FIRST_SEQUENCE_NUMBER}"]
    return "\n".join([*lines, "safe_to_bootstrap: 0", ""])


def saved_view(node: uuid.UUID, members: Sequence[uuid.UUID]) -> str:
    """Return the file ``gvwstate.dat`` of a node: the members that were together when all of them went down."""

    def lines() -> Iterator[str]:
        yield f"my_uuid: {node}"
        yield "#vwbeg"
        yield f"view_id: 3 {members[0]} {len(members)}"  # 3 is a primary component
        yield "bootstrap: 0"
        yield from (f"member: {member} 0" for member in members)
        yield "#vwend"
        yield ""

    return "\n".join(lines())


def galera(nodes: int = 3, settings: Mapping[str, object] | None = None) -> GaleraCluster:
    """Return a Galera cluster, for use in a ``with`` statement, which starts and removes it.

    :param nodes: two or more; of two, none goes on without the other.
    :param settings: of all nodes, over those that all test servers have, by the product's own names.
    :raises BackendNotAvailable: there is none, and the text says why and what to install.
    """
    return GaleraCluster(process_client(), installation_of(provider_of("galera")), nodes, settings)
