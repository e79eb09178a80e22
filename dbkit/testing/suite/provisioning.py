"""Test databases: built once, copied, emptied and dropped by the backend's own means."""

from __future__ import annotations

import os
import secrets
from typing import ClassVar

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from dbkit.exceptions import DBError
from dbkit.testing.provision import Clone, Schema, Template
from dbkit.testing.provision.ground import Ground as Place
from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.case import Case, insert_item
from dbkit.testing.suite.ground import ground_of
from dbkit.testing.suite.tables import ITEMS, PASSING, Base, tables_for


class Provisioned(Case):
    """What ``provisioning()`` returns."""

    required = (Capability.PROVISIONING,)
    template: ClassVar[Template]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if cls.subject.why_not(cls.required):
            return
        tables = tables_for(frozenset(cls.subject.can))

        def build(connection: Connection) -> None:
            Base.metadata.create_all(connection, tables=tables)

        def seed(connection: Connection) -> None:
            connection.execute(insert_item(1, "seeded"))

        unique = f"dbkit suite {os.getpid()} {secrets.token_hex(4)}"
        place = Place(ground_of(cls.subject).plain_url, cls.subject.backend, None)
        cls.template = Template(place, Schema(build=build, version=unique, seed=seed), unique)
        cls.addClassCleanup(cls.template.forget_all)

    def clone(self) -> Clone:
        """Return a database of the test's own."""
        made = self.template.clone()
        self.addCleanup(made.drop)
        return made

    def ids(self, clone: Clone) -> list[int]:
        """Return the ids of the items in a database."""
        with clone.connect() as connection:
            return list(connection.execute(ITEMS.select().order_by(ITEMS.c.id)).scalars())

    def write(self, clone: Clone, *statements: str) -> None:
        """Execute in a database."""
        with clone.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def test_a_clone_has_the_tables_and_the_rows_of_its_template(self) -> None:
        clone = self.clone()
        self.assertEqual([1], self.ids(clone))
        with clone.connect() as connection:
            found = set(inspect(connection).get_table_names())
        self.assertLessEqual({table.name for table in tables_for(frozenset(self.subject.can))}, found)

    def test_clones_do_not_see_each_other(self) -> None:
        first, second = self.clone(), self.clone()
        self.assertNotEqual(first.url(), second.url())
        self.write(first, "INSERT INTO dbkit_items (id, amount) VALUES (2, 0)")
        self.assertEqual(([1, 2], [1]), (self.ids(first), self.ids(second)))
        self.assertEqual([1], self.ids(self.clone()), "the template is as it was")

    def test_a_clone_that_is_emptied_has_the_templates_rows_and_no_others(self) -> None:
        clone = self.clone()
        self.write(
            clone,
            "INSERT INTO dbkit_items (id, amount) VALUES (2, 0)",
            "UPDATE dbkit_items SET amount = 5 WHERE id = 1",
        )
        clone.empty()
        with clone.connect() as connection:
            rows = [tuple(row) for row in connection.execute(ITEMS.select())]
        self.assertEqual([(1, "seeded", 0)], rows)

    def test_a_changed_schema_is_noticed_and_a_reset_makes_it_new(self) -> None:
        clone = self.clone()
        self.assertTrue(clone.is_as_built())
        self.write(clone, f"CREATE TABLE {PASSING} (id INTEGER)", "DELETE FROM dbkit_items")
        self.assertFalse(clone.is_as_built())
        clone.reset()
        self.assertTrue(clone.is_as_built())
        self.assertEqual([1], self.ids(clone))
        with clone.connect() as connection:
            self.assertNotIn(PASSING, inspect(connection).get_table_names())

    def test_all_objects_can_be_dropped(self) -> None:
        clone = self.clone()
        self.write(clone, "CREATE VIEW dbkit_view AS SELECT id FROM dbkit_items")
        clone.drop_all_objects()
        with clone.connect() as connection:
            found = inspect(connection)
            self.assertEqual(([], []), (found.get_table_names(), found.get_view_names()))

    def test_a_clone_that_is_dropped_is_gone_and_a_second_time_is_no_error(self) -> None:
        clone = self.template.clone()
        place = self.template.ground
        url = clone.url()
        clone.drop()
        clone.drop()
        blocking = url.set(drivername=place.url.drivername)
        try:
            with place.connected(blocking) as connection:
                found = inspect(connection).get_table_names()
        except DBError:
            return
        self.assertEqual([], found, "a new database has been made in its place, at most")
        place.provisioning.drop(place.site(), clone.name)

    def test_the_name_of_a_database_and_its_url_go_together(self) -> None:
        place = self.template.ground
        site = place.site()
        first, second = (place.provisioning.name_of(site, token) for token in ("one", "two"))
        self.assertNotEqual(first, second)
        self.assertEqual(first, place.provisioning.name_of(site, "one"))
        self.assertEqual(first, place.provisioning.url_of(site, first).database)
