"""The schema that the tests of provisioning build, and the products that they run on."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import sqlalchemy as sa
import testtools

from dbkit.testing import provision, servers

#: name, what the template is asked of, the kind of server that it takes
PRODUCTS = {
    "sqlite": ("sqlite", None),
    "memory": ("sqlite://", None),
    "postgresql": ("postgresql", "postgresql"),
    "mariadb": ("mariadb", "mysql"),
}


def shop(*columns):
    """Return tables of a shop, with what a plain list of tables would forget."""
    metadata = sa.MetaData()
    sa.Table(
        "customer",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        *columns,
    )
    sa.Table(
        "order",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer_id", sa.ForeignKey("customer.id"), nullable=False),
        sa.Column("parent_id", sa.ForeignKey("order.id")),
    )
    sa.Table("audit", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.String(100)))
    return metadata


VIEW = "CREATE VIEW customers AS SELECT name FROM customer WHERE name LIKE '%'"
TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER noted AFTER {event} ON customer BEGIN INSERT INTO audit (what) VALUES ('{event}'); END",
    ),
    "mysql": (
        "CREATE TRIGGER noted AFTER {event} ON customer FOR EACH ROW "
        "BEGIN INSERT INTO audit (what) VALUES ('{event}'); SET @x = 1; END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO audit (what) VALUES (TG_OP); RETURN NULL; END $$",
        "CREATE TRIGGER noted AFTER {event} ON customer FOR EACH ROW EXECUTE FUNCTION note()",
    ),
}


def build(connection):
    """Build the shop with a view, and triggers for each of three events."""
    shop().create_all(connection)
    connection.exec_driver_sql(VIEW.replace("%", "%%") if connection.dialect.paramstyle != "qmark" else VIEW)
    for event in ("INSERT", "UPDATE", "DELETE"):
        for statement in TRIGGERS[connection.dialect.name]:
            text = statement.format(event=event).replace("noted", f"noted_{event.lower()}")
            connection.exec_driver_sql(text)


def seed(connection):
    """Write two customers, the second with an order, and forget what the triggers noted."""
    tables = shop().tables
    connection.execute(tables["customer"].insert(), [{"name": "Ada"}, {"name": "Grëte 🐍"}])
    connection.execute(tables["order"].insert(), [{"customer_id": 2, "parent_id": None}])
    connection.execute(tables["order"].insert(), [{"customer_id": 2, "parent_id": 1}])
    connection.execute(tables["audit"].delete())


class ProvisionCase(testtools.TestCase):
    """A test with a cache of its own.

    :cvar product: a key of :data:`PRODUCTS`.
    """

    product = "sqlite"

    def setUp(self):
        super().setUp()
        self.where, server = PRODUCTS[self.product]
        if server is not None:
            servers.require_or_skip(server)
        self.cache = Path(tempfile.mkdtemp(prefix="dbkit-cache-"))
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)
        previous = os.environ.get("DBKIT_TEST_CACHE")
        self.addCleanup(self.set_cache, previous)
        self.set_cache(str(self.cache))
        self.project = f"{self.id()} {os.getpid()}"

    @staticmethod
    def set_cache(value):
        if value is None:
            os.environ.pop("DBKIT_TEST_CACHE", None)
        else:
            os.environ["DBKIT_TEST_CACHE"] = value

    def schema(self, **arguments):
        """Return a schema that no other test has."""
        return provision.Schema(**{"build": build, "version": self.id(), "seed": seed, **arguments})

    def template(self, schema=None):
        """Return a template that goes with the test."""
        made = provision.template(self.where, schema or self.schema(), project=self.project)
        self.addCleanup(made.forget_all)
        return made

    def clone(self, template):
        """Return a clone that goes with the test."""
        made = template.clone()
        self.addCleanup(made.drop)
        return made

    def ask(self, database, statement):
        """Return the rows that another client reads."""
        with database.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def do(self, database, *statements):
        """Execute as another client."""
        with database.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))


def on_every_product(case):
    """Return the case as a class for each product, by name."""
    classes = {}
    for product in PRODUCTS:
        name = f"{case.__name__}On{product.title()}"
        classes[name] = type(name, (case, ProvisionCase), {"product": product, "__module__": case.__module__})
    return classes
