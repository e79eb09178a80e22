"""Articles of several projects: each sees its own, and readers see what is published."""

from sqlalchemy import func, select, true, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import filters

db = dbkit.Database()


class Base(DeclarativeBase):
    pass


class OfProject:
    """What belongs to a project; the column is filled in, and each sees its own."""

    project: Mapped[str] = mapped_column(index=True)


filters.scoped("project", OfProject, "project")


class Article(OfProject, Base):
    __tablename__ = "articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    published: Mapped[bool] = mapped_column(default=False)


filters.rule("published", Article, lambda table: table.c.published == true())


def create_tables() -> None:
    Base.metadata.create_all(db.engine)


def write(project: str, title: str) -> None:
    with filters.scope(project=project), db.writer() as session:
        session.add(Article(title=title))


def publish(project: str) -> None:
    with filters.scope(project=project), db.writer.without("published")() as session:
        session.execute(update(Article).values(published=True))


def titles(project: str) -> list[str]:
    with filters.scope(project=project), db.reader() as session:
        return list(session.scalars(select(Article.title)))


def drafts(project: str) -> list[str]:
    """What is not published yet, by an option of the statement."""
    statement = select(Article.title).where(~Article.published).options(dbkit.without("published"))
    with filters.scope(project=project), db.reader() as session:
        return list(session.scalars(statement))


@db.reader.without("project", "published")
def count_for_the_bill() -> dict[str, int]:
    """Of all projects, by a block that says so."""
    statement = select(Article.project, func.count()).group_by(Article.project)
    return dict(tuple(row) for row in db.session.execute(statement))
