"""``python -m dbkit.testing.servers``: a server for a developer, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys

from dbkit.exceptions import DBError
from dbkit.testing.servers import private
from dbkit.testing.servers.kinds import PROVIDERS


def main() -> int:
    """Start a server, print its URL and stop it at an interrupt. Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dbkit.testing.servers", description="Start a throwaway server and stop it at Ctrl-C."
    )
    parser.add_argument("--kind", choices=sorted(PROVIDERS), required=True)
    parser.add_argument("--driver", help="driver for the printed URL, as SQLAlchemy names it")
    arguments = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        with private(arguments.kind) as server:
            print(server.url(driver=arguments.driver).render_as_string(hide_password=False), flush=True)
            signal.sigwait(ends)
    except DBError as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
