"""Entity tags: what a header names, and whose version a tag is."""

from __future__ import annotations

import sqlalchemy as sa
import testtools
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit.exceptions import Staleness, StaleRow, UsageError
from dbkit.models import VersionMixin
from dbkit.queries import (
    ANY_VERSION,
    EntityTag,
    OneOf,
    etag,
    etag_of,
    if_match,
    is_fresh,
    parse_etags,
    require_match,
)


class Base(DeclarativeBase):
    """The tables of this file."""


class Page(VersionMixin, Base):
    """Has a version."""

    __tablename__ = "etag_pages"

    id: Mapped[int] = mapped_column(primary_key=True)


class Other(VersionMixin, Base):
    """Has one too."""

    __tablename__ = "etag_others"

    id: Mapped[int] = mapped_column(primary_key=True)


class Plain(Base):
    """Has none."""

    __tablename__ = "etag_plain"

    id: Mapped[int] = mapped_column(primary_key=True)


class Bag(Base):
    """Has one that is no number."""

    __tablename__ = "etag_bags"

    id: Mapped[int] = mapped_column(primary_key=True)
    mark: Mapped[str] = mapped_column(sa.String(32))
    __mapper_args__ = {"version_id_col": mark, "version_id_generator": lambda version: "next"}


class TestHeaders(testtools.TestCase):
    def test_one_a_list_and_any_are_read(self):
        for header, is_any, tags in (
            ("*", True, []),
            (" * ", True, []),
            ('"a"', False, ['"a"']),
            ('W/"a"', False, ['W/"a"']),
            ('"a", W/"b" ,"c,d"', False, ['"a"', 'W/"b"', '"c,d"']),
            (' , "a",, "b",', False, ['"a"', '"b"']),
            ('""', False, ['""']),
            ("", False, []),
            ("a", False, []),
            ('w/"a"', False, []),
            ('"a', False, []),
            ('"a" "b"', False, ['"a"']),
            ('"a", b, "c"', False, ['"a"']),
            ('"a b"', False, []),
        ):
            found = parse_etags(header)
            self.assertEqual((is_any, tags), (found.is_any, [str(each) for each in found.tags]), header)

    def test_a_tag_is_what_the_header_takes(self):
        self.assertEqual((EntityTag(etag(Page(id=1, version=3))[1:-1]),), parse_etags(etag(Page(id=1, version=3))).tags)
        self.assertLess(len(etag(Page(id=1, version=10**9))), 40)


class TestTags(testtools.TestCase):
    def test_the_version_is_found_again_for_the_same_row_only(self):
        tag = etag(Page(id=1, version=3), secret="s")
        self.assertEqual(tag, etag_of(Page, 1, 3, secret=b"s"))
        for expected, model, key, secret in (
            ({3}, Page, 1, "s"),
            (set(), Page, 2, "s"),
            (set(), Other, 1, "s"),
            (set(), Page, 1, "t"),
            (set(), Page, 1, None),
        ):
            self.assertEqual(OneOf(frozenset(expected)), if_match(tag, model, key, secret=secret))

    def test_all_of_a_list_count_and_weak_ones_do_not(self):
        tags = [etag_of(Page, 1, version) for version in (1, 2, 3)]
        header = f'{tags[0]}, W/{tags[1]}, {tags[2]}, "nonsense", "AAAA"'
        self.assertEqual(OneOf(frozenset({1, 3})), if_match(header, Page, 1))
        self.assertIs(ANY_VERSION, if_match("*", Page, 1))
        self.assertIsNone(if_match(None, Page, 1))

    def test_a_forged_tag_matches_nothing(self):
        tag = etag_of(Page, 1, 3, secret="s")
        for place in range(1, len(tag) - 2):  # the last character has bits that say nothing
            forged = tag[:place] + ("A" if tag[place] != "A" else "B") + tag[place + 1 :]
            self.assertEqual(OneOf(frozenset()), if_match(forged, Page, 1, secret="s"), place)

    def test_a_version_that_is_no_number_is_found_again(self):
        self.assertEqual(OneOf(frozenset({"3f"})), if_match(etag(Bag(id=1, mark="3f")), Bag, 1))

    def test_what_has_no_version_has_no_tag(self):
        self.assertRaises(UsageError, etag, Plain(id=1))
        self.assertRaises(UsageError, etag, Page(id=1))

    def test_an_object_is_compared_strongly_for_a_write_and_weakly_for_a_read(self):
        page = Page(id=1, version=3)
        strong, weak = etag(page), f"W/{etag(page)}"
        require_match(strong, page)
        require_match("*", page)
        require_match(None, page)
        for header in (weak, etag_of(Page, 1, 2), "", '"x"'):
            error = self.assertRaises(StaleRow, require_match, header, page)
            self.assertEqual((Staleness.STALE, 3, False), (error.reason, error.current, error.transient))
        self.assertEqual(
            [True, True, True, False, False], [is_fresh(each, page) for each in (strong, weak, "*", '"x"', None)]
        )
