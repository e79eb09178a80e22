"""The key of a context object: one, whoever asks for it first."""

from __future__ import annotations

import threading

import testtools

from dbkit.exceptions import InvalidContext
from dbkit.tests.steering import at_once
from dbkit.transaction.provider import key_of


class Context:
    """A context object as applications have them."""


class Meeting:
    """A context object at which two threads meet, each before it has found a key."""

    def __init__(self):
        self.met = threading.Barrier(2)

    def __getattr__(self, name):
        self.met.wait(20)
        raise AttributeError(name)


class Slotted:
    """A context object that keeps its key in a slot; two threads meet at it, each before it has found a key."""

    __slots__ = ("_dbkit_key", "have_met", "met")

    def __init__(self):
        self.met = threading.Barrier(2)
        self.have_met = set()

    def __getattr__(self, name):
        if threading.get_ident() not in self.have_met:
            self.have_met.add(threading.get_ident())
            self.met.wait(20)
        raise AttributeError(name)


class TestKeys(testtools.TestCase):
    def test_threads_that_ask_at_once_get_one_key(self):
        context = Meeting()
        first, second = at_once(2, lambda number: key_of(context))
        self.assertIs(first, second)
        self.assertIs(first, key_of(context))

    def test_threads_that_ask_at_once_get_one_key_from_a_slot(self):
        context = Slotted()
        first, second = at_once(2, lambda number: key_of(context))
        self.assertIs(first, second)
        self.assertIs(first, key_of(context))

    def test_many_threads_get_one_key(self):
        for _ in range(50):
            context = Context()
            self.assertEqual(1, len({id(key) for key in at_once(4, lambda number, context=context: key_of(context))}))

    def test_two_contexts_have_two_keys(self):
        self.assertIsNot(key_of(Context()), key_of(Context()))

    def test_an_object_without_attributes_is_refused(self):
        error = self.assertRaises(InvalidContext, key_of, object())
        self.assertIn("takes no attributes", str(error))
