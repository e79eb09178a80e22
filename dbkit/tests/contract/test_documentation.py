"""The programs in the documentation do what it says of them."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import importlib
import io
import json
import re
import subprocess
import sys
import unittest
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import fixtures
import testtools

from dbkit.exceptions import DBDuplicateEntry
from dbkit.testing.assertions import assert_statements

ROOT = Path(__file__).parents[3]
USER = ROOT / "doc" / "source" / "user"
EXAMPLES = USER / "examples"
NAMES = frozenset(path.stem for path in EXAMPLES.glob("*.py"))


class ExampleCase(testtools.TestCase):
    """Imports examples anew for each test, on an SQLite file of the test's own."""

    needs: tuple[str, ...] = ()

    def setUp(self):
        super().setUp()
        for module in self.needs:
            if find_spec(module) is None:
                self.skipTest(f"{module} is not installed: pip install {module}")
        self.folder = Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.EnvironmentVariable("OS_DATABASE__CONNECTION"))
        self.useFixture(fixtures.EnvironmentVariable("DATABASE_URL", f"sqlite:///{self.folder / 'app.db'}"))
        self.useFixture(fixtures.FakeLogger(level=10))
        self.useFixture(fixtures.MonkeyPatch("sys.path", [str(EXAMPLES), *sys.path]))
        self.addCleanup(self.forget)

    def forget(self):
        for name in NAMES & set(sys.modules):
            del sys.modules[name]

    def load(self, name):
        return importlib.import_module(name)


class Service:
    """What each of the services answers; mixed into an :class:`ExampleCase`."""

    example = ""

    def test_it_stores_refuses_and_lists(self):
        self.load("accounts").create_tables()
        self.assertEqual(
            [201, 201, 409, 200, 404],
            self.answers("PUT /accounts/bob", "PUT /accounts/ann", "PUT /accounts/ann", "GET /accounts", "GET /"),
        )
        self.assertRegex(self.bodies[3], "ann[^b]*bob")
        self.assertEqual(["ann", "bob"], self.load("accounts").owners())
        self.load("accounts").db.dispose()

    def test_an_error_of_the_database_is_answered_without_its_text(self):
        self.assertEqual([500], self.answers("GET /accounts"))  # there are no tables
        self.assertIn("the database failed", self.bodies[0])
        self.assertNotIn("table", self.bodies[0])

    def answers(self, *requests):
        """Send the requests; return the status of each answer and keep the bodies."""
        self.bodies = []
        statuses = []
        for status, body in self.exchange([request.split(" ") for request in requests]):
            statuses.append(status)
            self.bodies.append(body.decode())
        return statuses


class Wsgi(Service):
    application = "application"

    def exchange(self, requests):
        application = getattr(self.load(self.example), self.application)
        for method, path in requests:
            said = []
            environ = {
                "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "",
                "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
                "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
                "wsgi.errors": io.StringIO(), "wsgi.multithread": True, "wsgi.multiprocess": True,
                "wsgi.run_once": False,
            }  # fmt: skip
            parts = application(environ, lambda status, headers, exc_info=None, said=said: said.append(status))
            with contextlib.closing(parts) if hasattr(parts, "close") else contextlib.nullcontext():
                body = b"".join(parts)
            yield int(said[0].split(" ")[0]), body


class Asgi(Service):
    needs = ("aiosqlite", "greenlet")
    application = "application"

    def exchange(self, requests):
        return asyncio.run(self.serve(getattr(self.load(self.example), self.application), requests))

    async def serve(self, application, requests):
        notices, replies = asyncio.Queue(), asyncio.Queue()
        life = asyncio.create_task(application({"type": "lifespan", "asgi": {}}, notices.get, replies.put))
        await notices.put({"type": "lifespan.startup"})
        self.assertEqual("lifespan.startup.complete", (await replies.get())["type"])
        answers = [await self.ask(application, method, path) for method, path in requests]
        await notices.put({"type": "lifespan.shutdown"})
        self.assertEqual("lifespan.shutdown.complete", (await replies.get())["type"])
        await life
        return answers

    async def ask(self, application, method, path):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await application(
            {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
                "raw_path": path.encode(), "query_string": b"", "headers": [], "scheme": "http", "root_path": "",
            },
            receive,
            send,
        )  # fmt: skip
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class TestWsgi(Wsgi, ExampleCase):
    example = "wsgi_app"


class TestFlask(Wsgi, ExampleCase):
    example, application = "flask_app", "app"
    needs = ("flask",)


class TestAsgi(Asgi, ExampleCase):
    example = "asgi_app"


class TestFastAPI(Asgi, ExampleCase):
    example, application = "fastapi_app", "app"
    needs = (*Asgi.needs, "fastapi")


class TestContexts(ExampleCase):
    def test_the_program_reads_its_configuration_and_works(self):
        conf = self.folder / "bank.conf"
        conf.write_text(f"[database]\nconnection = sqlite:///{self.folder / 'bank.db'}\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "contexts.py"), "--config-file", str(conf)],
            capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        )  # fmt: skip
        self.assertEqual((0, "0\n"), (done.returncode, done.stdout), done.stderr)


