"""Test cases with a database: what a test finds, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import threading
import unittest
import uuid

import sqlalchemy as sa
import testtools

import dbkit
from dbkit import enginefacade
from dbkit.exceptions import DBDuplicateEntry, TransactionOwnedElsewhere, UsageError
from dbkit.testing import servers
from dbkit.testing.fixtures import (
    DatabaseFixture,
    DatabaseTestCase,
    DatabaseTestMixin,
    LoopFixture,
    backend_specific,
    isolated_by,
)
from dbkit.testing.provision import Schema
from dbkit.tests.contract.fixture_suites import of_class, run_here

metadata = sa.MetaData()
accounts = sa.Table("account", metadata, sa.Column("owner", sa.String(50), primary_key=True))

db = dbkit.Database("sqlite:////nowhere/application.db")


@enginefacade.transaction_context_provider
class Context:
    pass


@db.writer
def create(owner):
    db.session.execute(accounts.insert().values(owner=owner))


@db.reader
def owners():
    return sorted(db.session.scalars(sa.select(accounts.c.owner)))


@db.writer
async def acreate(owner):
    await db.async_session.execute(accounts.insert().values(owner=owner))


@db.reader
async def aowners():
    return sorted(await db.async_session.scalars(sa.select(accounts.c.owner)))


@enginefacade.writer
def create_by_context(context, owner):
    context.session.execute(accounts.insert().values(owner=owner))


class Base(DatabaseTestCase):
    schema = metadata
    managers = (db,)


class TestOnSQLite(Base):
    """What a test finds: on each product."""

    backends = ("sqlite",)

    def test_what_the_application_commits_is_there(self):
        create("ann")
        self.assertEqual(["ann"], owners())

    def test_it_is_there_in_no_other_test(self):
        create("ann")
        self.assertEqual(["ann"], owners())

    async def test_what_a_coroutine_commits_is_there(self):
        await acreate("ann")
        self.assertEqual(["ann"], await aowners())

    async def test_it_is_there_in_no_other_coroutine(self):
        await acreate("ann")
        self.assertEqual(["ann"], await aowners())

    def test_the_common_manager_leads_here_too(self):
        create_by_context(Context(), "ann")
        self.assertEqual(["ann"], owners())

    def test_the_handles_lead_to_the_same_database(self):
        self.session.execute(accounts.insert().values(owner="ann"))
        self.session.commit()
        with self.db.writer() as session:
            session.execute(accounts.insert().values(owner="bob"))
        with self.engine.begin() as connection:
            connection.execute(accounts.insert().values(owner="cy"))
        self.assertEqual(["ann", "bob", "cy"], owners())
        self.assertEqual(self.engine.url.database, self.database_fixture.url.database)

    async def test_the_handles_of_a_coroutine_lead_to_the_same_database(self):
        self.async_session.add_all([])
        await self.async_session.execute(accounts.insert().values(owner="ann"))
        await self.async_session.commit()
        async with self.db.writer() as session:
            await session.execute(accounts.insert().values(owner="bob"))
        async with self.database_fixture.async_engine.begin() as connection:
            await connection.execute(accounts.insert().values(owner="cy"))
        self.assertEqual(["ann", "bob", "cy"], await aowners())

    def test_a_session_left_open_is_closed(self):
        self.session.execute(accounts.insert().values(owner="ann"))

    async def test_an_asyncio_session_left_open_is_closed(self):
        await self.async_session.execute(accounts.insert().values(owner="ann"))

    @isolated_by("clone")
    def test_threads_at_the_same_time_with_a_clone(self):
        self.assertEqual("clone", self.sandbox.strategy)
        thread = threading.Thread(target=create, args=("ann",))
        thread.start()
        thread.join()
        self.assertEqual(["ann"], owners())

    @isolated_by("truncate")
    async def test_a_coroutine_with_real_transactions(self):
        self.assertEqual("truncate", self.sandbox.strategy)
        await acreate("ann")
        self.assertEqual(["ann"], await aowners())


class TestOnPostgreSQL(TestOnSQLite):
    backends = ("postgresql",)


class TestOnMariaDB(TestOnSQLite):
    backends = ("mariadb",)


class TestNothingIsLeft(testtools.TestCase):
    """After a test the application's managers are where they were, and the database is as it was built."""

    def test_the_managers_go_back(self):
        before = db.factory, enginefacade.writer.factory
        outcomes = run_here(of_class(TestOnSQLite, "test_what_the_application_commits_is_there"))
        self.assertEqual(["ok"], list(outcomes.by_id.values()))
        self.assertEqual(before, (db.factory, enginefacade.writer.factory))

    def test_without_isolation_the_second_test_finds_the_rows_of_the_first(self):
        """The negative control of what TestOnSQLite shows."""

        class Case(Base):
            schema = Schema(metadata=metadata)
            isolation = "none"

            def test_a(self):
                create("ann")

            test_b = test_a

        outcomes = run_here(of_class(Case))
        self.assertEqual(["error", "ok"], sorted(outcomes.by_id.values()))
        self.assertIn(DBDuplicateEntry.__name__, outcomes.texts[0])


