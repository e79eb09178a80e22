"""A wiki's pages, which several people edit: who saves what others have changed meanwhile is told so."""

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit.exceptions import Staleness, StaleRow
from dbkit.models import VersionMixin
from dbkit.queries import compare_and_swap, etag, etag_of, if_match, is_fresh

db = dbkit.Database()
SECRET = "from the settings of the application"


class Base(DeclarativeBase):
    pass


class Page(VersionMixin, Base):
    __tablename__ = "pages"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(2000))
    title: Mapped[str | None] = mapped_column(String(200))


def create_tables() -> None:
    Base.metadata.create_all(db.engine)


@db.writer
def create_page(text: str) -> int:
    page = Page(text=text)
    db.session.add(page)
    db.session.flush()
    return page.id


def get(number: int, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Answer a GET: status, headers, body."""
    with db.reader() as session:
        page = session.get(Page, number)
    if page is None:
        return 404, {}, ""
    tag = {"ETag": etag(page, secret=SECRET)}
    if is_fresh(headers.get("If-None-Match"), page, secret=SECRET):
        return 304, tag, ""
    return 200, tag, page.text


def put(number: int, headers: dict[str, str], text: str) -> tuple[int, dict[str, str], str]:
    """Answer a PUT: with one statement, and without a read."""
    expected = if_match(headers.get("If-Match"), Page, number, secret=SECRET)
    if expected is None:
        return 428, {}, "send If-Match with the ETag of what you have read"
    try:
        with db.writer():
            version = compare_and_swap(db, Page, number, expected, {"text": text})
    except StaleRow as error:
        return 412, {}, "somebody else has changed it" if error.reason is Staleness.STALE else "it is gone"
    return 204, {"ETag": etag_of(Page, number, version, secret=SECRET)}, ""


@db.writer.retrying()
def shout(number: int) -> str:
    """Read and write in one block; run again if somebody else was faster."""
    page = db.session.get_one(Page, number)
    page.text = page.text.upper()
    compare_and_swap(db, page)
    return page.text
