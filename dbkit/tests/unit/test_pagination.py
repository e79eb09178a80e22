"""Pages: every sequence of pages is complete and in order, forward and back, wherever NULL is put."""

from __future__ import annotations

import itertools
import random

import testtools
from sqlalchemy import case, create_engine, event, select
from sqlalchemy.orm import Session

from dbkit.exceptions import InvalidCursor, InvalidSetting, InvalidSortKey, UsageError
from dbkit.queries import Pages
from dbkit.tests.behaviours.paged import KEY, ROWS, WAYS, expected, filled, term


def walked(connection, pages):
    """Return the ids read forward, read back from the last page, and back from the last page reached forward."""
    forward, page = [], pages.page(connection)
    forward += page.items
    while page.has_next:
        page = pages.page(connection, page.next)
        forward += page.items
    ways = [forward]
    for end in (page, pages.last(connection)):
        page = end
        back = list(page.items)
        while page.has_previous:
            page = pages.page(connection, page.previous)
            back = [*page.items, *back]
        ways.append(back)
    return ways


def wrong_sequences(connection, rows, nulls_are_smallest, combinations):
    """Return the combinations whose pages are not complete and in order."""
    wrong = []
    for ways in combinations:
        pages = Pages(
            select(ROWS.c.id),
            sort_by=[term(name, *way) for name, way in zip("abc", ways, strict=False)],
            key=KEY,
            size=5,
        )
        if any(found != expected(rows, ways, nulls_are_smallest) for found in walked(connection, pages)):
            wrong.append(ways)
    return wrong


class TestBruteForce(testtools.TestCase):
    def test_each_combination_of_up_to_three_keys_is_complete_and_in_order(self):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            rows = filled(connection)
            combinations = [ways for count in (1, 2) for ways in itertools.product(WAYS, repeat=count)]
            combinations += random.Random(3).sample(list(itertools.product(WAYS, repeat=3)), 12)
            self.assertEqual([], wrong_sequences(connection, rows, True, combinations))
        engine.dispose()


class TestCursors(testtools.TestCase):
    def setUp(self):
        super().setUp()
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        self.connection = engine.connect()
        self.addCleanup(self.connection.close)
        filled(self.connection)

    def pages(self, statement=None, *sort_by, **others):
        return Pages(
            select(ROWS.c.id) if statement is None else statement,
            **{"sort_by": sort_by or (ROWS.c.a,), "key": KEY, "size": 4, **others},
        )

    def test_a_row_that_has_gone_takes_no_other_with_it(self):
        first = self.pages().page(self.connection)
        self.connection.execute(ROWS.delete().where(ROWS.c.id == first.items[-1]))
        seen, page = list(first.items), first
        while page.has_next:
            page = self.pages().page(self.connection, page.next)
            seen += page.items
        self.assertEqual((27, 27), (len(seen), len(set(seen))))

    def test_a_page_costs_one_statement_and_one_more_where_nulls_begin(self):
        sent = []
        event.listen(self.connection, "before_cursor_execute", lambda *of: sent.append(of[2]))
        pages, page, counts = self.pages(None, ROWS.c.a.asc().nulls_last(), size=9), None, []
        while page is None or page.has_next:
            sent.clear()
            page = pages.page(self.connection, page and page.next)
            counts.append((len(page.items), len(sent)))
        # 18 values, then 9 NULLs: whether more follows the second page, only the NULLs can tell
        self.assertEqual([(9, 1), (9, 2), (9, 2)], counts)

    def test_a_single_key_may_be_null_once(self):
        self.connection.execute(ROWS.update().values(a=case((ROWS.c.id == 9, None), else_=ROWS.c.id)))
        wanted = [n for n in range(1, 28) if n != 9]
        for key, order in (
            (ROWS.c.a.asc(), [9, *wanted]),
            (ROWS.c.a.desc(), [*wanted[::-1], 9]),
            (ROWS.c.a.asc().nulls_last(), [*wanted, 9]),
            (ROWS.c.a.desc().nulls_first(), [9, *wanted[::-1]]),
        ):
            for size in (1, 4, 26, 27, 28):
                pages = Pages(select(ROWS.c.id), sort_by=[key], key=KEY, size=size, is_unique=True)
                self.assertEqual([order] * 3, walked(self.connection, pages), f"{key} by {size}")

    def test_keys_that_do_not_differ_as_was_said_are_told(self):
        pages = self.pages(is_unique=True)
        with Session(self.connection) as session:
            for where in (self.connection, session):
                error = self.assertRaises(UsageError, pages.page, where)
                self.assertIn("is_unique=True", str(error))

    def test_the_order_of_a_set_is_no_part_of_a_filter(self):
        """It is another one in each process."""
        cursors = [
            self.pages(select(ROWS.c.id).where(ROWS.c.b.in_(each))).page(self.connection).next
            for each in ((1, 2), [2, 1], {1, 2})
        ]
        self.assertEqual(1, len(set(cursors)))
        other = self.pages(select(ROWS.c.id).where(ROWS.c.b.in_([1, 3])))
        self.assertRaises(InvalidCursor, other.page, self.connection, cursors[0])

    def test_an_empty_page_leads_back(self):
        first = self.pages().page(self.connection)
        self.connection.execute(ROWS.delete().where(ROWS.c.id.not_in(first.items)))
        empty = self.pages().page(self.connection, first.next)
        self.assertEqual(([], False, True), (empty.items, empty.has_next, empty.has_previous))
        self.assertEqual(first.items, self.pages().page(self.connection, empty.previous).items)

    def test_what_is_no_cursor_of_these_pages_is_refused(self):
        cursor = self.pages().page(self.connection).next
        changed = ("A" if cursor[30] != "A" else "B").join((cursor[:30], cursor[31:]))
        for bad in ("", "x", "é", "!!!", changed, cursor[:-4], cursor + "AAAA", "A" * 20000, cursor[:8]):
            self.assertRaises(InvalidCursor, self.pages().page, self.connection, bad)
        for others in (
            self.pages(None, ROWS.c.a.desc()),
            self.pages(None, ROWS.c.a.nulls_last()),
            self.pages(None, ROWS.c.b),
            self.pages(select(ROWS.c.id).where(ROWS.c.b == 1)),
            self.pages(key=b"another secret of sixteen"),
            self.pages(bound_to="another user"),
        ):
            self.assertRaises(InvalidCursor, others.page, self.connection, cursor)
        rotated = self.pages(key=[b"another secret of sixteen", KEY])
        self.assertEqual(4, len(rotated.page(self.connection, cursor).items))

    def test_what_cannot_be_paged_is_refused(self):
        self.assertRaises(InvalidSetting, self.pages, key=b"short")
        self.assertRaises(InvalidSetting, self.pages, size=0)
        self.assertRaises(InvalidSortKey, self.pages, None, "nothing")
        self.assertRaises(UsageError, self.pages, select(ROWS.c.id).order_by(ROWS.c.a))
        self.assertRaises(UsageError, self.pages, select(ROWS.c.id).limit(3))
        part = select(ROWS.c.a).subquery()
        self.assertRaises(UsageError, self.pages, select(part), part.c.a)
