"""The program by which the supervisor drops the databases that a client left; its task comes as JSON on its input."""

from __future__ import annotations

import json
import sys

from dbkit.exceptions import DBError
from dbkit.testing.servers.databases import drop_database
from dbkit.testing.servers.endpoint import Endpoint


def main() -> int:
    """Drop the databases and return the exit code: 1 if one of them could not be dropped."""
    task = json.load(sys.stdin)
    endpoint = Endpoint.from_wire(task["endpoint"])
    failed = False
    for name in task["names"]:
        try:
            drop_database(endpoint, name)
        except DBError as error:
            failed = True
            print(f"database {name} was not dropped: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
