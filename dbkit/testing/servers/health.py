"""The process that tells load balancers, over HTTP, what part each database server plays at the moment.

``GET /writer`` is answered with 200 if the server takes writes, ``GET /reader`` if it takes reads, anything else with
503. Each server is asked for on a port of its own.
"""

from __future__ import annotations

import argparse
import http.server
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbkit.clock import SYSTEM_CLOCK, Clock
from dbkit.exceptions import DBError
from dbkit.testing.servers.databases import Runner, connected
from dbkit.testing.servers.endpoint import Endpoint
from dbkit.testing.servers.ports import LOOPBACK

LOG = logging.getLogger(__name__)

#: The parts that a server can play.
WRITER, READER = "writer", "reader"

_PAUSE_S = 0.05
_FRESH_S = 3.0
_GALERA_SYNCED = "4"


def parts_of(kind: str, run: Runner) -> frozenset[str]:
    """Return the parts that a server plays, by what it says itself.

    A primary is the writer, its replicas are readers, and a node of a Galera cluster is both as long as it is synced.

    :raises DBError: it does not answer.
    """
    if kind == "postgresql":
        return frozenset({READER if run("SELECT pg_is_in_recovery()")[0][0] else WRITER})
    told = _told(run, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')")
    told |= _told(run, "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state')")
    if told.get("wsrep_on") == "ON":
        is_synced = told.get("wsrep_ready") == "ON" and told.get("wsrep_local_state") == _GALERA_SYNCED
        return frozenset({WRITER, READER}) if is_synced else frozenset()
    return frozenset({WRITER if told.get("read_only") == "OFF" else READER})


def _told(run: Runner, statement: str) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in run(statement)}


class Watch:
    """One server, looked at again and again. What it last said counts for 3 s: a frozen server says nothing."""

    def __init__(self, endpoint: Endpoint, clock: Clock = SYSTEM_CLOCK) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._reason = ""
        self._seen: tuple[float, frozenset[str]] = (clock.now() - _FRESH_S, frozenset())

    def plays(self, part: str) -> bool:
        """Return whether the server plays this part."""
        when, parts = self._seen
        return part in parts and self._clock.now() - when < _FRESH_S

    def look_for_ever(self) -> None:
        """Look at the server until the process ends."""
        while True:
            try:
                with connected(self._endpoint, None) as run:
                    self._reason = ""
                    while True:
                        self._seen = (self._clock.now(), parts_of(self._endpoint.kind, run))
                        self._clock.sleep(_PAUSE_S)
            except DBError as failed:
                if (reason := str(failed)) != self._reason:
                    LOG.warning("%s", reason)
                self._reason = reason
                self._seen = (self._clock.now(), frozenset())
                self._clock.sleep(_PAUSE_S)


def server_of(port: int, watch: Watch) -> http.server.ThreadingHTTPServer:
    """Return the server that tells at this port what is seen of one database server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if watch.plays(self.path.strip("/")) else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            LOG.debug(format, *arguments)

    return http.server.ThreadingHTTPServer((LOOPBACK, port), Handler)


def serve(watched: Mapping[int, Endpoint]) -> None:
    """Watch these servers, each told of at its port, for ever. The last port opens when all others have."""
    for port, endpoint in watched.items():
        watch = Watch(endpoint)
        threading.Thread(target=watch.look_for_ever, daemon=True).start()
        threading.Thread(target=server_of(port, watch).serve_forever, daemon=True).start()
    threading.Event().wait()


def main() -> None:
    """Serve what the file says: for each port, where the server is that is told of there."""
    parser = argparse.ArgumentParser(description="Tells load balancers what part database servers play.")
    parser.add_argument("file", type=Path, help="JSON: a list of pairs of a port and a server")
    told = json.loads(parser.parse_args().file.read_text(encoding="utf-8"))
    serve({port: Endpoint.from_wire(endpoint) for port, endpoint in told})


if __name__ == "__main__":
    main()
