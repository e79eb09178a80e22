"""The chain of blocks: a link that is left in another context than it was entered in is no error."""

from __future__ import annotations

import contextvars

import testtools

from dbkit.ambient import CURRENT, Frame, leave
from dbkit.transaction.scope import find, nearest


class Link(Frame):
    """A link as far as the chain knows it."""

    def __init__(self, key, source, outer=None, *, is_open=True):
        self.key = key
        self.source = source
        self.outer = outer
        self.is_open = is_open


class TestTheChain(testtools.TestCase):
    def test_nothing_is_open_at_first(self):
        self.assertIsNone(contextvars.Context().run(CURRENT.get))

    def test_leaving_brings_back_what_was_there(self):
        def enter_and_leave():
            outer, inner = CURRENT.set("outer"), CURRENT.set("inner")
            leave(inner)
            self.assertEqual("outer", CURRENT.get())
            leave(outer)
            self.assertIsNone(CURRENT.get())

        contextvars.Context().run(enter_and_leave)

    def test_leaving_in_another_context_takes_nothing_off_there(self):
        token = contextvars.Context().run(CURRENT.set, "elsewhere")

        def leave_here():
            CURRENT.set("here")
            leave(token)
            self.assertEqual("here", CURRENT.get())

        contextvars.Context().run(leave_here)

    def test_the_nearest_open_block_of_the_same_key_and_source_is_found(self):
        far = Link("key", "source")
        middle = Link("key", "another source", far)
        near = Link("another key", "source", middle)
        self.assertIs(far, find(near, "key", "source"))
        self.assertIs(middle, find(near, "key", "another source"))
        self.assertIs(near, find(near, "another key", "source"))
        self.assertIsNone(find(near, "another key", "another source"))
        self.assertIsNone(find(None, "key", "source"))

    def test_the_nearest_open_block_of_a_key_is_found_whatever_its_source(self):
        far = Link("key", "source")
        near = Link("key", "another source", far)
        self.assertIs(near, nearest(near, "key"))
        self.assertIsNone(nearest(near, "another key"))

    def test_a_block_that_has_ended_is_passed_over(self):
        far = Link("key", "source")
        ended = Link("key", "source", far, is_open=False)
        self.assertIs(far, find(ended, "key", "source"))
        self.assertIs(far, nearest(ended, "key"))
        far.is_open = False
        self.assertIsNone(find(ended, "key", "source"))
        self.assertIsNone(nearest(ended, "key"))

    def test_keys_are_compared_by_identity(self):
        self.assertIsNone(find(Link([], "source"), [], "source"))
