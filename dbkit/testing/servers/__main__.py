"""``python -m dbkit.testing.servers``: servers for a developer, until Ctrl-C; and a rehearsal of the clusters."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys

from dbkit.exceptions import DBError
from dbkit.testing.servers import pair, private, rehearsal
from dbkit.testing.servers.kinds import database_names, kind_named
from dbkit.testing.servers.server import Server


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dbkit.testing.servers",
        description="Start a throwaway server, print its URL, and stop it at Ctrl-C.",
    )
    parser.add_argument("--kind", choices=database_names(), help="mysql and mariadb mean the same")
    parser.add_argument("--replicas", type=int, default=0, help="that follow it; their URLs are printed after its own")
    parser.add_argument("--driver", help="driver for the printed URLs, as SQLAlchemy names it")
    commands = parser.add_subparsers(dest="command", metavar="")
    rehearse = commands.add_parser("rehearse", help="form clusters, fail over, stop, and print the time of each")
    rehearse.add_argument("clusters", nargs="*", help=f"of {', '.join(rehearsal.REHEARSALS)}; all if none is named")
    arguments = parser.parse_args()
    try:
        if arguments.command:
            names = [kind_named(name) for name in arguments.clusters]
            if unknown := sorted(set(names) - set(rehearsal.REHEARSALS)):
                parser.error(f"there is no cluster {unknown[0]!r}; there are: {', '.join(rehearsal.REHEARSALS)}")
            return rehearsal.main(names)
        if arguments.kind is None:
            parser.error("name the server to start by --kind")
        return _serve(arguments.kind, arguments.replicas, arguments.driver)
    except DBError as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1


def _serve(kind: str, replicas: int, driver: str | None) -> int:
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with contextlib.ExitStack() as stack:
        servers: tuple[Server, ...]
        if replicas:
            servers = stack.enter_context(pair(kind, replicas)).members
        else:
            servers = (stack.enter_context(private(kind)),)
        for server in servers:
            print(server.url(driver=driver).render_as_string(hide_password=False), flush=True)
        signal.sigwait(ends)
    return 0


if __name__ == "__main__":
    sys.exit(main())
