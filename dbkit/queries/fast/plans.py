"""How many plans of one class are kept: which attributes are written together, a client may choose."""

from __future__ import annotations

from typing import Any

MOST = 200
"""Of one class on one dialect."""


def keep(plans: dict[tuple[str, ...], Any], names: tuple[str, ...], plan: Any) -> None:
    """Keep a plan for these attributes; of too many the older half is forgotten, and made again when asked for."""
    if len(plans) >= MOST and names not in plans:
        for each in list(plans)[: MOST // 2]:
            plans.pop(each, None)
    plans[names] = plan
