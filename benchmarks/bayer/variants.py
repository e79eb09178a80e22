"""The ways in which the operation is written: those that were compared in 2014."""

from __future__ import annotations

#: With the fixed address and its instance joined and loaded, which nobody looks at.
DEFAULT = "default"

#: Without them.
PLAIN = "no eager load"

#: And the row is saved by itself, past the unit of work.
FAST_SAVE = "fast save"

#: And the statement is built once, not at each call.
PREPARED = "prepared"

#: Prepared, and saved by itself.
BOTH = "both"

VARIANTS: tuple[str, ...] = (DEFAULT, PLAIN, FAST_SAVE, PREPARED, BOTH)
