"""What can be wrong with a history, and which levels of isolation promise that it is not."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Anomaly(enum.Enum):
    """Something that a history shows; the value is Elle's name for it, where Elle has one."""

    DUPLICATE_APPEND = "duplicate-elements"
    """A list holds an element twice, though it was appended once: a write was repeated."""
    LOST_APPEND = "lost-append"
    """An append was acknowledged, and no read that began after that shows it."""
    UNKNOWN_ELEMENT = "unknown-element"
    """A list holds what nobody has appended."""
    INCOMPATIBLE_ORDER = "incompatible-order"
    """Two reads of a list contradict each other: neither is a beginning of the other."""
    INTERNAL = "internal"
    """A transaction does not see what it has itself appended."""
    DIRTY_WRITE = "G0"
    """Writes of transactions lie over each other both ways."""
    ABORTED_READ = "G1a"
    """A committed transaction read what another had appended and rolled back."""
    INTERMEDIATE_READ = "G1b"
    """A transaction read a list as it was in the middle of another transaction."""
    CIRCULAR_INFORMATION_FLOW = "G1c"
    """Transactions have read each other's writes, in a circle."""
    LOST_UPDATE = "lost-update"
    """Two transactions read the same state of a list, and both appended to it."""
    READ_SKEW = "G-single"
    """A circle with one read of a state that was already replaced."""
    LONG_FORK = "G-nonadjacent"
    """A circle with several reads of replaced states, no two of them in a row."""
    WRITE_SKEW = "G2-item"
    """A circle with two reads of replaced states in a row: each of two writers did not see the other."""
    REAL_TIME = "real-time"
    """A circle that closes only because a transaction had ended before another began: a stale read, for one."""


class Level(enum.Enum):
    """What a level of isolation promises, by what it forbids.

    What products call by these names is not always the same: what PostgreSQL calls REPEATABLE READ is ``SNAPSHOT``
    here; MariaDB's REPEATABLE READ promises no more than ``READ_COMMITTED`` to a transaction that writes, as long as
    ``innodb_snapshot_isolation`` is off.
    """

    READ_UNCOMMITTED = "read uncommitted"
    READ_COMMITTED = "read committed"
    SNAPSHOT = "snapshot"
    SERIALIZABLE = "serializable"
    STRICT_SERIALIZABLE = "strict serializable"

    @property
    def forbidden(self) -> frozenset[Anomaly]:
        """What must not be found."""
        return _FORBIDDEN[self]

    def allows(self, anomaly: Anomaly) -> bool:
        """Return whether it may be found."""
        return anomaly not in self.forbidden


# At every level a write that is acknowledged is stored, once.
_ALWAYS = frozenset(
    {
        Anomaly.DUPLICATE_APPEND,
        Anomaly.LOST_APPEND,
        Anomaly.UNKNOWN_ELEMENT,
        Anomaly.INCOMPATIBLE_ORDER,
        Anomaly.INTERNAL,
        Anomaly.DIRTY_WRITE,
    }
)
_COMMITTED = _ALWAYS | {Anomaly.ABORTED_READ, Anomaly.INTERMEDIATE_READ, Anomaly.CIRCULAR_INFORMATION_FLOW}
_SNAPSHOT = _COMMITTED | {Anomaly.LOST_UPDATE, Anomaly.READ_SKEW, Anomaly.LONG_FORK}
_SERIALIZABLE = _SNAPSHOT | {Anomaly.WRITE_SKEW}

# Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions", 1999;
# for snapshot isolation Cerone and Gotsman, "Analysing Snapshot Isolation", 2018: its circles have two reads of
# replaced states in a row.
_FORBIDDEN: Mapping[Level, frozenset[Anomaly]] = {
    Level.READ_UNCOMMITTED: _ALWAYS,
    Level.READ_COMMITTED: _COMMITTED,
    Level.SNAPSHOT: _SNAPSHOT,
    Level.SERIALIZABLE: _SERIALIZABLE,
    Level.STRICT_SERIALIZABLE: _SERIALIZABLE | {Anomaly.REAL_TIME},
}
