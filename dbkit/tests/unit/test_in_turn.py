"""Where one driver of each product and colour is enough, each has its turn."""

from __future__ import annotations

from pathlib import Path

import fixtures
import testtools

from dbkit.spec import Colour
from dbkit.tests.behaviours.combinations import (
    EVERY_DRIVER,
    MARIADB,
    POSTGRESQL,
    SQLITE,
    Combination,
    Product,
    in_turn,
    is_matched,
    patterns_in,
)

NAMES = [f"TestThings.test_{number}" for number in range(200)]
MISSING = Combination(Product.MARIADB, "mysql", "none", Colour.BLOCKING, "no_such_driver", "none")


class TestInTurn(testtools.TestCase):
    def test_each_product_is_taken_once_in_each_colour(self):
        for name in NAMES:
            found = [(each.product, each.colour) for each in in_turn(name, EVERY_DRIVER)]
            self.assertEqual(len({(each.product, each.colour) for each in EVERY_DRIVER}), len(found))
            self.assertEqual(len(set(found)), len(found))

    def test_every_driver_that_is_installed_has_its_turn(self):
        met = frozenset().union(*(in_turn(name, EVERY_DRIVER) for name in NAMES))
        self.assertEqual({each for each in EVERY_DRIVER if not each.missing}, met)

    def test_a_name_always_has_the_same(self):
        self.assertEqual(in_turn("a", sorted(MARIADB, key=hash)), in_turn("a", MARIADB))

    def test_the_next_turn_is_another_drivers(self):
        two = frozenset(each for each in POSTGRESQL if each.colour is Colour.BLOCKING)
        for name in NAMES:
            self.assertEqual(two, in_turn(name, two, 1) | in_turn(name, two, 2))

    def test_what_has_no_other_driver_stays(self):
        self.assertEqual(SQLITE, in_turn("a", SQLITE))

    def test_one_that_is_not_installed_has_no_turn_unless_it_is_alone(self):
        self.assertFalse(any(MISSING in in_turn(name, {MISSING, *MARIADB}) for name in NAMES))
        self.assertEqual({MISSING}, in_turn("a", {MISSING}))

    def test_what_the_other_suite_leaves_out_is_read_from_its_file(self):
        path = Path(self.useFixture(fixtures.TempDir()).path, "leaves-out.txt")
        path.write_text("# a line that says why\n\n\\.faults\\.test_(commit|soak)\n\\.golden\\.\n", encoding="utf-8")
        left_out = patterns_in(path)
        for name, expected in (
            ("dbkit.tests.faults.test_commit.TestCommits", True),
            ("dbkit.tests.faults.test_fence.TestFence", False),
            ("dbkit.tests.behaviours.test_says.TestLines", False),
        ):
            self.assertEqual(expected, is_matched(name, left_out))
