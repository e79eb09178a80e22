"""Credentials that rotate while the service runs."""

from __future__ import annotations

import traceback

import fixtures
from sqlalchemy import text

import dbkit
from dbkit.exceptions import DBAccessDenied
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import MARIADB, POSTGRESQL
from dbkit.tests.behaviours.estates import Estate


class CredentialsBehaviour(Behaviour):
    def open(self, ask, **settings):
        url = self.estate.url(self.combination.driver, self.combination.scheme, username="nobody", password="st4le")
        self.made = made = dbkit.Database(url, **{"credentials": ask, "max_retries": 0, "max_pool_size": 2, **settings})
        self.addCleanup(self.run_plain, lambda: self.dispose(made))
        return self.face_of(made)

    async def user(self, opener):
        async with opener() as session:
            found = await session.scalar(text("SELECT current_user"))
            return found.split("@")[0]


@behaviours(POSTGRESQL)
class TestRotationOfUsers(CredentialsBehaviour):
    def setUp(self):
        super().setUp()
        self.estate = Estate.lent("postgresql", self)
        self.users = [f"{self.estate.name}_{each}" for each in ("a", "b")]
        for user in self.users:
            self.estate.do(f"CREATE ROLE {user} LOGIN")
            self.addCleanup(self.estate.do, f"DROP ROLE {user}")

    async def test_each_new_connection_asks_and_the_open_ones_stay(self):
        asked = []

        def ask():
            asked.append(1)
            return self.users[len(asked) - 1], "secret"

        face = self.open(ask)
        self.assertEqual(self.users[0], await self.user(face.writer))
        self.assertEqual(self.users[0], await self.user(face.writer))
        self.assertEqual(self.users[1], await self.user(face.reader))
        self.assertEqual(self.users[0], await self.user(face.writer))
        self.assertEqual(2, len(asked))

    async def test_after_dispose_all_connections_are_of_the_new_user(self):
        current = [self.users[0]]
        face = self.open(lambda: (current[0], "secret"))
        for opener in (face.writer, face.reader):
            self.assertEqual(self.users[0], await self.user(opener))
        current[0] = self.users[1]
        await self.dispose(self.made)
        for opener in (face.writer, face.reader):
            self.assertEqual(self.users[1], await self.user(opener))


@behaviours(MARIADB)
class TestRotationOfPasswords(CredentialsBehaviour):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=1))
        self.estate = Estate("mysql")
        self.account = f"{self.estate.name[-20:]}_r"
        self.estate.do(f"CREATE USER '{self.account}'@'%' IDENTIFIED BY 'first-s3cr3t'")
        self.addCleanup(self.estate.do, f"DROP USER '{self.account}'@'%'")
        self.estate.do(f"GRANT ALL ON `{self.estate.name}`.* TO '{self.account}'@'%'")
        self.password = "first-s3cr3t"

    def ask(self):
        return self.account, self.password

    async def test_a_new_password_takes_effect_without_a_restart(self):
        face = self.open(self.ask, max_overflow=1)
        self.assertEqual(self.account, await self.user(face.writer))
        self.estate.do(f"ALTER USER '{self.account}'@'%' IDENTIFIED BY 'second-s3cr3t'")
        self.password = "second-s3cr3t"
        async with face.writer() as held:
            await held.execute(text("SELECT 1"))
            self.assertEqual(self.account, await self.user(face.writer.independent))
            self.assertEqual(self.account, await self.user(face.reader))
        self.assertNotIn("s3cr3t", self.log.output)

    async def test_an_outdated_password_is_refused_and_shown_nowhere(self):
        face = self.open(self.ask)
        self.password = "wr0ng-s3cr3t"
        with self.raising(DBAccessDenied) as caught:
            await self.user(face.writer)
        error = caught.error
        shown = [str(error), repr(error), *map(str, error.args), self.log.output, repr(self.made)]
        shown += traceback.format_exception(error)
        self.assertNotIn("s3cr3t", "".join(shown))
        self.assertNotIn("st4le", "".join(shown))

    async def test_it_works_once_the_password_is_right(self):
        face = self.open(self.ask)
        self.password = "wr0ng-s3cr3t"
        for _ in range(5):
            with self.raising(DBAccessDenied):
                await self.user(face.writer)
        self.password = "first-s3cr3t"
        self.assertEqual(self.account, await self.user(face.writer))


@behaviours(POSTGRESQL | MARIADB)
class TestTheCallableFails(CredentialsBehaviour):
    async def test_its_own_error_reaches_the_caller_and_costs_no_connection(self):
        self.estate = Estate.lent("mysql" if self.combination in MARIADB else "postgresql", self)

        class VaultSealed(Exception):
            pass

        sealed = [True]

        def ask():
            if sealed[0]:
                raise VaultSealed("the vault is sealed")
            return "dbkit", ""

        face = self.open(ask, max_pool_size=1, max_overflow=0, pool_timeout=0)
        for _ in range(5):
            with self.raising(VaultSealed):
                await self.user(face.writer)
        sealed[0] = False
        self.assertEqual("dbkit", await self.user(face.writer))