class TestCoroutines(testtools.TestCase):
    def outcome(self, case):
        outcomes = run_here(of_class(case))
        return list(outcomes.by_id.values()), "\n".join(outcomes.texts)

    def test_what_stands_around_the_test_runs_in_its_task_and_in_order(self):
        said = []

        class Case(Base):
            def setUp(self):
                super().setUp()
                said.append(("setUp", asyncio.get_event_loop_policy()))

            async def asyncSetUp(self):
                said.append(("asyncSetUp", asyncio.current_task()))
                await acreate("ann")

            async def test_it(self):
                said.append(("test", asyncio.current_task()))
                assert await aowners() == ["ann"]

            async def asyncTearDown(self):
                said.append(("asyncTearDown", asyncio.current_task()))

        self.assertEqual((["ok"], ""), self.outcome(Case))
        self.assertEqual(["setUp", "asyncSetUp", "test", "asyncTearDown"], [name for name, _ in said])
        self.assertEqual(1, len({task for _, task in said[1:]}))

    def test_a_coroutine_that_fails_fails(self):
        class Case(Base):
            ended = False

            async def test_it(self):
                await acreate("ann")
                self.assertEqual([], await aowners())

            async def asyncTearDown(self):
                type(self).ended = True

        outcomes, text = self.outcome(Case)
        self.assertEqual(["failed"], outcomes)
        self.assertIn("['ann']", text)
        self.assertTrue(Case.ended)

    def test_a_coroutine_may_skip(self):
        class Case(Base):
            async def asyncSetUp(self):
                self.skipTest("no such thing")

            async def test_it(self):
                raise AssertionError

        self.assertEqual((["skipped: no such thing"], ""), self.outcome(Case))

    def test_a_task_that_was_not_let_in_is_refused(self):
        class Case(Base):
            async def test_it(self):
                await acreate("ann")
                with self.assertRaises(TransactionOwnedElsewhere):
                    await asyncio.create_task(acreate("bob"))
                self.sandbox.allow_all()
                await asyncio.create_task(acreate("cy"))
                self.assertEqual(["ann", "cy"], await aowners())

        self.assertEqual((["ok"], ""), self.outcome(Case))

    def test_a_coroutine_may_be_for_some_kinds_only(self):
        class Case(Base):
            @backend_specific("sqlite", "mysql")
            async def test_a(self):
                await acreate("ann")

            @backend_specific("mysql")
            async def test_b(self):
                raise AssertionError

        (first, second), text = self.outcome(Case)
        self.assertEqual(("ok", ""), (first, text))
        self.assertRegex(second, "skipped: .*test_b is for mysql only, and the engine's dialect is sqlite")

    def test_a_skipped_coroutine_is_skipped(self):
        class Case(Base):
            @unittest.skip("not today")
            async def test_it(self):
                raise AssertionError

        self.assertEqual((["skipped: not today"], ""), self.outcome(Case))


