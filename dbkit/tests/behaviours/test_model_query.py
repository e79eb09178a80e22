"""oslo.db's ``model_query``: by its signature, in blocks with rules and in plain sessions."""

from __future__ import annotations

from functools import cache

import sqlalchemy as sa
from oslo_db.sqlalchemy import models as oslo_models
from oslo_db.sqlalchemy.utils import model_query as original
from sqlalchemy.orm import Mapped, Session, mapped_column

import dbkit
from dbkit import filters, models
from dbkit.exceptions import HandleNotRequested, InvalidModel, RuleValueMissing
from dbkit.queries import model_query
from dbkit.tests.behaviours.base import Behaviour, behaviours
from dbkit.tests.behaviours.combinations import ONE

Base = models.new_base()


class Server(oslo_models.ModelBase, models.SoftDeleteMixin, Base):
    __tablename__ = "asked_servers"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[str | None] = mapped_column(sa.String(9))


class Owned(models.DeletedAtMixin, models.scope_mixin("tenant", "project_id", shared=None), Base):
    __tablename__ = "asked_owned"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Plain(Base):
    __tablename__ = "asked_plain"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


ROWS = ((1, "a", False), (2, "b", False), (3, None, False), (4, "a", True))
ASKED = [
    {**deleted, **project}
    for deleted in ({}, {"deleted": False}, {"deleted": True})
    for project in ({}, {"project_id": "a"}, {"project_id": ["a", "b"]}, {"project_id": None})
]


@cache
def prepare(place):
    Base.metadata.create_all(place.observer)
    with place.observer.connect() as connection:
        for number, project, gone in ROWS:
            values = {"id": number, "project_id": project}
            connection.execute(Server.__table__.insert().values(values | {"deleted": number if gone else 0}))
            moment = sa.func.current_timestamp() if gone else None
            connection.execute(Owned.__table__.insert().values(values | {"deleted_at": moment}))


@behaviours(ONE)
class TestModelQuery(Behaviour):
    def setUp(self):
        super().setUp()
        prepare(self.place)

    async def ids(self, model, **asked):
        """Return what a block sees."""
        async with self.reader() as session:
            return await session.run_sync(lambda session: self.seen(model_query, model, session, **asked))

    @staticmethod
    def seen(function, model, session, **asked):
        return [row.id for row in function(model, session, **asked).order_by(model.id)]

    async def test_a_plain_session_sees_what_oslo_db_shows(self):
        with Session(self.place.observer) as session:
            for asked in ASKED:
                ours, theirs = (self.seen(each, Server, session, **asked) for each in (model_query, original))
                self.assertEqual(theirs, ours, asked)

    async def test_a_block_shows_deleted_rows_only_if_they_are_asked_for(self):
        for asked in ASKED:
            projects = asked.get("project_id", ["a", "b", None])
            projects = projects if isinstance(projects, list) else [projects]
            gone = asked.get("deleted", False)
            wanted = [number for number, project, is_gone in ROWS if is_gone == gone and project in projects]
            self.assertEqual(wanted, await self.ids(Server, **asked), asked)

    async def test_a_tenants_rule_is_never_switched_off(self):
        await self.raises(RuleValueMissing, lambda: self.ids(Owned, deleted=True, project_id="a"))
        with filters.scope(tenant="b"):
            self.assertEqual([2, 3], await self.ids(Owned))
            self.assertEqual([], await self.ids(Owned, project_id="a"))
            self.assertEqual([], await self.ids(Owned, deleted=True))
        with filters.scope(tenant="a"):
            self.assertEqual([4], await self.ids(Owned, deleted=True))

    async def test_both_are_had_by_name(self):
        async with self.reader() as session:
            both = await session.run_sync(
                lambda session: model_query(Server, session, (Server.id,)).options(dbkit.without("soft_delete")).count()
            )
        self.assertEqual(4, both)

    async def test_what_a_model_lacks_is_refused(self):
        for asked in ({"deleted": False}, {"project_id": None}):
            await self.raises(ValueError, lambda asked=asked: self.ids(Plain, **asked))
        await self.raises(InvalidModel, lambda: self.ids(Base))
        if self.is_asyncio:
            async with self.reader():
                with self.raising(HandleNotRequested):
                    model_query(Server, self.db)
        else:
            async with self.reader():
                self.assertEqual(3, model_query(Server, self.db).count())