class TestCredentials(ExampleCase):
    def test_the_callable_is_what_the_database_asks(self):
        secret = self.folder / "database.json"
        secret.write_text(json.dumps({"user": "app", "password": "s3cr3t"}), encoding="utf-8")
        self.useFixture(fixtures.EnvironmentVariable("DATABASE_SECRET", str(secret)))
        example = self.load("credentials")
        self.assertEqual(("app", "s3cr3t"), tuple(example.current()))
        self.assertEqual(("app", "s3cr3t"), tuple(example.db.settings.credentials()))


class TestAssertions(ExampleCase):
    def test_the_tests_of_the_example_pass(self):
        loaded = unittest.defaultTestLoader.loadTestsFromModule(self.load("checked_accounts"))
        result = unittest.TestResult()
        loaded.run(result)
        self.assertEqual((5, [], []), (result.testsRun, result.failures, result.errors))

    def test_the_failure_on_the_page_is_what_a_failure_says(self):
        accounts, example = self.load("accounts"), self.load("checked_accounts")
        accounts.create_tables()
        for owner in ("ada", "bob", "eve"):
            accounts.open_account(owner)
        failed = self.assertRaises(AssertionError, self.check, example)
        accounts.db.dispose()
        said = re.sub(r"\S*/examples/", "", str(failed))
        page = " ".join((USER / "test-assertions.rst").read_text(encoding="utf-8").split())
        self.assertIn(" ".join(said.split()), page)

    @staticmethod
    def check(example):
        with assert_statements(example.db, 2):
            example.total()


class TestOutbox(ExampleCase):
    def test_an_order_is_confirmed_if_it_is_stored_and_once(self):
        orders = self.load("orders")
        orders.create_tables()
        consumer = orders.Consumer(str(self.folder / "mails.db"))
        for number in (1, 2):
            orders.place_order(number)
        self.assertRaises(DBDuplicateEntry, orders.place_order, 2)

        def lose(message):
            consumer.receive(message)
            raise KeyboardInterrupt  # the consumer has it, and nobody will know

        self.assertRaises(KeyboardInterrupt, orders.outbox.deliver, lose)
        self.assertEqual(2, orders.outbox.deliver(consumer.receive).delivered)
        self.assertEqual([1, 2], consumer.mails())
        orders.db.dispose()


class TestSoftDelete(ExampleCase):
    def test_servers_are_deleted_had_back_and_purged(self):
        kept = self.load("servers_kept")
        self.addCleanup(kept.models.Base.registry.dispose)
        self.addCleanup(kept.models.Base.metadata.clear)
        kept.create_tables()
        first = kept.create("web", 10, 20)
        kept.note(first, "rack", "r7")
        self.assertRaises(DBDuplicateEntry, kept.create, "web")
        kept.delete(first)
        self.assertEqual(([], []), (kept.names(), kept.disks()))
        second = kept.create("web", 30)
        self.assertEqual(f"the name is in use by server {second}", kept.restore(first))
        kept.delete(second)
        self.assertEqual("web", kept.restore(first))
        self.assertEqual((["web"], [10, 20]), (kept.names(), kept.disks()))
        self.assertEqual(0, kept.clean_up(timedelta(days=90)).rows)
        self.assertEqual(2, kept.clean_up(timedelta(0)).rows)
        kept.db.dispose()


class TestTenants(ExampleCase):
    def test_each_project_has_its_own_and_drafts_are_seen_by_name(self):
        articles = self.load("articles")
        articles.create_tables()
        for project in ("red", "blue"):
            articles.write(project, f"news of {project}")
            articles.publish(project)
            articles.write(project, "a draft")
        self.assertEqual(["news of red"], articles.titles("red"))
        self.assertEqual(["a draft"], articles.drafts("blue"))
        self.assertEqual({"red": 2, "blue": 2}, articles.count_for_the_bill())
        articles.db.dispose()


class TestPagination(ExampleCase):
    def test_orders_come_newest_first_and_those_not_shipped_before_them(self):
        example = self.load("paged_orders")
        example.create_tables()
        for number in range(1, 31):
            example.add(number, datetime(2026, 1, number) if number % 3 else None)
        first, before, cursor = example.orders()
        second, back, end = example.orders(cursor)
        self.assertEqual((20, 10, None, None), (len(first), len(second), before, end))
        self.assertEqual((30, 29), (first[0], first[10]))
        self.assertEqual(first, example.orders(back)[0])
        example.db.dispose()


