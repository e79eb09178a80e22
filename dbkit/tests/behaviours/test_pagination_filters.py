"""Pages of tables with rules: the living rows of one tenant, each once, whatever dies, moves or goes meanwhile."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Integer, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from dbkit import filters, models
from dbkit.exceptions import InvalidCursor, RuleValueMissing
from dbkit.queries import Pages
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import ONE_PER_PRODUCT, Product
from dbkit.tests.behaviours.paging import KEY, Paging
from dbkit.tests.behaviours.places import place

RULE = "paged_project"
Base = models.new_base()


class Entry(models.SoftDeleteMixin, models.scope_mixin(RULE), Base):
    """A row of a project, which dies when it is deleted."""

    __tablename__ = "paged_entries"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    n: Mapped[int | None]
    above_id: Mapped[int | None]


TABLE = Entry.__table__
ROWS = [
    {
        "id": n, "n": n // 4 % 5 or None, "paged_project_id": f"p{n % 2}", "deleted": n if n % 5 == 0 else 0,
        "above_id": n - 2,
    }
    for n in range(1, 41)
]  # fmt: skip


@cache
def made(product):
    """Create the table, once."""
    engine = place(product).observer
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    return engine


@behaviours(ONE_PER_PRODUCT)
class TestFilteredPages(Paging):
    def setUp(self):
        super().setUp()
        with made(self.combination.product).connect() as connection:
            connection.execute(TABLE.delete())
            connection.execute(insert(TABLE), ROWS)
        self.pages = Pages(select(Entry), sort_by=[Entry.n], key=KEY, size=4)
        self.nulls_first = not self.is_on(Product.POSTGRESQL)

    async def ids(self, pages, page=None):
        """Return the ids from a page on, and those from the last page back to the first."""
        forward, back = await self.walked(pages, page)
        return [each.id for each in forward], [each.id for each in back]

    def expected(self, *projects, dead=False):
        rows = [row for row in ROWS if row["paged_project_id"] in projects and (dead or not row["deleted"])]
        rows.sort(key=lambda row: ((row["n"] is None) is not self.nulls_first, row["n"] or 0, row["id"]))
        return [row["id"] for row in rows]

    async def test_only_living_rows_of_the_project_are_paged(self):
        for project in ("p0", "p1"):
            with filters.scope(paged_project=project):
                async with self.reader():
                    self.assertEqual((self.expected(project),) * 2, await self.ids(self.pages))
        async with self.reader():
            await self.raises(RuleValueMissing, self.page, self.pages)
        async with self.reader.without(RULE)():
            self.assertEqual((self.expected("p0", "p1"),) * 2, await self.ids(self.pages))
        async with self.reader.without(RULE, "soft_delete")():
            self.assertEqual((self.expected("p0", "p1", dead=True),) * 2, await self.ids(self.pages))

    async def test_a_join_of_two_guarded_tables(self):
        above = select(Entry.id, func.count().label("n")).group_by(Entry.id).subquery()
        joined = select(Entry).outerjoin(above, above.c.id == Entry.above_id)
        pages = Pages(joined, sort_by=[above.c.n, Entry.id], key=KEY, size=3, is_unique=True)
        living = set(self.expected("p1"))
        found = [each for each in sorted(living) if each - 2 in living]
        alone = sorted(living - set(found))
        with filters.scope(paged_project="p1"):
            async with self.reader():
                wanted = [*alone, *found] if self.nulls_first else [*found, *alone]
                self.assertEqual((wanted, wanted), await self.ids(pages))

    async def test_a_cursor_whose_row_has_died_or_moved_leads_on(self):
        wanted = self.expected("p1")
        for change in ("deleted", "moved", "purged"):
            with filters.scope(paged_project="p1"):
                async with self.reader():
                    first = await self.page(self.pages)
                    second = await self.page(self.pages, first.next)
                gone = second.items[0].id, second.items[-1].id
                async with self.writer() as session:
                    if change == "deleted":
                        for number in gone:
                            await session.delete(await session.get(Entry, number))
                    elif change == "moved":
                        await session.execute(update(Entry).where(Entry.id.in_(gone)).values(n=99))
                    else:
                        self.purge(gone)
                async with self.reader():
                    forward, _ = await self.ids(self.pages, await self.page(self.pages, second.next))
                    back = await self.page(self.pages, second.previous)
                    _, all_back = await self.ids(self.pages)
                others = [each for each in wanted if each not in gone]
                self.assertEqual(wanted[8:], [each for each in forward if each not in gone], change)
                self.assertEqual(wanted[:4], [each.id for each in back.items], change)
                self.assertEqual(others, [each for each in all_back if each not in gone], change)
            self.put_back(gone)

    def purge(self, numbers):
        with made(self.combination.product).connect() as connection:
            connection.execute(TABLE.delete().where(TABLE.c.id.in_(numbers)))

    def put_back(self, numbers):
        self.purge(numbers)
        with made(self.combination.product).connect() as connection:
            connection.execute(insert(TABLE), [row for row in ROWS if row["id"] in numbers])

    async def test_a_cursor_of_another_project_shows_nothing_of_it(self):
        with filters.scope(paged_project="p0"):
            async with self.reader():
                cursor = (await self.page(self.pages)).next
        with filters.scope(paged_project="p1"):
            async with self.reader():
                items = (await self.page(self.pages, cursor)).items
                self.assertEqual({"p1"}, {each.paged_project_id for each in items})
                bound = Pages(select(Entry), sort_by=[Entry.n], key=KEY, bound_to="p1")
                error = await self.raises(InvalidCursor, self.page, bound, cursor)
                self.assertIn("another filter", str(error))
                for others in (
                    Pages(select(Entry), sort_by=[Entry.n.desc()], key=KEY),
                    Pages(select(Entry), sort_by=[Entry.id], key=KEY),
                ):
                    error = await self.raises(InvalidCursor, self.page, others, cursor)
                    self.assertIn("other sort keys or directions", str(error))
                strange = Pages(select(Entry), sort_by=[Entry.n], key=b"another secret of sixteen")
                for pages, text in ((strange, cursor), (self.pages, cursor[:-5] + "AAAAA"), (self.pages, cursor[9:])):
                    error = await self.raises(InvalidCursor, self.page, pages, text)
                    self.assertIn("begin with the first page", str(error))
