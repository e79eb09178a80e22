"""Whether a MySQL, MariaDB or Galera server takes writes."""

from __future__ import annotations

from typing import Any

from dbkit.exceptions import DBReadOnly

# SHOW is answered also by a node that has left its cluster
_VARIABLES = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')"
_WSREP_READY = "SHOW GLOBAL STATUS LIKE 'wsrep_ready'"

_OF_THE_SERVER = (1290, 1836)
"""The server runs with read_only, or in a mode of its own in which it takes no writes. 1792 is the transaction's."""


def takes_writes(connection: Any) -> bool:
    """Ask the server; a Galera node must also be part of its cluster."""
    cursor = connection.cursor()
    try:
        cursor.execute(_VARIABLES)
        variables = {str(name): str(value) for name, value in cursor.fetchall()}
        if variables.get("read_only", "OFF") != "OFF":
            return False
        if variables.get("wsrep_on", "OFF") != "ON":
            return True
        cursor.execute(_WSREP_READY)
        return [str(value) for _name, value in cursor.fetchall()] == ["ON"]
    finally:
        cursor.close()


def is_not_primary(error: DBReadOnly) -> bool:
    """Return whether it was the server that refused to write, not the transaction and not the table."""
    return error.errno in _OF_THE_SERVER
