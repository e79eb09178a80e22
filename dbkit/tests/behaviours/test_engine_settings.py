"""Settings that an engine is made with, as they show in blocks."""

from __future__ import annotations

import json
import logging

import fixtures
from sqlalchemy import JSON, String, event, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import enginefacade
from dbkit.exceptions import AlreadyStartedError, DBReadOnly, UnknownSetting
from dbkit.tests.behaviours.base import Behaviour, behaviours, on
from dbkit.tests.behaviours.combinations import MARIADB, ONE_PER_PRODUCT, POSTGRESQL, SERVERS
from dbkit.tests.behaviours.estates import Estate

_LIBPQ = frozenset(each for each in POSTGRESQL if each.driver != "asyncpg")


class Base(DeclarativeBase):
    """The tables of this module's own databases."""


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[object] = mapped_column(JSON)


class Tenanted(Base):
    __tablename__ = "tenanted"
    __table_args__ = {"schema": "tenant"}

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(20))


class SettingsBehaviour(Behaviour):
    def open(self, url=None, **settings):
        if url is None:
            url = self.place.url(self.combination.driver, self.combination.scheme)
        self.made = made = dbkit.Database(url, **{"max_retries": 0, **settings})
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return self.face_of(made)

    def estate(self):
        return Estate("mysql" if self.combination in MARIADB else "postgresql")


@behaviours()
class TestHooks(SettingsBehaviour):
    async def test_each_engine_is_shown_to_each_hook_before_its_first_connection(self):
        seen = []

        def hook(engine):
            seen.append(engine)
            event.listen(engine, "connect", lambda connection, record: seen.append("connected"))

        face = self.open(on_engine_create=[hook])
        async with face.writer() as session:
            await session.execute(text("SELECT 1"))
        engines = [each for each in seen if each != "connected"]
        self.assertEqual(2, len(set(engines)))
        self.assertEqual("connected", seen[2])
        lanes = self.made.factory.engines(self.combination.colour)
        self.assertEqual({lanes.writer.engine, lanes.reader.engine}, set(engines))

    async def test_no_database_sees_the_hooks_of_another(self):
        seen = []
        with_hook = self.open(on_engine_create=[lambda engine: seen.append("hooked")])
        without = self.open()
        async with without.writer() as session:
            await session.execute(text("SELECT 1"))
        self.assertEqual([], seen)
        async with with_hook.writer() as session:
            await session.execute(text("SELECT 1"))
        self.assertEqual(["hooked"] * 2, seen)

    async def test_a_list_that_grows_later_adds_no_hook(self):
        seen, hooks = [], []
        face = self.open(on_engine_create=hooks)
        async with face.reader() as session:
            hooks.append(seen.append)
            await session.execute(text("SELECT 1"))
        self.assertEqual([], seen)


@behaviours()
class TestTrace(SettingsBehaviour):
    async def test_the_statement_names_the_code_that_sent_it_and_still_works(self):
        sent = []

        def listen(engine):
            event.listen(engine, "before_cursor_execute", lambda c, cursor, sql, *rest: sent.append(sql))

        face = self.open(connection_trace=True, on_engine_create=[listen])
        async with face.writer() as session:
            await session.execute(text("INSERT INTO items (id, amount) VALUES (:id, 0)"), {"id": 1})
            await session.execute(text("INSERT INTO items (id, amount) VALUES (:id, 0)"), [{"id": 2}, {"id": 3}])
            found = await session.scalar(text("SELECT count(*) FROM items WHERE id < :top"), {"top": 3})
        self.assertEqual(2, found)
        self.assertEqual([1, 2, 3], self.stored())
        ours = [sql for sql in sent if "items" in sql]
        self.assertEqual(3, len(ours))
        for sql in ours:
            self.assertIn("File: test_engine_settings.py", sql)
            self.assertIn("test_the_statement_names_the_code_that_sent_it_and_still_works", sql)

    @on(POSTGRESQL)
    async def test_the_server_sees_it(self):
        face = self.open(connection_trace=True)
        async with face.reader() as session:
            seen = await session.scalar(text("SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"))
        self.assertRegex(seen, r"-- .*File: test_engine_settings\.py \(\d+\) test_the_server_sees_it")

    async def test_a_place_with_percent_signs_does_no_harm(self):
        face = self.open(connection_trace=True)
        scope = {"__name__": "shop.orders", "text": text}
        source = "async def total(session, n):\n    return await session.scalar(text('SELECT :n + 0'), {'n': n})\n"
        exec(compile(source, "/srv/100%s/%(x)s%d%%.py", "exec"), scope)
        async with face.reader() as session:
            self.assertEqual(7, int(await scope["total"](session, 7)))


