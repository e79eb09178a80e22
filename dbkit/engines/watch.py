"""Why a connection looks at each statement before it is sent."""

from __future__ import annotations


class Watch:
    """Why each statement must be looked at before it is sent, as bits; usually there is no reason.

    Plain integers: an enum's operators would cost more than the statement's own bookkeeping.
    """

    DOOMED = 1
    READING = 2
    """A reader block runs inside a writer's transaction."""
    AUTOCOMMIT = 4
    """No transaction is open; some statements need one."""
    UNOPENED = 8
    """No connection has been taken from the pool yet."""
