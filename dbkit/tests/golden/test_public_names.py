"""The public names are those of the golden list: one that comes or goes is seen in review."""

from __future__ import annotations

import testtools

from dbkit.tests.golden import public_names


class TestPublicNames(testtools.TestCase):
    def test_they_are_those_of_the_list(self):
        self.assertEqual(
            public_names.GOLDEN.read_text(encoding="utf-8").splitlines(),
            public_names.render().splitlines(),
            "the public names have changed: regenerate the list with python -m dbkit.tests.golden.public_names, and "
            "write a release note",
        )