@behaviours(SERVERS)
class TestJson(SettingsBehaviour):
    async def test_ones_own_serializers_are_used(self):
        calls = []

        def serialize(value):
            calls.append("serialized")
            return json.dumps({"wrapped": value})

        def deserialize(stored):
            calls.append("read")
            return json.loads(stored)["wrapped"]

        estate = self.estate()
        face = self.open(
            estate.url(self.combination.driver, self.combination.scheme),
            json_serializer=serialize,
            json_deserializer=deserialize,
        )
        async with face.writer() as session:
            await session.run_sync(lambda session: Document.__table__.create(session.connection()))
            session.add(Document(id=1, body={"ä": [1, None]}))
        async with face.reader() as session:
            self.assertEqual({"ä": [1, None]}, await session.scalar(select(Document.body)))
            raw = await session.scalar(text("SELECT CAST(body AS CHAR(100)) FROM documents"))
        self.assertEqual({"wrapped": {"ä": [1, None]}}, json.loads(raw))
        self.assertEqual({"serialized", "read"}, set(calls))


@behaviours(POSTGRESQL)
class TestSchemaTranslation(SettingsBehaviour):
    async def test_blocks_of_two_databases_work_in_two_schemas(self):
        estate = self.estate()
        faces = {}
        for schema in ("red", "blue"):
            faces[schema] = face = self.open(
                estate.url(self.combination.driver), schema_translate_map={"tenant": schema}
            )
            async with face.writer() as session:
                await session.execute(text(f"CREATE SCHEMA {schema}"))
                await session.run_sync(lambda session: Tenanted.__table__.create(session.connection()))
                session.add(Tenanted(id=1, name=schema))
        for schema, face in faces.items():
            async with face.reader() as session:
                self.assertEqual(schema, (await session.get(Tenanted, 1)).name)
                self.assertEqual(schema, await session.scalar(text(f"SELECT name FROM {schema}.tenanted")))
            async with face.writer.connection() as connection:
                await connection.execute(insert(Tenanted).values(id=2, name="core"))
                async with face.writer.savepoint() as session:
                    self.assertEqual(2, len((await session.scalars(select(Tenanted))).all()))


@behaviours(SERVERS)
class TestConnectArguments(SettingsBehaviour):
    def arguments(self):
        if self.combination.driver == "asyncpg":
            return {"server_settings": {"application_name": "shop", "statement_timeout": "54321"}}
        if self.combination in POSTGRESQL:
            return {"application_name": "shop", "options": "-c statement_timeout=54321"}
        return {"init_command": "SET @shop = 'shop'"}

    async def ask(self, session):
        if self.combination in MARIADB:
            return await session.scalar(text("SELECT @shop"))
        timeout = await session.scalar(text("SHOW statement_timeout"))
        self.assertEqual("54321ms", timeout)
        return await session.scalar(text("SHOW application_name"))

    async def test_they_reach_the_driver_in_both_roles(self):
        face = self.open(connect_args=self.arguments())
        for opener in (face.writer, face.reader):
            async with opener() as session:
                self.assertEqual("shop", await self.ask(session))

    async def test_they_take_no_protection_from_a_reader(self):
        face = self.open(connect_args=self.arguments())
        for handle in (face.reader, face.reader.connection):
            with self.raising(DBReadOnly):
                async with handle() as session:
                    await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))
        self.assertEqual([], self.stored())

    @on(_LIBPQ)
    async def test_the_options_of_a_url_take_none_either(self):
        url = self.place.url(self.combination.driver).update_query_dict({"options": "-c statement_timeout=54321"})
        face = self.open(url)
        async with face.reader() as session:
            self.assertEqual("54321ms", await session.scalar(text("SHOW statement_timeout")))
        with self.raising(DBReadOnly):
            async with face.reader() as session:
                await session.execute(text("INSERT INTO items (id, amount) VALUES (1, 0)"))


