"""How a block enters: the policy, held to its table row by row."""

from __future__ import annotations

import itertools

import testtools

from dbkit.exceptions import ModeConflict, TransactionOwnedElsewhere
from dbkit.spec import Colour, Isolation, Mode, Propagation, TransactionSpec
from dbkit.transaction.entry import GRANTS, Enclosing, Entry, decide

ME, ANOTHER = "me", "another"

WRITER, READER, REPLICA = Mode.WRITER, Mode.READER, Mode.REPLICA
JOIN, REFUSED = "join", "refused"

# Rows: the open block. Columns: the new one.
TABLE = {
    (WRITER, WRITER): JOIN,
    (WRITER, READER): JOIN,
    (WRITER, REPLICA): JOIN,
    (READER, WRITER): REFUSED,
    (READER, READER): JOIN,
    (READER, REPLICA): JOIN,
    (REPLICA, WRITER): REFUSED,
    (REPLICA, READER): REFUSED,
    (REPLICA, REPLICA): JOIN,
}


def enter(mode=WRITER, outer=None, *, colour=Colour.BLOCKING, level=None, **asked):
    """Return what is decided for a block of a mode inside a block of another."""
    owner, outer_colour = asked.pop("owner", ME), asked.pop("outer_colour", Colour.BLOCKING)
    enclosing = None if outer is None else Enclosing(outer, owner, outer_colour, level)
    return decide(TransactionSpec(mode=mode, **asked), enclosing, ME, colour)


class TestEntry(testtools.TestCase):
    def test_the_table_has_a_row_for_each_pair_of_modes(self):
        self.assertEqual(set(itertools.product(Mode, Mode)), set(TABLE))
        self.assertEqual(set(Mode), set(GRANTS))

    def test_without_an_open_block_each_begins(self):
        for mode, propagation, colour in itertools.product(Mode, Propagation, Colour):
            self.assertIs(Entry.BEGIN, enter(mode, propagation=propagation, colour=colour))

    def test_an_independent_one_begins_beside_whatever_is_open(self):
        for (outer, mode), owner, colour in itertools.product(TABLE, (ME, ANOTHER), Colour):
            entry = enter(
                mode,
                outer,
                owner=owner,
                outer_colour=colour,
                isolation=Isolation.SERIALIZABLE,
                propagation=Propagation.REQUIRES_NEW,
            )
            self.assertIs(Entry.BEGIN, entry)

    def test_each_pair_of_modes_joins_or_is_refused_as_the_table_says(self):
        for (outer, mode), expected in TABLE.items():
            if expected is REFUSED:
                error = self.assertRaises(ModeConflict, enter, mode, outer)
                self.assertIn(".independent", str(error))
                self.assertIsInstance(error, TypeError)
            else:
                self.assertIs(Entry.JOIN, enter(mode, outer))

    def test_a_savepoint_is_opened_where_a_block_would_join_and_refused_where_it_would_be(self):
        for (outer, mode), expected in TABLE.items():
            if expected is REFUSED:
                self.assertRaises(ModeConflict, enter, mode, outer, propagation=Propagation.NESTED)
            else:
                self.assertIs(Entry.SAVEPOINT, enter(mode, outer, propagation=Propagation.NESTED))

    def test_the_refusals_begin_with_the_words_that_oslo_dbs_users_know(self):
        for outer, mode, words in (
            (READER, WRITER, "Can't upgrade a READER transaction to a WRITER mid-transaction"),
            (REPLICA, WRITER, "Can't upgrade an ASYNC_READER transaction to a WRITER mid-transaction"),
            (REPLICA, READER, "Can't upgrade an ASYNC_READER transaction to a READER mid-transaction"),
        ):
            error = self.assertRaises(ModeConflict, enter, mode, outer)
            self.assertTrue(str(error).startswith(words), str(error))

    def test_a_reader_that_accepts_a_replica_joins_a_replicas_block(self):
        self.assertIs(Entry.JOIN, enter(READER, REPLICA, accept_replica=True))
        self.assertRaises(ModeConflict, enter, WRITER, REPLICA, accept_replica=True)

    def test_a_block_of_another_owner_is_refused_whatever_its_mode(self):
        for outer, mode in TABLE:
            for propagation in (Propagation.REQUIRED, Propagation.NESTED):
                error = self.assertRaises(
                    TransactionOwnedElsewhere, enter, mode, outer, owner=ANOTHER, propagation=propagation
                )
                self.assertIn(mode.value, str(error))
                self.assertIn(outer.value, str(error))
                self.assertIn(".independent", str(error))

    def test_a_block_of_the_other_colour_is_refused_whatever_its_mode(self):
        for outer, mode in TABLE:
            error = self.assertRaises(ModeConflict, enter, mode, outer, outer_colour=Colour.ASYNCIO)
            self.assertIn("run_sync", str(error))
            self.assertNotIn("context", str(error))  # a Database has none

    def test_an_asyncio_block_in_a_blocking_one_is_told_to_change_the_outer_one(self):
        for outer, mode in TABLE:
            error = self.assertRaises(ModeConflict, enter, mode, outer, colour=Colour.ASYNCIO)
            self.assertIn("open the outer one with async with", str(error))
            self.assertNotIn("run_sync", str(error))

    def test_a_level_joins_one_that_is_as_strong(self):
        for asked, have in itertools.product((None, *Isolation), repeat=2):
            if asked is None or (have is not None and have >= asked):
                self.assertIs(Entry.JOIN, enter(WRITER, WRITER, isolation=asked, level=have))
            else:
                error = self.assertRaises(ModeConflict, enter, WRITER, WRITER, isolation=asked, level=have)
                self.assertIn(asked.sql, str(error))
                self.assertIn("default" if have is None else have.sql, str(error))
