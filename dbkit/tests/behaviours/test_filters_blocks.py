"""Rules in blocks: switched off by name, values of the moment, and objects of rows that are hidden."""

from __future__ import annotations

from contextvars import ContextVar

from sqlalchemy import String, delete, func, insert, select, text, update
from sqlalchemy.exc import ObjectNotExecutableError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import filters
from dbkit.exceptions import FilterError, ForeignScope, RuleValueMissing, UnknownRule
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import BOTH_FACES, SQLITE_MEMORY
from dbkit.tests.leaks.family import build, family

M = family("key")


class Base(DeclarativeBase):
    pass


class OfProject:
    project_id: Mapped[str] = mapped_column(String(20))


class Box(OfProject, Base):
    __tablename__ = "blocks_box"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


filters.scoped("blocks_project", OfProject, "project_id")


class Shelf(OfProject, Base):
    """Mapped after the rule was made."""

    __tablename__ = "blocks_shelf"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Lid(Box):
    """A class without a table of its own."""


REGION: ContextVar[str] = ContextVar("region")


class Crate(Base):
    __tablename__ = "blocks_crate"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    region: Mapped[str | None] = mapped_column(String(20))


filters.scoped("blocks_region", Crate, "region", REGION, shared=None)


class Jar(Base):
    __tablename__ = "blocks_jar"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    region: Mapped[str | None] = mapped_column(String(20))


filters.scoped("blocks_regions", Jar, "region", lambda: ALLOWED, many=True)
ALLOWED = ["north", "south"]


class Filtered(Behaviour):
    def setUp(self):
        super().setUp()
        build(self.place.observer, M)
        Base.metadata.drop_all(self.place.observer)
        Base.metadata.create_all(self.place.observer)

    async def owners(self, session):
        return sorted(await session.scalars(select(M.Owner.id)))


@behaviours(BOTH_FACES)
class TestSwitchedOff(Filtered):
    async def test_a_block_sees_what_a_rule_hides_if_it_says_so(self):
        async with self.reader.without(M.rule)() as session:
            self.assertEqual([1, 101], await self.owners(session))
            self.assertEqual("o101", (await session.get(M.Owner, 101)).name)
            self.assertEqual(2, await session.scalar(text(f"SELECT count(*) FROM {M.Owner.__tablename__}")))
        async with self.reader() as session:
            self.assertEqual([1], await self.owners(session))

    async def test_a_block_that_fails_is_rolled_back(self):
        with self.raising(KeyError):
            async with self.writer.without(M.rule)() as session:
                await session.execute(update(M.Owner.__table__).values(name="x"))
                raise KeyError
        async with self.reader() as session:
            self.assertEqual("o1", await session.scalar(select(M.Owner.name)))

    async def test_a_function_too(self):
        @self.reader.without(M.rule)
        async def everybody():
            return await self.owners(self.session)

        @self.reader
        async def both():
            return await everybody(), await self.owners(self.session)

        self.assertEqual(([1, 101], [1]), await both())

    async def test_a_block_inside_switches_off_for_its_time(self):
        async with self.writer() as session:
            self.assertEqual([1], await self.owners(session))
            async with self.writer.without(M.rule)() as inner:
                self.assertEqual([1, 101], await self.owners(inner))
                async with self.reader() as innermost:
                    self.assertEqual([1, 101], await self.owners(innermost))
            self.assertEqual([1], await self.owners(session))

    async def test_a_block_inside_that_fails_puts_it_back_too(self):
        async with self.writer() as session:
            with self.raising(KeyError):
                async with self.writer.savepoint.without(M.rule)():
                    raise KeyError
            self.assertEqual([1], await self.owners(session))

    async def test_an_independent_block_is_another_one(self):
        async with self.reader.without(M.rule)() as session:
            self.assertEqual([1, 101], await self.owners(session))
            async with self.reader.independent() as other:
                self.assertEqual([1], await self.owners(other))

    async def test_a_connection_too(self):
        async with self.writer.connection.without(M.rule)() as connection:
            self.assertEqual(2, await connection.scalar(select(func.count()).select_from(M.Owner.__table__)))

    async def test_delete_deletes_where_the_rule_is_off(self):
        async with self.writer.without(M.rule)() as session:
            await session.execute(delete(M.Pet).where(M.Pet.id == 1))
            await session.execute(delete(M.Pet.__table__).where(M.Pet.id == 101))
        self.assertEqual([2, 102], self.stored(M.Pet))

    async def test_protections_and_rules_are_independent(self):
        async with self.writer.without(M.rule).deadline(30)() as session:
            self.assertEqual([1, 101], await self.owners(session))
        async with self.writer.deadline(30)() as session:
            self.assertEqual([1], await self.owners(session))
            async with self.writer.without(M.rule)() as inner:
                self.assertEqual([1, 101], await self.owners(inner))
            self.assertEqual([1], await self.owners(session))

    async def test_an_unknown_name_is_refused(self):
        async def look():
            async with self.reader.without("leak_kee")() as session:
                await self.owners(session)

        self.assertIn("did you mean 'leak_key'", str(await self.raises(UnknownRule, look)))
        self.assertRaises(UnknownRule, self.reader.manager.without)

    async def test_an_option_of_a_statement_counts_for_what_it_loads_lazily(self):
        async with self.reader() as session:
            options = dbkit.without(M.rule)
            owner = (await session.scalars(select(M.Owner).options(options))).all()[1]
            self.assertEqual(101, owner.id)
            self.assertEqual([2, 102], await session.run_sync(lambda s: [each.id for each in owner.pets]))

    async def test_an_option_of_get_counts(self):
        async with self.reader() as session:
            self.assertEqual("o101", (await session.get(M.Owner, 101, options=[dbkit.without(M.rule)])).name)

    async def test_what_is_compiled_already_is_refused(self):
        compiled = select(M.Owner.__table__).compile(dialect=self.place.observer.dialect)
        async with self.reader.connection() as connection:
            with self.raising((FilterError, ObjectNotExecutableError)):  # SQLAlchemy 2.1 takes none
                await connection.execute(compiled)

    async def test_driver_sql_that_names_a_guarded_table_is_refused(self):
        async with self.writer.connection() as connection:
            with self.raising(FilterError):
                await connection.exec_driver_sql(f"DELETE FROM {M.Pet.__tablename__}")


