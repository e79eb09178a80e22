"""Pages of every form of statement: each row once, forward and back."""

from __future__ import annotations

from sqlalchemy import case, desc, func, literal, select, union
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, with_polymorphic

from dbkit.queries import Pages
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.shops import Animal, Base, Cat, Customer, Line, Order, shop

KEY = b"a secret of sixteen bytes"


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestForms(Behaviour):
    def setUp(self):
        super().setUp()
        self.bare = Session(shop(self.combination.product).observer)
        self.addCleanup(self.bare.close)

    def walked(self, pages, count):
        page = pages.page(self.bare)
        forward = list(page.items)
        while page.has_next and len(forward) <= count:
            page = pages.page(self.bare, page.next)
            forward += page.items
        page = pages.last(self.bare)
        back = list(page.items)
        while page.has_previous and len(back) <= count:
            page = pages.page(self.bare, page.previous)
            back = [*page.items, *back]
        return forward, back

    def assert_paged(self, count, statement, *sort_by, what="", **others):
        forward, back = self.walked(Pages(statement, sort_by=sort_by, key=KEY, size=4, **others), count)
        names = [row if isinstance(row, Base) else repr(row) for row in forward]
        said = f"{what}: forward {len(forward)}, different {len(set(names))}, back the same: {forward == back}"
        self.assertEqual((count, count, True), (len(forward), len(set(names)), forward == back), said)

    def test_hybrids_names_labels_and_aliases_are_keys(self):
        other = aliased(Order)
        self.assert_paged(30, select(Order), Order.rest.desc())
        self.assert_paged(30, select(Order), "rest", desc("at"))
        self.assert_paged(30, select(Order.id, (Order.id % 3).label("m")), desc("m"))
        self.assert_paged(30, select(other), other.single)
        self.assert_paged(27, self.bare.query(Order).filter(Order.id > 3), Order.single)

    def test_rows_of_joins_are_told_apart(self):
        self.assert_paged(30, select(Order).outerjoin(Order.customer), Customer.name, Order.at)
        self.assert_paged(40, select(Order.id, Line.id).join(Order.lines), Order.at)
        self.assert_paged(55, select(Order.id, Line.id).outerjoin(Order.lines), Line.id)
        self.assert_paged(30, select(Order).options(joinedload(Order.lines)), Order.at.desc())

    def test_groups_and_distinct_rows_are_paged(self):
        rest = Order.rest
        self.assert_paged(5, select(rest.label("r"), func.count(Order.at).label("n")).group_by(rest), "n")
        mean = select(Order.customer_id, func.avg(Order.id).label("n")).group_by(Order.customer_id)
        self.assert_paged(4, mean, "n")
        self.assert_paged(15, select(Order).join(Order.lines).distinct(), Order.at)
        self.assert_paged(7, select(Order.at).distinct(), Order.at)

    def test_groups_are_named_by_labels_and_may_be_null(self):
        by = select((Order.id % 3).label("m"), func.count().label("n")).group_by("m")
        self.assert_paged(3, by, "n")
        self.assert_paged(4, select(Order.customer_id, func.count()).group_by(Order.customer_id), Order.customer_id)

    def test_distinct_rows_are_sorted_by_what_they_are_made_of(self):
        self.assert_paged(7, select(Order.at).distinct(), func.coalesce(Order.at, func.date("2026-01-01")))
        self.assert_paged(3, select((Order.id % 3).label("m")).distinct(), desc("m"))
        joined = select(Order.id, Order.at).join(Order.customer).distinct()
        self.assert_paged(23, joined, Customer.rank)

    def test_an_outer_join_inside_makes_null_of_what_is_never_null(self):
        inner = select(Order.id, Customer.rank).outerjoin(Order.customer)
        for part in (inner.subquery(), inner.cte()):
            for key in (part.c.rank.asc(), part.c.rank.desc()):
                self.assert_paged(30, select(part), key, part.c.id, is_unique=True, what=str(key))
        outer = select(Order.id, Cat.lives).outerjoin(Cat, Cat.id == Order.id % 12)
        for key in (Cat.lives.asc(), Cat.lives.desc()):
            self.assert_paged(30, outer, key, Order.id, is_unique=True, what=str(key))

    def test_a_polymorphic_model_is_sorted_by_its_subclasses(self):
        both, flat = with_polymorphic(Animal, [Cat]), with_polymorphic(Animal, [Cat], flat=True)
        alias, flat_alias = aliased(Cat), aliased(Cat, flat=True)
        self.assert_paged(12, select(Animal), Cat.lives)
        self.assert_paged(12, select(Animal), func.coalesce(Cat.lives, -1).desc())
        self.assert_paged(12, select(both), both.Cat.lives.desc())
        self.assert_paged(12, select(both), Animal.kind)
        self.assert_paged(12, select(flat), flat.Cat.lives)
        self.assert_paged(7, select(Cat), Cat.lives.desc())
        self.assert_paged(7, select(flat_alias), flat_alias.lives)
        self.assert_paged(7, select(alias), alias.lives, alias.id, is_unique=True)

    def test_what_has_no_hash_and_names_that_are_the_same_are_selected(self):
        self.assert_paged(40, select(Line.id, Line.notes), Line.order_id)
        self.assert_paged(23, select(Order.id.label("x"), Customer.id.label("x")).join(Order.customer), Order.at)
        rows = Pages(select(Order.id, Order.id.label("dbkit_total")), sort_by=[Order.id], key=KEY).page(self.bare)
        self.assertEqual((1, 1), (rows.items[0].id, rows.items[0].dbkit_total))

    def test_expressions_are_keys(self):
        lines = select(func.count(Line.id)).where(Line.order_id == Order.id).correlate(Order).scalar_subquery()
        kind = case((Order.id > 20, "z"), (Order.id > 10, None), else_="a")
        for key in (lines, lines.desc(), kind.desc(), literal(1), Order.id > 9):
            self.assert_paged(30, select(Order), key, what=str(key))
        self.assert_paged(40, select(Line), Line.notes["kind"].as_string())
        both = union(select(Order.id.label("n")), select(Line.id)).subquery()
        self.assert_paged(40, select(both), both.c.n, is_unique=True)
        self.assert_paged(30, select(Order).options(selectinload(Order.lines), joinedload(Order.customer)), Order.at)

    def test_a_full_join_is_paged(self):
        if not self.is_on(Product.MARIADB):  # which has none
            joined = select(Order.id, Customer.id).join(Customer, Order.customer_id == Customer.id, full=True)
            self.assert_paged(31, joined, Customer.rank, Order.at)
