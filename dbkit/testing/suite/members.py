"""What a backend says of itself, without any database: its tables of drivers and rules, and what it tells the engines.

Nothing here connects.
"""

from __future__ import annotations

from sqlalchemy.engine.url import make_url

from dbkit.backends import registry
from dbkit.backends.base import Backend, Role, SessionSettings
from dbkit.backends.build import build_error
from dbkit.exceptions import DBError
from dbkit.spec import Colour
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import Case, needs


class Members(Case):
    """Every member is there and holds what the protocol says."""

    def test_every_member_of_the_protocol_is_there(self) -> None:
        members = {*Backend.__annotations__, *vars(Backend)}
        missing = {name for name in members if not name.startswith("_") and not hasattr(self.backend, name)}
        self.assertEqual(set(), missing)

    @needs(Capability.ENTRY_POINT)
    def test_the_entry_point_serves_each_of_its_schemes(self) -> None:
        for scheme in self.backend.schemes:
            self.assertIs(self.backend, registry.backend_for(scheme), scheme)

    def test_the_flags_are_true_or_false(self) -> None:
        for name in ("ends_only_when_told", "begins_at_once", "is_remote", "keeps_facts"):
            self.assertIsInstance(getattr(self.backend, name), bool, name)

    # -- drivers ------------------------------------------------------------------------------------------------------

    def test_each_driver_stands_under_its_own_name(self) -> None:
        self.assertEqual({}, {key: each.name for key, each in self.backend.drivers.items() if key != each.name})

    def test_each_driver_says_which_arguments_it_accepts(self) -> None:
        for driver in self.backend.drivers.values():
            accepted = driver.arguments()
            self.assertIsInstance(accepted, frozenset, driver.name)
            self.assertEqual([], [name for name in accepted if not isinstance(name, str)], driver.name)

    def test_the_driver_of_each_colour_is_known_and_serves_it(self) -> None:
        for colour, needed in ((Colour.BLOCKING, Capability.BLOCKING), (Colour.ASYNCIO, Capability.ASYNCIO)):
            name = self.backend.defaults.get(colour)
            if name is None:
                self.assertFalse(self.declares(needed), f"{needed.name} is declared and has no default driver")
            else:
                self.assertIn(name, self.backend.drivers)
                self.assertIn(colour, self.backend.drivers[name].colours, name)

    def test_each_drivers_partner_is_known_and_serves_the_other_colour(self) -> None:
        if {Capability.BLOCKING, Capability.ASYNCIO} - frozenset(self.subject.can):
            self.skipTest(f"{self.subject.name} declares one colour only")
        drivers = self.backend.drivers
        for driver in drivers.values():
            self.assertIn(driver.partner, drivers, driver.name)
            served = driver.colours | drivers[driver.partner].colours
            self.assertEqual(frozenset(Colour), served, f"{driver.name} and its partner {driver.partner}")

    # -- rules --------------------------------------------------------------------------------------------------------

    def test_each_rule_raises_an_error_of_the_database_and_gives_its_source(self) -> None:
        self.assertTrue(self.backend.rules.rules)
        for rule in self.backend.rules.rules:
            self.assertTrue(issubclass(rule.raises, DBError), rule.label)
            self.assertTrue(rule.source, f"the rule {rule.label} has no source=")

    def test_an_error_of_nobodys_is_an_error_still(self) -> None:
        error = build_error(self.backend.rules, RuntimeError("a fault of the program"), statement="SELECT 1")
        self.assertIs(DBError, type(error))
        self.assertFalse(error.transient)

    def test_no_rule_hides_behind_one_before_it(self) -> None:
        before: set[object] = set()
        for rule in self.backend.rules.rules:
            hidden = bool(rule.codes) and before.issuperset(rule.codes)
            self.assertFalse(hidden, f"the rule {rule.label} is never reached: its codes were caught before it")
            if not rule.text and not rule.classes:
                before.update(rule.codes)

    # -- what it tells the engines ------------------------------------------------------------------------------------

    def test_the_arguments_of_an_engine_are_made_anew_for_each(self) -> None:
        settings = SessionSettings()
        for name, driver in self.backend.drivers.items():
            url = make_url(f"{self.backend.schemes[0]}+{name}://")
            if "host" in driver.arguments():
                url = url.set(host="localhost", database="example")
            for role in Role:
                first, second = (self.backend.engine_arguments(url, name, role, settings) for _ in range(2))
                self.assertEqual(first, second)
                self.assertIsNot(first, second, "create_engine would take from the one what another one needs")
                self.assertIsInstance(first.get("connect_args", {}), dict)
