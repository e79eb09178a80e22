"""What Mike Bayer published in 2014 for OpenStack.

Source: the README of his repository zzzeek/nova_poc, "ORM Performance Study": one method of Nova, floating_ip_update(),
with Nova's own models, on SQLAlchemy 0.9 with the features that he proposed.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bayer.variants import BOTH, DEFAULT, FAST_SAVE, PLAIN, PREPARED


@dataclass(frozen=True, slots=True)
class Published:
    """One of his scenarios.

    :param name: his name for it.
    :param calls: function calls for 1,000 operations.
    :param seconds: for 10,000 operations, on his machine.
    """

    name: str
    calls: int
    seconds: int


#: By the variants; his words for "prepared" are "baked", and for "no eager load" "default_optimized".
PUBLISHED: dict[str, Published] = {
    DEFAULT: Published("default", 24_543_047, 222),
    PLAIN: Published("default_optimized", 1_881_626, 25),
    FAST_SAVE: Published("fast_save", 1_685_221, 22),
    PREPARED: Published("baked", 1_052_935, 16),
    BOTH: Published("fast_save_plus_baked", 856_035, 13),
}
