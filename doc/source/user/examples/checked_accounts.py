"""Tests that look at what the functions of accounts.py do with the database."""

from __future__ import annotations

import unittest

from accounts import Account, create_tables, db, open_account, owners
from sqlalchemy import select

from dbkit.exceptions import CommitUnknown, DBDeadlock
from dbkit.testing.assertions import (
    assert_no_leaked_connections,
    assert_reads_only,
    assert_statements,
    capture_hooks,
    count_statements,
    fail_next,
)


@db.reader
def total() -> int:
    found = 0
    for owner in owners():
        balance = select(Account.balance).where(Account.owner == owner)
        found += db.session.scalar(balance) or 0  # should be one sum()
    return found


@db.writer
def open_and_greet(owner: str) -> None:
    open_account(owner)
    db.after_commit(lambda: greeted.append(owner))


greeted: list[str] = []


class TestAccounts(unittest.TestCase):
    def setUp(self) -> None:
        create_tables()

    def tearDown(self) -> None:
        with db.writer() as session:
            session.query(Account).delete()
        greeted.clear()
        db.dispose()

    def test_listing_takes_one_statement_and_only_reads(self) -> None:
        with assert_statements(db, 1), assert_reads_only(db), assert_no_leaked_connections(db):
            owners()

    def test_what_is_sent_can_be_looked_at(self) -> None:
        with count_statements(db) as recorder:
            open_account("ada")
        self.assertIn("INSERT INTO accounts", recorder.statements[0])
        self.assertEqual("open_account", recorder.sent[0].place.text.split("(")[0])

    def test_nobody_is_greeted_before_the_account_is_stored(self) -> None:
        with capture_hooks(db) as hooks:
            open_and_greet("ada")
        self.assertEqual([], greeted)
        hooks.run()
        self.assertEqual(["ada"], greeted)

    def test_a_deadlock_leaves_nothing_behind(self) -> None:
        with fail_next(db, at="COMMIT", error=DBDeadlock), self.assertRaises(DBDeadlock):
            open_and_greet("ada")
        self.assertEqual(([], []), (owners(), greeted))

    def test_a_lost_reply_may_hide_an_account_that_is_stored(self) -> None:
        with fail_next(db, at="COMMIT", error=CommitUnknown, executed=True), self.assertRaises(CommitUnknown):
            open_and_greet("ada")
        self.assertEqual((["ada"], []), (owners(), greeted))


if __name__ == "__main__":
    unittest.main()
