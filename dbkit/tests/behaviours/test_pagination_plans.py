"""How many rows a page in the middle of many costs: those that it shows, where an index has its order."""

from __future__ import annotations

import json
from functools import cache

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, event, insert, or_, select, text

from dbkit.queries import Pages
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.places import place

KEY = b"a secret of sixteen bytes"
ROWS = 3000
SIZE = 10
METADATA = MetaData()
PLANNED = Table(
    "planned", METADATA, Column("id", Integer, primary_key=True), Column("a", Integer, nullable=False),
    Column("n", Integer), Column("f", Float(24), nullable=False), Column("few", Integer, nullable=False),
)  # fmt: skip
C = PLANNED.c
for number, columns in enumerate(
    ((C.a, C.id), (C.a.desc(), C.id), (C.n, C.id), (C.f, C.id), (C.few, C.a, C.id.desc())), 1
):
    Index(f"planned_{number}", *columns)

ANALYZE = {Product.POSTGRESQL: "ANALYZE planned", Product.MARIADB: "ANALYZE TABLE planned"}
#: Of SQLite it is steps of its machine: reading all rows takes some 30,000. PostgreSQL may sort the last hundred.
MOST = {Product.SQLITE_FILE: 1500, Product.POSTGRESQL: 120}

SERVED = {
    "not null": (C.a.asc(), C.id.asc()),
    "not null, descending": (C.a.desc(), C.id.desc()),
    "both directions": (C.a.desc(), C.id.asc()),
    "nullable": (C.n.asc(), C.id.asc()),
    "nullable, descending": (C.n.desc(), C.id.desc()),
    "NULL first": (C.n.asc().nulls_first(), C.id.asc()),
    "NULL last": (C.n.asc().nulls_last(), C.id.asc()),
    "NULL first, descending": (C.n.desc().nulls_first(), C.id.desc()),
    "a float": (C.f.asc(), C.id.asc()),
    "many that share the first": (C.few.asc(), C.a.asc(), C.id.desc()),
}


@cache
def filled(product):
    """Return a product's database with the rows, of which nobody changes any."""
    engine = place(product).observer
    METADATA.drop_all(engine)
    METADATA.create_all(engine)
    rows = [
        {"id": n, "a": n // 3, "n": n // 3 if n % 9 else None, "f": n / 7, "few": n // 1200} for n in range(1, ROWS + 1)
    ]
    with engine.connect() as connection:
        connection.execute(insert(PLANNED).values(rows[:1500]))
        connection.execute(insert(PLANNED).values(rows[1500:]))
        connection.exec_driver_sql(ANALYZE.get(product, "ANALYZE"))
        if product is Product.POSTGRESQL:  # where it is not its own place, an index must say so
            connection.exec_driver_sql("CREATE INDEX planned_nulls ON planned (n NULLS FIRST, id)")
    return engine


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestPlans(Behaviour):
    def setUp(self):
        super().setUp()
        self.bare = filled(self.combination.product).connect()
        self.addCleanup(self.bare.close)
        self.most = MOST.get(self.combination.product, 4 * SIZE)

    def cost(self, read):
        """Return what a function returns, and how many rows the database has looked at for it."""
        if self.is_on(Product.MARIADB):
            self.bare.exec_driver_sql("FLUSH STATUS")
            found = read()
            return found, sum(int(row[1]) for row in self.bare.execute(text("SHOW STATUS LIKE 'Handler_read%'")))
        if self.is_on(Product.POSTGRESQL):
            sent = []
            event.listen(self.bare, "before_cursor_execute", lambda *of: sent.append(of[2:4]))
            found = read()
            return found, sum(self.rows_of(*each) for each in list(sent))
        steps = [0]

        def step():
            steps[0] += 1

        driver = self.bare.connection.dbapi_connection
        driver.set_progress_handler(step, 1)
        try:
            return read(), steps[0]
        finally:
            driver.set_progress_handler(None, 0)

    def rows_of(self, statement, parameters):
        with self.bare.connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {statement}", parameters)
            (plan,) = cursor.fetchone()
        nodes, found = [(plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]], 0
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", [])
            if "Relation Name" in node:
                found += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return found

    def test_a_page_in_the_middle_reads_little_more_than_it_shows(self):
        costly = []
        for name, keys in SERVED.items():
            if self.is_on(Product.POSTGRESQL) and name in ("NULL last", "NULL first, descending"):
                continue  # its own places
            pages = Pages(select(PLANNED), sort_by=keys, key=KEY, size=SIZE)
            for where, first in (("middle", 1500), ("NULLs", 100), ("end", ROWS - 100)):
                cursor = pages.page(self.bare, size=first).next
                page, ahead = self.cost(lambda p=pages, c=cursor: p.page(self.bare, c))
                back, behind = self.cost(lambda p=pages, c=page.previous: p.page(self.bare, c))
                self.assertEqual((SIZE, SIZE), (len(page.items), len(back.items)))
                if max(ahead, behind) > self.most:
                    costly.append((name, where, ahead, behind))
            last, end = self.cost(lambda p=pages: p.last(self.bare))
            # where nothing bounds it, MariaDB sorts so small a table sooner than to follow an index
            if end > self.most and not self.is_on(Product.MARIADB):
                costly.append((name, "last", end))
        self.assertEqual([], costly)

    def test_or_null_is_a_range_on_mariadb_alone(self):
        """The control: what one statement costs, and why pages by nullable keys are read in two parts elsewhere."""
        descending = not self.is_on(Product.POSTGRESQL)
        further = C.n <= 500 if descending else C.n >= 500
        keys = (C.n.desc(), C.id.desc()) if descending else (C.n, C.id)
        statement = select(PLANNED).where(or_(further, C.n.is_(None))).order_by(*keys).limit(SIZE)
        cost = self.cost(lambda: self.bare.execute(statement).all())[1]
        self.assertEqual(self.is_on(Product.MARIADB), cost <= self.most, cost)
