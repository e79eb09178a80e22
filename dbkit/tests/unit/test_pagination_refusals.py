"""What cannot be paged is refused when the pages are made, with the reason."""

from __future__ import annotations

import testtools
from sqlalchemy import ARRAY, Integer, column, func, select, tuple_, union
from sqlalchemy.orm import contains_eager
from sqlalchemy.types import JSON, TypeDecorator

from dbkit.exceptions import InvalidSortKey, UsageError
from dbkit.queries import Pages
from dbkit.tests.behaviours.shops import Animal, Cat, Customer, Line, Order

KEY = b"a secret of sixteen bytes"


class Packed(TypeDecorator):
    """A type of one's own over one that has no order."""

    impl = JSON
    cache_ok = True


WINDOW = func.row_number().over(order_by=Order.id)
REFUSED = (
    (select(Order.id, WINDOW.label("place")), Order.id, "window function, which would count the rows of each page"),
    (select(Order), WINDOW, "window function cannot be a sort key"),
    (select(Order).where(Order.id > 1).limit(1), Order.id, "LIMIT"),
    (select(Order).fetch(1), Order.id, "LIMIT"),
    (union(select(Order.id), select(Line.id)), "id", "subquery() of anything else, such as a union"),
    (select(Order.at).distinct(), Order.id, "DISTINCT, and a sort key is of formed_orders.id"),
    (select(Order.id).join(Order.lines).distinct(), Line.id, "a sort key is of formed_lines.id"),
    (select(func.count()).group_by(Order.at).distinct(), func.count(), "GROUP BY and DISTINCT"),
    (select(Order.at).group_by(func.rollup(Order.at)), Order.at, "ROLLUP"),
    (select(Order), Customer.rank, "of formed_customers, which the statement does not read; join it"),
    (select(Customer), Cat.lives, "formed_cats"),
    (select(Line), Line.notes, "of type JSON"),
    (select(Order), column("x", ARRAY(Integer)), "of type ARRAY"),
    (select(Order), column("x", Packed), "of type JSON"),
    (select(Order), func.random(), "another value each time"),
    (select(Order), func.rand() + 1, "another value each time"),
    (select(Order).join(Order.lines).options(contains_eager(Order.lines)), Order.id, "selectinload() or joinedload()"),
    (select(select(Order).subquery("part")), column("id"), "the rows of part differ"),
    (select(select(Order).subquery()), column("id"), "the rows of the subquery differ"),
)


class TestRefusals(testtools.TestCase):
    def test_each_is_told_with_its_reason(self):
        wrong = []
        for number, (statement, key, reason) in enumerate(REFUSED):
            try:
                Pages(statement, sort_by=[key], key=KEY)
                wrong.append((number, reason, "was not refused"))
            except UsageError as error:
                if reason not in str(error):
                    wrong.append((number, reason, str(error)))
        self.assertEqual([], wrong)

    def test_what_is_no_expression_of_one_value_is_no_sort_key(self):
        for key in ("nothing", "lines", Order.lines, tuple_(Order.id, Order.at), 3, None):
            self.assertRaises(InvalidSortKey, Pages, select(Order), sort_by=[key], key=KEY)

    def test_inside_a_subquery_each_is_allowed(self):
        count = select(func.row_number().over()).where(Line.order_id == Order.id).correlate(Order).scalar_subquery()
        Pages(select(Order, count), sort_by=[count], key=KEY)
        Pages(select(Animal), sort_by=[Cat.lives], key=KEY)
