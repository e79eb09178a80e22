"""Digests: the same for what the caller could not tell apart, another one for everything else."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import hashlib
import ipaddress
import random
import uuid

import testtools

from dbkit.transaction.replay.digest import Incomparable, digest_of_error, digest_of_result, put_value

UTC = datetime.UTC


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Point = collections.namedtuple("Point", "x y")


class Slotted:
    __slots__ = ("low", "high")

    def __init__(self, low, high):
        self.low = low
        self.high = high


#: No two of them look the same to who reads them.
DIFFERENT = (
    None, False, True, 0, 1, -1, 10**30, 0.0, -0.0, 1.0, float("inf"), float("nan"), 1j, "", "0", "1", "é", "e\u0301",
    b"", b"0", b"1", decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("NaN"),
    datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 2, tzinfo=UTC),
    datetime.datetime(2026, 1, 2, fold=1), datetime.time(1, 2), datetime.time(1, 2, 0, 1), datetime.timedelta(1),
    datetime.timedelta(0, 1), uuid.UUID(int=1), uuid.UUID(int=2), [], [1], [[1]], [1, 2], [2, 1], (), (1,), ((1,),),
    {}, {"a": 1}, {"a": 2}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, set(), {1}, {1, 2}, Colour.RED, Colour.BLUE,
    Point(1, 2), Point(2, 1), Slotted(1, 2), Slotted(1, 3), ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_network("10.0.0.0/8"), range(3), range(4),
)  # fmt: skip


def digest(value):
    return digest_of_result(1, [(value,)])


class TestDigests(testtools.TestCase):
    def test_different_values_have_different_digests(self):
        seen = {}
        for value in DIFFERENT:
            same = seen.setdefault(digest(value), value)
            self.assertIs(value, same, f"{value!r} looks like {same!r}")

    def test_what_is_built_again_has_the_same_digest(self):
        for one, other in (
            ("ab", "".join(["a", "b"])),
            ([1, [2, 3]], [1, [2, 3]]),
            ({1, 2, 300, "x"}, {"x", 300, 2, 1}),
            (Slotted([1], {"a": 2}), Slotted([1], {"a": 2})),
            (Point(1, 2), Point(1, 2)),
            (float("nan"), float("nan")),
            (datetime.datetime(2026, 1, 2, tzinfo=UTC), datetime.datetime(2026, 1, 2, tzinfo=UTC)),
        ):
            self.assertEqual(digest(one), digest(other), one)

    def test_it_does_not_matter_which_objects_are_shared(self):
        # pickle would write the second occurrence of an object as a reference to the first
        text = "a text that is no constant of the compiler " * 2
        other = "".join(list(text))
        self.assertIsNot(text, other)
        self.assertEqual(digest([text, text]), digest([text, other]))
        self.assertEqual(digest([[1], [1]]), digest([[1]] * 2))

    def test_buffers_count_as_their_bytes(self):
        digests = {digest(kind(b"\x00\xff")) for kind in (bytes, bytearray, memoryview)}
        self.assertEqual(1, len(digests))

    def test_row_classes_of_drivers_do_not_matter_and_their_borders_do(self):
        self.assertEqual(digest_of_result(1, [(1, 2)]), digest_of_result(1, [Point(1, 2)]))
        self.assertNotEqual(digest_of_result(1, [(1, 2), (3,)]), digest_of_result(1, [(1,), (2, 3)]))
        self.assertNotEqual(digest_of_result(1, [("ab", "c")]), digest_of_result(1, [("a", "bc")]))

    def test_the_order_and_the_number_of_rows_count(self):
        digests = {digest_of_result(2, rows) for rows in ([(1,), (2,)], [(2,), (1,)], [(1,)], [], None)}
        self.assertEqual(5, len(digests))

    def test_rowcount_and_generated_number_count(self):
        digests = {digest_of_result(count, None, number) for count in (0, 1, -1) for number in (None, 0, 1, 7)}
        self.assertEqual(12, len(digests))

    def test_an_error_is_no_result_and_its_code_counts(self):
        digests = {digest_of_error(code, kind) for code in (1062, "1062", "23505") for kind in ("A", "B")}
        self.assertEqual(4, len(digests), "a number and its text are the same code")
        self.assertNotIn(digest_of_result(0, None), digests)

    def test_what_cannot_be_compared_is_refused(self):
        for value in (lambda: None, (each for each in ()), open, object().__str__, int):
            self.assertRaises(Incomparable, digest, value)

    def test_a_value_that_holds_itself_is_refused(self):
        endless = []
        endless.append(endless)
        self.assertRaises(Incomparable, digest, endless)

    def test_values_by_chance_are_equal_only_to_their_copies(self):
        chance = random.Random(7)
        seen = {}
        for _ in range(2000):
            value = self.any_value(chance, 3)
            found = hashlib.sha256()
            put_value(found, value)
            written = repr(value)
            self.assertEqual(written, seen.setdefault(found.digest(), written))
        self.assertEqual(len(seen), len(set(seen.values())))

    def any_value(self, chance, depth):
        kind = chance.randrange(9 if depth else 6)
        if kind == 0:
            return chance.choice((None, True, False))
        if kind == 1:
            return chance.randrange(-3, 3)
        if kind == 2:
            return chance.choice("abc") * chance.randrange(3)
        if kind == 3:
            return bytes(chance.randrange(3) for _ in range(chance.randrange(3)))
        if kind == 4:
            return decimal.Decimal(chance.randrange(3)).scaleb(-chance.randrange(2))
        if kind == 5:
            return datetime.date(2026, 1, 1 + chance.randrange(3))
        parts = [self.any_value(chance, depth - 1) for _ in range(chance.randrange(3))]
        return parts if kind == 6 else tuple(parts) if kind == 7 else dict(enumerate(parts))
