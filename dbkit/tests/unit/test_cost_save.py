"""What saving one object may cost: counts of calls, which are the same at every run."""

from __future__ import annotations

import testtools
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit import filters, models, queries
from dbkit.tests.unit.test_filters_cost import calls

A_CHECK = 10
"""Calls that a tenant's rule adds to a save."""


class Base(DeclarativeBase):
    """Of these tests alone."""


class Plain(models.VersionMixin, Base):
    __tablename__ = "cost_plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class Tenants(models.ProjectMixin, models.VersionMixin, Base):
    __tablename__ = "cost_tenants"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))


class TestCostOfSaving(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.db = dbkit.Database("sqlite://")
        self.addCleanup(self.db.dispose)
        Base.metadata.create_all(self.db.engine)
        self.enterContext(filters.scope(project="red"))
        with self.db.writer() as session:
            session.add_all([Plain(id=1), Tenants(id=1)])

    def changing(self, model):
        find = queries.find(model)
        names = iter(range(1000))

        @self.db.writer
        def change():
            found = find.one(self.db, id=1)
            found.name = str(next(names))
            queries.save(self.db, found)

        return calls(change)

    def test_a_tenants_object_costs_a_check_more(self):
        self.assertLessEqual(self.changing(Tenants) - self.changing(Plain), A_CHECK)

    def test_a_new_object_takes_less_than_half_of_a_flush(self):
        @self.db.writer
        def flush():
            self.db.session.add(Plain(name="new"))
            self.db.session.flush()

        @self.db.writer
        def save():
            queries.save(self.db, Plain(name="new"))

        self.assertLess(calls(save), calls(flush) / 2)
