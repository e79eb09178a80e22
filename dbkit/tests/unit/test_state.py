"""The states of a transaction: every move is legal or an error."""

from __future__ import annotations

import itertools

import testtools

from dbkit.transaction.state import MOVES, IllegalMove, State, moved

LEGAL = {
    (State.NEW, State.ACTIVE),
    (State.NEW, State.COMMITTED),
    (State.NEW, State.ROLLED_BACK),
    (State.ACTIVE, State.COMMITTED),
    (State.ACTIVE, State.ROLLED_BACK),
    (State.ACTIVE, State.UNKNOWN),
    (State.COMMITTED, State.CLOSED),
    (State.ROLLED_BACK, State.CLOSED),
    (State.UNKNOWN, State.CLOSED),
}


class TestStates(testtools.TestCase):
    def test_each_move_is_legal_or_refused(self):
        for old, new in itertools.product(State, State):
            if (old, new) in LEGAL:
                self.assertIs(new, moved(old, new))
            else:
                error = self.assertRaises(IllegalMove, moved, old, new)
                self.assertIn(repr(old.value), str(error))
                self.assertIn(repr(new.value), str(error))

    def test_each_state_knows_its_moves(self):
        self.assertEqual(set(State), set(MOVES))
        for state in State:
            self.assertEqual(MOVES[state], state.next)

    def test_what_is_decided_stays_decided(self):
        decided = {State.COMMITTED, State.ROLLED_BACK, State.UNKNOWN}
        for state in decided:
            self.assertFalse(decided & set(state.next))

    def test_each_state_leads_to_the_end(self):
        for state in State:
            reached, pending = set(), [state]
            while pending:
                reached.add(at := pending.pop())
                pending += [each for each in at.next if each not in reached]
            self.assertIn(State.CLOSED, reached)