@behaviours(SQLITE_MEMORY)
class TestHiddenObjects(Filtered):
    async def test_what_was_seen_inside_is_gone_outside(self):
        async with self.writer() as session:
            living = await session.get(M.Owner, 1)
            async with self.writer.without(M.rule)() as inner:
                dead = await inner.get(M.Owner, 101)
                await session.run_sync(lambda s: living.pets)
            self.assertIsNone(await session.get(M.Owner, 101))
            self.assertEqual("o101", dead.name)
            self.assertIs(living, await session.get(M.Owner, 1))
            self.assertEqual([1], await session.run_sync(lambda s: [each.id for each in living.pets]))

    async def test_what_a_statement_has_hidden_is_gone(self):
        for hide in (
            lambda s: s.execute(delete(M.Owner.__table__)),
            lambda s: s.execute(delete(M.Owner), execution_options={"synchronize_session": False}),
            lambda s: s.execute(update(M.Owner.__table__).values(mark=9)),
            lambda s: s.execute(update(M.Owner).values(mark=9)),
        ):
            with self.raising(KeyError):
                async with self.writer() as session:
                    owner = await session.get(M.Owner, 1)
                    await session.run_sync(hide)
                    self.assertIsNone(await session.get(M.Owner, 1))
                    self.assertEqual("o1", owner.name)
                    raise KeyError

    async def test_what_a_flush_has_hidden_is_gone(self):
        async with self.writer() as session:
            for number in (1, 2):
                (await session.get(M.Pet, number)).mark = number
                await session.flush()
                self.assertIsNone(await session.get(M.Pet, number))

    async def test_a_savepoint_that_is_rolled_back_shows_it_again(self):
        async with self.writer() as session:
            await session.get(M.Owner, 1)
            with self.raising(KeyError):
                async with self.writer.savepoint() as inner:
                    await inner.execute(delete(M.Owner.__table__))
                    raise KeyError
            self.assertEqual("o1", (await session.get(M.Owner, 1)).name)