class TestSchemaHelpers(ExampleCase):
    def test_users_of_one_mail_become_one_and_their_orders_go_with_them(self):
        example = self.load("merge_users")
        with example.db.engine.begin() as connection:
            for sql in (
                "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT, seen_at INTEGER)",
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users)",
                "INSERT INTO users VALUES (1, 'a', 5), (2, 'a', 3), (3, 'b', 1), (4, NULL, 1), (5, NULL, 1)",
                "INSERT INTO orders VALUES (1, 1), (2, 2), (3, 3)",
            ):
                connection.exec_driver_sql(sql)
        self.assertEqual([1, 0], [example.upgrade(), example.upgrade()])
        with example.db.engine.connect() as connection:
            orders = connection.exec_driver_sql("SELECT user_id FROM orders ORDER BY id").scalars().all()
        self.assertEqual([1, 1, 3], orders)

        async def check():
            found = await example.mail_is_unique()
            await example.db.adispose()
            return found

        self.assertTrue(asyncio.run(check()))
        example.db.dispose()

    def test_all_that_oslo_db_has_stands_in_the_table(self):
        page = (USER / "from-oslo-db-utils.rst").read_text(encoding="utf-8")
        there = set(re.findall(r"\w+", " ".join(re.findall(r"``(.+?)``", page))))
        for name in ("utils", "orm", "models", "types", "update_match"):
            module = importlib.import_module(f"oslo_db.sqlalchemy.{name}")
            own = {each for each, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
            own |= {"InvalidSortKey", "ColumnError", "dispatch_for_dialect"} if name == "utils" else set()
            self.assertEqual(set(), {each for each in own if not each.startswith("_")} - there, name)


class TestFastPath(ExampleCase):
    def test_addresses_are_moved_and_listed(self):
        example = self.load("fast_path")
        self.addCleanup(example.models.Base.registry.dispose)
        self.addCleanup(example.models.Base.metadata.clear)
        example.models.Base.metadata.create_all(example.db.engine)
        with example.db.writer() as session:
            session.add_all([example.FloatingIp(address=f"10.0.0.{number}", host="a") for number in (1, 2)])
        example.move("10.0.0.2", "b")
        self.assertEqual((["10.0.0.1"], ["10.0.0.2"]), (example.on_host("a"), example.on_host("b")))
        example.db.dispose()


class TestPartsList(ExampleCase):
    def test_a_list_is_stored_renewed_counted_and_thinned(self):
        example = self.load("parts_list")
        self.addCleanup(example.models.Base.registry.dispose)
        self.addCleanup(example.models.Base.metadata.clear)
        example.models.Base.metadata.create_all(example.db.engine)
        done = example.take_over(f"p{number};part {number};{number}\n" for number in range(6000))
        self.assertEqual((6000, 1, "INSERT"), (done.rows, done.statements, done.way))
        self.assertEqual((1, 1), example.renew([("p7", "part 7", 70), ("new", "a new part", 5)]))
        self.assertEqual(2, example.count({"p7": 10, "new": 1, "unknown": 3}))
        self.assertEqual(705, example.value())
        self.assertEqual(5999, example.drop_what_is_out_of_stock())
        with self.assertRaises(DBDuplicateEntry):
            example.take_over(["fresh;a fresh part;1", "p7;part 7;7"])
        self.assertEqual(0, example.drop_what_is_out_of_stock())
        example.db.dispose()


class TestPages(testtools.TestCase):
    def test_every_program_stands_on_a_page(self):
        text = "\n".join(page.read_text(encoding="utf-8") for page in USER.glob("*.rst"))
        shown = set(re.findall(r"literalinclude:: examples/(\w+)\.py", text))
        self.assertEqual(set(NAMES), shown)

    def test_every_extra_stands_in_the_table(self):
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        page = (USER / "installation.rst").read_text(encoding="utf-8")
        self.assertEqual(set(setup["extras"]), set(re.findall(r"^``(\w+)`` ", page, re.MULTILINE)))


class TestWiki(ExampleCase):
    def test_who_saves_what_others_have_changed_is_told_so(self):
        example = self.load("pages")
        example.create_tables()
        number = example.create_page("first")
        _, seen, _ = example.get(number, {})
        mine = {"If-Match": seen["ETag"]}
        status, theirs, _ = example.put(number, mine, "theirs")
        self.assertEqual(
            [204, 412, 412, 428, 304, 204],
            [
                status,
                example.put(number, mine, "mine")[0],
                example.put(99, mine, "mine")[0],
                example.put(number, {}, "mine")[0],
                example.get(number, {"If-None-Match": theirs["ETag"]})[0],
                example.put(number, {"If-Match": "*"}, "mine")[0],
            ],
        )
        self.assertEqual("MINE", example.shout(number))
        self.assertEqual((200, "MINE"), example.get(number, {})[::2])
        example.db.dispose()


class TestStock(ExampleCase):
    def test_no_more_are_sold_than_there_are(self):
        example = self.load("stock")
        example.create_tables()
        example.announce(1, 2)
        self.assertEqual([1, 0, None], [example.sell(1) for _ in range(3)])
        example.announce(2, 5)
        self.assertEqual([2, None, 0], [example.reserve(2, seats) for seats in (3, 3, 2)])
        example.db.dispose()
