"""What the callers of a run were told, compared with what is stored."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence

from dbkit.tests.soak.figures import Figures
from dbkit.tests.soak.ways import Call


class Tally:
    """What the callers were told, by the numbers of their calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acknowledged: list[int] = []
        self.refused: dict[int, BaseException] = {}
        self.hooks: list[int] = []

    async def note(self, number: int, call: Call) -> None:
        """Make a call and remember how it ended."""
        try:
            await call(number)
        except (Exception, asyncio.CancelledError) as error:
            with self._lock:
                self.refused[number] = error
        else:
            with self._lock:
                self.acknowledged.append(number)

    def compare(self, figures: Figures, elements: Sequence[int], *, hooks: bool = True) -> None:
        """Put into the figures what was lost and doubled.

        :param elements: the numbers that are stored, each as often as it is.
        :param hooks: whether the hooks count.
        """
        stored = Counter(elements)
        acknowledged = set(self.acknowledged)
        figures.report("acknowledged", len(acknowledged))
        figures.expect("doubled", 0, sum(count - 1 for count in stored.values()))
        figures.expect("lost", 0, len(acknowledged - stored.keys()))
        figures.expect("refused though stored", 0, len(self.refused.keys() & stored.keys()))
        if hooks:
            ran = Counter(self.hooks)
            figures.report("hooks", len(self.hooks))
            figures.expect("hooks too many", 0, sum((ran - Counter(acknowledged)).values()))
            figures.expect("hooks too few", 0, sum((Counter(acknowledged) - ran).values()))

    def tell_errors(self, figures: Figures) -> None:
        """Count the errors, none of which should have come out."""
        figures.expect("errors", 0, len(self.refused))
        for number, error in list(self.refused.items())[:3]:
            figures.damage.append(f"{number}: {type(error).__name__}: {error}")