@behaviours(SQLITE_MEMORY)
class TestValuesOfTheMoment(Filtered):
    async def test_each_tenant_sees_and_fills_in_its_own(self):
        for number, project in enumerate(("a", "b")):
            with filters.scope(blocks_project=project):
                async with self.writer() as session:
                    session.add(Box(id=number))
                    await session.execute(insert(Shelf.__table__).values(id=number))
        for number, project in enumerate(("a", "b")):
            with filters.scope(blocks_project=project):
                async with self.reader() as session:
                    self.assertEqual([number], (await session.scalars(select(Box.id))).all())
                    self.assertEqual(
                        [(number, project)], list(map(tuple, await session.execute(select(Shelf.__table__))))
                    )

    async def test_a_value_that_nobody_has_set_is_an_error_with_advice(self):
        async with self.reader() as session:
            with self.raising(RuleValueMissing) as caught:
                await session.scalars(select(Box.id))
            for part in ("'blocks_project'", "'blocks_box'", "filters.scope(blocks_project=...)", ".without("):
                self.assertIn(part, str(caught.error))
            with self.raising(RuleValueMissing) as caught:
                await session.scalars(select(Crate.id))
            self.assertIn("ContextVar 'region'", str(caught.error))
        async with self.reader.without("blocks_project")() as session:
            self.assertEqual([], (await session.scalars(select(Box.id))).all())

    async def test_an_object_of_another_tenant_is_refused(self):
        async def add(**values):
            async with self.writer() as session:
                session.add(Box(id=5, **values))

        async def move():
            async with self.writer() as session:
                (await session.get(Box, 5)).project_id = "b"

        with filters.scope(blocks_project="a"):
            await self.raises(ForeignScope, lambda: add(project_id="b"))
            await add(project_id="a")
            await self.raises(ForeignScope, move)
            async with self.writer.without("blocks_project")() as session:
                session.add(Box(id=6, project_id="b"))
        self.assertEqual([5, 6], self.stored(Box))

    async def test_what_is_shared_with_everybody_is_not_written_by_one(self):
        token = REGION.set("north")
        try:
            async with self.writer() as session:
                await session.execute(insert(Crate.__table__).values(id=1))
                for write in (
                    insert(Crate.__table__).values(id=2, region=None),
                    insert(Crate.__table__).from_select(["id", "region"], select(Crate.id + 5, Crate.region)),
                    update(Crate.__table__).values(region=None),
                ):
                    with self.raising(ForeignScope):
                        await session.execute(write)
                self.assertEqual(["north"], (await session.scalars(select(Crate.region))).all())
        finally:
            REGION.reset(token)

    async def test_of_several_tenants_one_is_named(self):
        async with self.writer() as session:
            await session.execute(insert(Jar.__table__).values(id=1, region="south"))
            with self.raising(ForeignScope):
                await session.execute(
                    insert(Jar.__table__), [{"id": 2, "region": "north"}, {"id": 3, "region": "west"}]
                )
            self.assertEqual([1], (await session.scalars(select(Jar.id))).all())
        async with self.writer.without("blocks_regions")() as session:
            await session.execute(insert(Jar.__table__).values(id=2, region="west"))
        async with self.writer() as session:
            statement = insert(Jar.__table__).values(id=3, region="west").options(dbkit.without("blocks_regions"))
            await session.execute(statement)
        self.assertEqual([1, 2, 3], self.stored(Jar))

    async def test_rows_that_are_shared_are_seen_by_all(self):
        self.place.do("INSERT INTO blocks_crate (id, region) VALUES (1, NULL), (2, 'north'), (3, 'south')")
        token = REGION.set("north")
        try:
            async with self.reader() as session:
                self.assertEqual([1, 2], sorted(await session.scalars(select(Crate.id))))
        finally:
            REGION.reset(token)

    async def test_several_values_are_seen_together(self):
        self.place.do("INSERT INTO blocks_jar (id, region) VALUES (1, NULL), (2, 'north'), (3, 'south'), (4, 'west')")
        async with self.reader() as session:
            self.assertEqual([2, 3], sorted(await session.scalars(select(Jar.id))))
        async with self.writer() as session:
            with self.raising(RuleValueMissing):
                await session.execute(insert(Jar.__table__).values(id=5))

    async def test_a_parameter_of_the_rules_name_changes_nothing(self):
        self.place.do("INSERT INTO blocks_box (id, project_id) VALUES (1, 'a'), (2, 'b')")
        with filters.scope(blocks_project="a"):
            async with self.reader() as session:
                statement = select(Box.id).where(text("id < :blocks_project"))
                self.assertEqual([1], (await session.scalars(statement, {"blocks_project": 9})).all())

    def test_a_rule_needs_a_table_of_the_class(self):
        for target in (Lid, 5):
            self.assertRaises(FilterError, filters.rule, "blocks_lid", target, lambda each: each.c.id == 1)
        self.assertRaises(FilterError, filters.scoped, "blocks_none", Box.__table__, "nothing")
