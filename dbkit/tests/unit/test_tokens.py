"""Tokens of transactions: unique, ordered by time, and told from what is none."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import testtools
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from dbkit import tokens
from dbkit.exceptions import InvalidToken


class TestTokens(testtools.TestCase):
    def test_they_are_uuids_of_version_seven(self):
        token = tokens.new_token()
        self.assertEqual((7, uuid.RFC_4122), (token.version, token.variant))

    def test_no_two_are_alike(self):
        self.assertEqual(10_000, len({tokens.new_token() for _ in range(10_000)}))

    def test_they_tell_when_they_were_made(self):
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        made = tokens.made_at(tokens.new_token())
        self.assertTrue(before <= made <= datetime.now(UTC), made)

    def test_those_made_before_a_moment_are_smaller_than_its_first(self):
        now = datetime.now(UTC)
        token = tokens.new_token()
        self.assertLess(token, tokens.first_token_of(now + timedelta(seconds=1)))
        self.assertGreater(token, tokens.first_token_of(now - timedelta(seconds=1)))
        self.assertLess(token.bytes, tokens.first_token_of(now + timedelta(seconds=1)).bytes)

    def test_one_is_read_from_what_was_written_down(self):
        token = tokens.new_token()
        for text in (str(token), token.hex, token):
            self.assertEqual(token, tokens.parse_token(text))

    def test_what_is_none_is_refused(self):
        for text in ("", "nonsense", str(uuid.uuid4()), None, 7, "xact:1:00000001:7"):
            self.assertRaises(InvalidToken, tokens.parse_token, text)

    def test_an_error_without_one_is_told_from_a_text_that_is_none(self):
        self.assertIn("was not exactly_once", str(self.assertRaises(InvalidToken, tokens.parse_token, None)))
        self.assertIn("'7' is no token", str(self.assertRaises(InvalidToken, tokens.parse_token, "7")))


class TestTable(testtools.TestCase):
    def test_each_product_keeps_a_token_in_sixteen_bytes(self):
        table = tokens.token_table(sa.MetaData())
        for dialect, words in (
            (postgresql.dialect(), ("token UUID NOT NULL",)),
            (mysql.dialect(), ("token BINARY(16) NOT NULL", "ENGINE=InnoDB")),
            (sqlite.dialect(), ("token BLOB NOT NULL", "WITHOUT ROWID")),
        ):
            ddl = str(CreateTable(table).compile(dialect=dialect))
            for word in (*words, "PRIMARY KEY (token)"):
                self.assertIn(word, ddl)

    def test_it_joins_the_metadata_of_an_application(self):
        metadata = sa.MetaData()
        self.assertIs(tokens.token_table(metadata), metadata.tables["dbkit_txn"])
