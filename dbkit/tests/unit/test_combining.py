"""Who waits to be counted, and who leads: the line of a combiner, without a database."""

from __future__ import annotations

import testtools

from dbkit.exceptions import CommitUnknown, DBDeadlock, Outcome, PoolOverloaded
from dbkit.queries.locking.combining import Stage, Ticket, WaitingLine, fail, in_doubt, settle


def tickets(line, count):
    """Return tickets that have taken places."""
    made = [Ticket((number,), 1, None) for number in range(count)]
    for ticket in made:
        line.enter(ticket)
    return made


class TestWaitingLine(testtools.TestCase):
    def test_the_first_leads_and_takes_itself_and_those_who_wait(self):
        line = WaitingLine(10, 10)
        made = tickets(line, 3)
        self.assertEqual([True, False, False], [each.leads for each in made])
        self.assertEqual(made, line.take())
        self.assertEqual({Stage.TAKEN}, {each.stage for each in made})
        self.assertFalse(made[0].leads)

    def test_who_has_led_hands_on_to_the_first_who_waits(self):
        line = WaitingLine(10, 2)
        made = tickets(line, 4)
        self.assertEqual(made[:2], line.take())
        line.hand_on()
        self.assertEqual([False, False, True, False], [each.leads for each in made])
        self.assertTrue(made[2].wait(0))
        self.assertFalse(made[3].wait(0))
        self.assertEqual(made[2:], line.take())
        line.hand_on()
        self.assertTrue(tickets(line, 1)[0].leads)

    def test_who_leaves_while_it_leads_hands_on(self):
        line = WaitingLine(10, 10)
        made = tickets(line, 3)
        self.assertTrue(line.withdraw(made[1]))
        self.assertTrue(line.withdraw(made[0]))
        self.assertEqual((False, True), (made[0].leads, made[2].leads))
        self.assertEqual([made[2]], line.take())
        self.assertFalse(line.withdraw(made[2]))
        self.assertFalse(line.withdraw(made[0]))

    def test_what_is_given_back_goes_before_the_others(self):
        line = WaitingLine(10, 2)
        made = tickets(line, 3)
        line.give_back(line.take())
        line.hand_on()
        self.assertEqual([True, False, False], [each.leads for each in made])
        self.assertEqual(made[:2], line.take())

    def test_one_that_stands_alone_is_taken_alone(self):
        line = WaitingLine(10, 10)
        made = tickets(line, 3)
        made[1].alone = True
        for expected in (made[:1], made[1:2], made[2:]):
            self.assertEqual(expected, line.take())

    def test_too_many_are_turned_away(self):
        line = WaitingLine(2, 2)
        tickets(line, 2)
        error = self.assertRaises(PoolOverloaded, tickets, line, 1)
        self.assertTrue(error.transient)
        line.take()
        tickets(line, 2)

    def test_each_gets_an_error_of_its_own(self):
        line = WaitingLine(9, 9)
        made = tickets(line, 2)
        fail(line.take(), DBDeadlock())
        self.assertIsNot(made[0].error, made[1].error)
        self.assertEqual([Outcome.ROLLED_BACK] * 2, [each.outcome for each in made])
        self.assertEqual([True, True], [each.wait(0) for each in made])

    def test_a_ticket_knows_its_outcome(self):
        line = WaitingLine(9, 9)
        stored, doubtful, waiting = tickets(line, 3)
        settle([stored], {0: 7})
        fail([doubtful], in_doubt("8c1f"))
        self.assertEqual(
            [Outcome.COMMITTED, Outcome.UNKNOWN, Outcome.NOT_STARTED],
            [each.outcome for each in (stored, doubtful, waiting)],
        )
        self.assertEqual((7, CommitUnknown, "8c1f"), (stored.value, type(doubtful.error), doubtful.error.token))
