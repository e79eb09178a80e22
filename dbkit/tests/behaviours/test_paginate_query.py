"""oslo.db's ``paginate_query``, by its signature: complete and in order on each product, and where oslo.db's is not."""

from __future__ import annotations

import itertools
import random

from oslo_db.sqlalchemy.utils import paginate_query as original
from sqlalchemy import select
from sqlalchemy.orm import Session, registry

from dbkit.exceptions import InvalidSortKey
from dbkit.queries import paginate_query
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.paged import METADATA, ROWS, WAYS, expected, filled
from dbkit.tests.behaviours.places import place


class Paged:
    """A mapped class over the table."""


registry().map_imperatively(Paged, ROWS)
NAMES = {None: "", True: "-nullsfirst", False: "-nullslast"}
ALL = [ways for count in (1, 2) for ways in itertools.product(WAYS, repeat=count)]


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestPaginateQuery(Behaviour):
    def setUp(self):
        super().setUp()
        observer = place(self.combination.product).observer
        with observer.connect() as connection:
            METADATA.drop_all(connection)
            self.addCleanup(METADATA.drop_all, observer)
            self.rows = filled(connection)
        self.bare = self.session_on(observer)

    def session_on(self, observer):
        session = Session(observer)
        self.addCleanup(session.close)
        return session

    def wrong(self, function, combinations):
        found = []
        for ways in combinations:
            keys, marker, seen = [*"abc"[: len(ways)], "id"], None, []
            last = "desc" if ways[-1][0] else "asc"
            dirs = [("desc" if descending else "asc") + NAMES[first] for descending, first in ways] + [last]
            while len(seen) <= len(self.rows):
                asked = function(select(Paged), Paged, 9, keys, marker=marker, sort_dirs=dirs)
                page = self.bare.scalars(asked).all()
                if not page:
                    break
                seen += [each.id for each in page]
                marker = page[-1]
            if seen != expected(self.rows, ways, not self.is_on(Product.POSTGRESQL)):
                found.append(ways)
        return found

    def test_each_sequence_is_complete_and_oslo_dbs_are_not(self):
        chosen = random.Random(5).sample(ALL, 14)
        self.assertEqual([], self.wrong(paginate_query, chosen))
        self.assertNotEqual([], self.wrong(original, chosen))

    def test_wrong_arguments_are_refused_as_oslo_db_does(self):
        query = select(Paged)
        self.assertRaises(InvalidSortKey, paginate_query, query, Paged, 1, ["nothing"])
        self.assertRaises(AssertionError, paginate_query, query, Paged, 1, ["id"], None, "asc", ["asc"])
        self.assertRaises(AssertionError, paginate_query, query, Paged, 1, ["id"], sort_dirs=["asc", "asc"])
        self.assertRaises(ValueError, paginate_query, query, Paged, 1, ["id"], sort_dir="up")
        paginate_query(query, Paged, None, ["a"])
        self.assertIn("Unique keys not in sort_keys", self.logs.output)