@behaviours(ONE_PER_PRODUCT)
class TestEngineOptions(SettingsBehaviour):
    async def test_execution_options_hold_in_blocks(self):
        face = self.open(execution_options={"shop": "open"})
        for opener in (face.writer.connection, face.reader.connection):
            async with opener() as connection:
                result = await connection.execute(text("SELECT 1"))
                self.assertEqual("open", result.context.execution_options["shop"])

    async def test_the_name_of_the_log_is_the_engines(self):
        log = self.useFixture(
            fixtures.FakeLogger("sqlalchemy.engine", level=logging.INFO, format="%(name)s %(message)s")
        )
        face = self.open(logging_name="shop")
        async with face.writer() as session:
            await session.execute(text("SELECT 1"))
        self.assertIn(".shop ", log.output)

    async def test_debug_of_zero_leaves_the_level_of_the_application(self):
        logger = logging.getLogger("sqlalchemy.engine")
        self.addCleanup(logger.setLevel, logger.level)
        for level in (logging.NOTSET, logging.DEBUG, logging.ERROR):
            logger.setLevel(level)
            face = self.open(connection_debug=0)
            async with face.writer() as session:
                await session.execute(text("SELECT 1"))
            self.assertEqual(level, logger.level)

    async def test_debug_raises_the_level_when_it_is_asked_for(self):
        logger = logging.getLogger("sqlalchemy.engine")
        self.addCleanup(logger.setLevel, logger.level)
        for debug, level in ((49, logging.ERROR), (50, logging.INFO), (100, logging.DEBUG)):
            logger.setLevel(logging.ERROR)
            async with self.open(connection_debug=debug).writer() as session:
                await session.execute(text("SELECT 1"))
            self.assertEqual(level, logger.level)


@behaviours(ONE_PER_PRODUCT)
class TestStartedOnce(SettingsBehaviour):
    async def test_settings_are_refused_once_the_first_block_was_used(self):
        face = self.open()
        self.made.configure(max_overflow=3)
        self.made.configure_defaults(max_pool_size=2)
        async with face.writer() as session:
            await session.execute(text("SELECT 1"))
        self.assertEqual((2, 3), (self.made.settings.max_pool_size, self.made.settings.max_overflow))
        for change in (self.made.configure, self.made.configure_defaults):
            error = self.assertRaises(AlreadyStartedError, change, max_overflow=4)
            self.assertIn("already started", str(error))
            self.assertIn("reload()", str(error))
            self.assertIsInstance(error, TypeError)

    async def test_an_unknown_name_is_refused_with_the_nearest(self):
        error = self.assertRaises(UnknownSetting, self.open, max_pol_size=3)
        self.assertIn("max_pool_size", str(error))

    async def test_managers_keep_their_settings_to_themselves(self):
        url = self.place.url(self.combination.driver, self.combination.scheme)
        seen = []
        first = enginefacade.transaction_context(connection=url, on_engine_create=[seen.append])
        second = enginefacade.transaction_context(connection=url)
        first.configure(max_overflow=1)
        second.configure(max_overflow=2)
        self.assertEqual((1, 2), (first.factory.settings.max_overflow, second.factory.settings.max_overflow))
        second.factory.engines(self.combination.colour)
        self.assertEqual([], seen)
