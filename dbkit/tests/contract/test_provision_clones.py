"""Databases made of templates, on every product."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import dbkit
from dbkit.exceptions import DBLockTimeout, UsageError
from dbkit.testing.provision import Schema
from dbkit.tests.behaviours.forks import Child
from dbkit.tests.contract.provision_cases import on_every_product, seed, shop

CUSTOMERS = [(1, "Ada"), (2, "Grëte 🐍")]
ORDERS = [(1, 2, None), (2, 2, 1)]


class Clones:
    def quoted(self, name):
        return f"`{name}`" if self.product == "mariadb" else f'"{name}"'

    def customers(self, database):
        return self.ask(database, "SELECT id, name FROM customer ORDER BY id")

    def orders(self, database):
        return self.ask(database, f"SELECT id, customer_id, parent_id FROM {self.quoted('order')} ORDER BY id")

    def write_much(self, database):
        """Change, delete and insert, so that each table differs from what it was."""
        order = self.quoted("order")
        self.do(
            database,
            f"DELETE FROM {order} WHERE id = 2",
            "UPDATE customer SET name = 'Eve' WHERE id = 1",
            "INSERT INTO customer (name) VALUES ('Mallory')",
            f"INSERT INTO {order} (customer_id) VALUES (3)",
        )

    def test_it_has_the_rows_of_the_seed(self):
        database = self.clone(self.template())
        self.assertEqual(CUSTOMERS, self.customers(database))
        self.assertEqual(ORDERS, self.orders(database))

    def test_it_has_views_and_triggers(self):
        database = self.clone(self.template())
        self.assertEqual([("Ada",), ("Grëte 🐍",)], sorted(self.ask(database, "SELECT name FROM customers")))
        self.do(database, "INSERT INTO customer (name) VALUES ('Mallory')")
        self.assertEqual([("INSERT",)], self.ask(database, "SELECT what FROM audit"))

    def test_its_counters_go_on_after_the_seed(self):
        database = self.clone(self.template())
        self.do(database, "INSERT INTO customer (name) VALUES ('Mallory')")
        self.assertEqual([(3, "Mallory")], self.customers(database)[2:])

    def test_dbkit_works_on_its_url(self):
        database = self.clone(self.template())
        drivers = {"postgresql": "psycopg", "mariadb": "pymysql"}
        db = dbkit.Database(database.url(drivers.get(self.product, "pysqlite")))
        self.addCleanup(db.dispose)
        with db.writer() as session:
            session.execute(sa.text("INSERT INTO customer (name) VALUES ('Mallory')"))
        self.assertEqual(3, len(self.customers(database)))

    def test_clones_do_not_share_rows(self):
        template = self.template()
        one, two = self.clone(template), self.clone(template)
        self.do(one, "INSERT INTO customer (name) VALUES ('Mallory')")
        self.assertEqual(CUSTOMERS, self.customers(two))

    def test_threads_may_clone_at_once(self):
        template = self.template()
        with ThreadPoolExecutor(6) as pool:
            clones = list(pool.map(lambda _: template.clone(), range(6)))
        for each in clones:
            self.addCleanup(each.drop)
        self.assertEqual(6, len({each.name for each in clones}))
        self.assertEqual([CUSTOMERS] * 6, [self.customers(each) for each in clones])

    def test_threads_build_a_template_once(self):
        built = []

        def counted(connection):
            built.append(threading.get_ident())
            seed(connection)

        schema = Schema(metadata=shop(), version=self.id(), seed=counted)
        with ThreadPoolExecutor(4) as pool:
            for each in pool.map(lambda _: self.template(schema).clone(), range(4)):
                self.addCleanup(each.drop)
        self.assertEqual(1, len(built))

    def test_emptied_it_is_as_it_was(self):
        database = self.clone(self.template())
        self.write_much(database)
        database.empty()
        self.assertEqual(CUSTOMERS, self.customers(database))
        self.assertEqual(ORDERS, self.orders(database))
        self.assertEqual([], self.ask(database, "SELECT * FROM audit"))
        self.assertTrue(database.is_as_built())

    def test_its_triggers_work_after_it_was_emptied(self):
        database = self.clone(self.template())
        self.write_much(database)
        database.empty()
        self.do(database, "INSERT INTO customer (name) VALUES ('Mallory')")
        self.assertEqual([("INSERT",)], self.ask(database, "SELECT what FROM audit"))

    def test_emptied_with_its_counters_it_counts_as_if_new(self):
        template = self.template()
        database, other = self.clone(template), self.clone(template)
        self.write_much(database)
        database.empty(restart_sequences=True)
        for each in (database, other):
            self.do(each, "INSERT INTO customer (name) VALUES ('Mallory')")
        self.assertEqual([(3, "Mallory")], self.customers(database)[2:])
        self.assertEqual(*(self.ask(each, "SELECT id, what FROM audit") for each in (database, other)))
        self.assertTrue(database.is_as_built())

    def test_it_is_emptied_as_often_as_one_likes_with_other_connections_open(self):
        database = self.clone(self.template())
        engine = sa.create_engine(database.url({"postgresql": "psycopg", "mariadb": "pymysql"}.get(self.product)))
        self.addCleanup(engine.dispose)
        for _ in range(3):
            with engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO customer (name) VALUES ('Mallory')"))
            database.empty()
            with engine.connect() as connection:
                self.assertEqual(2, connection.execute(sa.text("SELECT count(*) FROM customer")).scalar())

    def test_a_table_with_many_rows_is_emptied_too(self):
        database = self.clone(self.template())
        with database.connect() as connection:
            rows = [{"name": "x" * 90} for _ in range(12000)]
            connection.execute(shop().tables["customer"].insert(), rows)
        database.empty()
        self.assertEqual(CUSTOMERS, self.customers(database))
        self.assertEqual(ORDERS, self.orders(database))

    def test_ddl_is_noticed_and_undone(self):
        changes = (
            "CREATE TABLE extra (a INTEGER)",
            "ALTER TABLE customer ADD COLUMN extra INTEGER",
            "DROP VIEW customers",
            "CREATE INDEX extra ON customer (name)",
            "DROP TRIGGER noted_insert" + (" ON customer" if self.product == "postgresql" else ""),
        )
        database = self.clone(self.template())
        for change in changes:
            self.assertTrue(database.is_as_built(), change)
            self.do(database, change)
            self.assertFalse(database.is_as_built(), change)
            database.reset()
        self.assertTrue(database.is_as_built())
        self.assertEqual(CUSTOMERS, self.customers(database))

    def test_writing_is_no_change_of_the_schema(self):
        database = self.clone(self.template())
        self.write_much(database)
        self.assertTrue(database.is_as_built())

    def test_it_is_dropped_with_connections_open(self):
        template = self.template()
        database = template.clone()
        engine = sa.create_engine(database.url({"postgresql": "psycopg", "mariadb": "pymysql"}.get(self.product)))
        self.addCleanup(engine.dispose)
        connection = engine.connect()
        self.addCleanup(connection.invalidate)
        connection.execute(sa.text("INSERT INTO customer (name) VALUES ('Mallory')"))
        database.drop()
        database.drop()
        self.assertRaises(UsageError, database.empty)
        self.assertRaises(UsageError, database.is_as_built)

    def test_dropped_by_its_block_it_is_gone(self):
        template = self.template()
        with template.clone() as database:
            url = database.url({"postgresql": "psycopg", "mariadb": "pymysql"}.get(self.product))
        if self.where == "sqlite":
            url = url.update_query_dict({"uri": "true"}).set(database=f"file:{database.name}?mode=ro")
        engine = sa.create_engine(url, poolclass=NullPool)
        self.assertRaises(sa.exc.DBAPIError, self.read_customer, engine)

    @staticmethod
    def read_customer(engine):
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT id FROM customer")).all()

    def test_all_objects_can_be_dropped(self):
        database = self.clone(self.template())
        database.drop_all_objects()
        with database.connect() as connection:
            inspector = sa.inspect(connection)
            self.assertEqual([], inspector.get_table_names() + inspector.get_view_names())
        database.drop_all_objects()
        database.reset()
        self.assertEqual(CUSTOMERS, self.customers(database))

    def test_the_worker_database_is_one(self):
        template = self.template()
        database = template.worker_database()
        self.addCleanup(database.drop)
        self.assertIs(database, template.worker_database())
        self.assertIs(template, self.template(template.schema))

    def test_a_forked_child_has_a_database_of_its_own(self):
        template = self.template()
        database = template.worker_database()
        self.addCleanup(database.drop)

        def work():
            mine = template.worker_database()
            self.do(mine, "INSERT INTO customer (name) VALUES ('Mallory')")
            mine.empty()
            found = (mine.name, self.customers(mine))
            mine.drop()
            return found

        name, customers = Child(work).report()
        self.assertNotEqual(database.name, name)
        self.assertEqual(CUSTOMERS, customers)
        database.empty()
        self.assertEqual(CUSTOMERS, self.customers(database))

    def test_a_clone_can_be_cloned(self):
        database = self.clone(self.template())
        self.write_much(database)
        other = self.clone(database)
        self.assertEqual(CUSTOMERS, self.customers(other))

    def test_an_open_transaction_makes_emptying_and_dropping_an_error(self):
        if self.where == "sqlite://":
            self.skipTest("a database in memory has one connection")
        database = self.clone(self.template())
        self.do(database, "UPDATE customer SET name = 'Eve'")
        engine = sa.create_engine(database.url({"postgresql": "psycopg", "mariadb": "pymysql"}.get(self.product)))
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            connection.execute(sa.text("UPDATE customer SET name = 'held'"))
            self.assertRaises(DBLockTimeout, database.empty)
            self.assertRaises(DBLockTimeout, database.drop_all_objects)
        database.reset()
        self.assertEqual(CUSTOMERS, self.customers(database))


globals().update(on_every_product(Clones))
del Clones
