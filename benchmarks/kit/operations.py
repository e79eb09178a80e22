"""What is timed, by name."""

from __future__ import annotations

#: One test with what isolates it, in either colour.
TEST = "test"

#: A test database made, emptied or built anew.
DATABASE = "database"

#: What must be done before each time, and is not timed.
PREPARE = "prepare"