class TestOtherBases(testtools.TestCase):
    def test_a_plain_test_case_can_have_it_too(self):
        class Case(DatabaseTestMixin, unittest.TestCase):
            schema = metadata
            managers = (db,)

            def test_a(self):
                create("ann")
                self.assertEqual(["ann"], owners())

            async def test_b(self):
                await acreate("ann")
                self.assertEqual(["ann"], await aowners())

        outcomes = run_here(of_class(Case))
        self.assertEqual(["ok", "ok"], list(outcomes.by_id.values()), outcomes.texts)

    def test_the_fixture_is_a_context_manager(self):
        with DatabaseFixture(metadata, managers=[db]) as fixture:
            create("ann")
            self.assertEqual(["ann"], owners())
            self.assertEqual("rollback", fixture.sandbox.strategy)
        with DatabaseFixture(metadata, managers=[db]):
            self.assertEqual([], owners())

    def test_the_fixture_serves_coroutines_in_its_loop(self):
        loop = self.useFixture(LoopFixture())
        fixture = self.useFixture(DatabaseFixture(metadata, managers=[db], loop=loop))
        loop.run(acreate("ann"))
        self.assertEqual(["ann"], loop.run(aowners()))
        self.assertEqual("rollback", fixture.sandbox.strategy)

    def test_the_fixture_takes_settings_of_its_own(self):
        fixture = self.useFixture(DatabaseFixture(metadata, max_retries=3))
        self.assertEqual(3, fixture.database.settings.max_retries)


class TestSchemas(testtools.TestCase):
    """What may be given as a schema, and that it is built once."""

    def test_each_form_is_understood(self):
        class Model(sa.orm.DeclarativeBase):
            pass

        class Account(Model):
            __tablename__ = "account"
            owner = sa.Column(sa.String(50), primary_key=True)

        other = sa.MetaData()
        sa.Table("other", other, sa.Column("id", sa.Integer, primary_key=True))
        for given, expected in (
            (None, []),
            (metadata, ["account"]),
            (Schema(metadata=metadata), ["account"]),
            (Model, ["account"]),
            ([metadata, other], ["account", "other"]),
        ):
            with DatabaseFixture(given) as fixture:
                self.assertEqual(expected, sorted(sa.inspect(fixture.engine).get_table_names()))

    def test_what_is_no_schema_is_refused(self):
        error = self.assertRaises(UsageError, DatabaseFixture, "app.models:metadata")
        self.assertIn("cannot be a str", str(error))

    def test_a_misspelt_kind_is_refused(self):
        error = self.assertRaises(UsageError, DatabaseFixture, backend="postgres")
        self.assertIn("did you mean 'postgresql'?", str(error))

    def test_it_is_built_once_for_all_tests_and_fixtures(self):
        built = []

        def build(connection):
            built.append(connection.dialect.name)
            metadata.create_all(connection)

        class Case(Base):
            schema = Schema(build=build, version=uuid.uuid4().hex)

            def test_a(self):
                create("ann")

            test_b = test_c = test_a

            async def test_d(self):
                await acreate("ann")

            @isolated_by("clone")
            def test_e(self):
                create("ann")

        for _ in range(2):
            outcomes = run_here(of_class(Case))
            self.assertEqual(["ok"] * 5, list(outcomes.by_id.values()), outcomes.texts)
        self.assertEqual(1, len(built))


class TestServerThatIsNeeded(testtools.TestCase):
    def test_the_servers_of_this_module_are_there(self):
        """Else the tests on PostgreSQL and MariaDB say nothing."""
        for kind in ("postgresql", "mysql"):
            servers.require_or_skip(kind)
