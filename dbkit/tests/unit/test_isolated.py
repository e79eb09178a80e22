"""What ``isolated`` is called with by mistake."""

from __future__ import annotations

import unittest

from dbkit.exceptions import UsageError
from dbkit.testing.isolation import isolated


class TestArguments(unittest.TestCase):
    def refusal(self, *arguments: str, **words: str) -> str:
        with self.assertRaises(UsageError) as caught:
            isolated("sqlite://", *arguments, **words)
        return str(caught.exception)

    def test_a_strategy_by_the_name_of_the_markers_word_is_told_its_own(self) -> None:
        said = self.refusal(isolation="none")
        self.assertIn("strategy", said)
        self.assertIn("isolated(database, 'none')", said)

    def test_an_unknown_strategy_is_told_the_nearest(self) -> None:
        self.assertIn("did you mean 'rollback'?", self.refusal("rolback"))


if __name__ == "__main__":
    unittest.main()
