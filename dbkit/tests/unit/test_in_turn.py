"""Where one driver of each product and colour is enough, or SQLite and one server, each has its turn."""

from __future__ import annotations

import testtools

from dbkit.spec import Colour
from dbkit.tests.behaviours.combinations import (
    ASYNCIO,
    EVERY_DRIVER,
    MARIADB,
    POSTGRESQL,
    SQLITE,
    Combination,
    Product,
    colours_in_turn,
    drivers_in_turn,
    turn_named,
)

NAMES = [f"TestThings.test_{number}" for number in range(200)]
MISSING = Combination(Product.MARIADB, "mysql", "none", Colour.BLOCKING, "no_such_driver", "none")


class TestDriversInTurn(testtools.TestCase):
    def test_each_product_is_taken_once_in_each_colour(self):
        for name in NAMES:
            found = [(each.product, each.colour) for each in drivers_in_turn(name, EVERY_DRIVER)]
            self.assertEqual(len({(each.product, each.colour) for each in EVERY_DRIVER}), len(found))
            self.assertEqual(len(set(found)), len(found))

    def test_every_driver_that_is_installed_has_its_turn(self):
        met = frozenset().union(*(drivers_in_turn(name, EVERY_DRIVER) for name in NAMES))
        self.assertEqual({each for each in EVERY_DRIVER if not each.missing}, met)

    def test_a_name_always_has_the_same(self):
        self.assertEqual(drivers_in_turn("a", sorted(MARIADB, key=hash)), drivers_in_turn("a", MARIADB))

    def test_the_next_turn_is_another_drivers(self):
        two = frozenset(each for each in POSTGRESQL if each.colour is Colour.BLOCKING)
        for name in NAMES:
            self.assertEqual(two, drivers_in_turn(name, two, 1) | drivers_in_turn(name, two, 2))

    def test_what_has_no_other_driver_stays(self):
        self.assertEqual(SQLITE, drivers_in_turn("a", SQLITE))

    def test_one_that_is_not_installed_has_no_turn_unless_it_is_alone(self):
        self.assertFalse(any(MISSING in drivers_in_turn(name, {MISSING, *MARIADB}) for name in NAMES))
        self.assertEqual({MISSING}, drivers_in_turn("a", {MISSING}))


class TestColoursInTurn(testtools.TestCase):
    def test_sqlite_is_taken_once_and_a_server_once(self):
        for name in NAMES:
            self.assertEqual([False, True], sorted(each in SQLITE for each in self.chosen(name)))

    def chosen(self, name):
        return colours_in_turn(name, EVERY_DRIVER)

    def test_every_driver_and_both_places_of_sqlite_have_their_turn_in_both_colours(self):
        met = frozenset().union(*(self.chosen(name) for name in NAMES))
        self.assertEqual({each for each in EVERY_DRIVER if not each.missing}, met)

    def test_what_is_chosen_of_one_database_does_not_hang_on_what_is_chosen_of_another(self):
        pairs = {
            (server.product, server.colour, *self.chosen(name) & SQLITE)
            for name in NAMES
            for server in self.chosen(name) - SQLITE
        }
        self.assertEqual(2 * 2 * len(SQLITE), len(pairs))

    def test_one_that_is_not_installed_is_not_chosen_where_another_colour_is(self):
        alone = {MISSING, *(each for each in MARIADB if each.colour is Colour.ASYNCIO)}
        self.assertFalse(any(MISSING in colours_in_turn(name, alone) for name in NAMES))
        self.assertEqual({MISSING}, colours_in_turn("a", {MISSING}))

    def test_it_is_another_driver_than_that_of_the_other_suite(self):
        several = POSTGRESQL | MARIADB & ASYNCIO
        if any(each.missing for each in several):
            self.skipTest("a driver is missing, and the other one of its colour stands in for it")
        for name in NAMES:
            self.assertEqual(frozenset(), drivers_in_turn(name, several) & colours_in_turn(name, several))


class TestNames(testtools.TestCase):
    def test_each_turn_has_a_name(self):
        self.assertEqual(
            [drivers_in_turn, colours_in_turn, None, None], [*map(turn_named, ("drivers", "colours", "", None))]
        )

    def test_another_name_is_refused(self):
        error = self.assertRaises(ValueError, turn_named, "1")
        self.assertIn("drivers or colours", str(error))
