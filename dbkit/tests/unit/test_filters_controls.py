"""What leaks without the compiler: the same matrix with plain Sessions must fail in the known places."""

from __future__ import annotations

import sqlalchemy
import testtools
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session, with_loader_criteria
from sqlalchemy.pool import StaticPool

import dbkit
from dbkit.tests.leaks import further, loading, owning, reading, writing
from dbkit.tests.leaks.family import build, family
from dbkit.tests.leaks.looking import look, look_at_writing, scope_of

CASES = (*reading.CASES, *loading.CASES)


def names(leaks):
    """Return the names of the cases that leak, without their flavour."""
    return {name.partition(": ")[2] for name in leaks}


class TestControls(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.models = family("time")
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.addCleanup(self.engine.dispose)
        build(self.engine, self.models)

    def leaks(self, cases, session):
        with session:
            return names(look(session, self.models, cases, "sqlite"))

    def test_with_nothing_in_the_way_nearly_everything_leaks(self):
        cases = (*CASES, *further.READING)
        leaks = self.leaks(cases, Session(self.engine))
        tried = _tried(*cases)
        self.assertEqual(HARMLESS, tried - leaks)

    def test_the_documented_recipe_leaks_in_the_known_places(self):
        session = Session(self.engine)
        models = (self.models.Owner, self.models.Pet, self.models.Tag, self.models.Node, self.models.Thing)

        @event.listens_for(session, "do_orm_execute")
        def add_criteria(state):
            if state.is_select and not state.is_column_load and not state.is_relationship_load:
                state.statement = state.statement.options(
                    *[
                        with_loader_criteria(each, lambda cls: cls.mark.is_(None), include_aliases=True)
                        for each in models
                    ]
                )

        self.assertEqual(RECIPE_LEAKS, self.leaks(CASES, session))

    def test_writing_reaches_hidden_rows(self):
        with Session(self.engine) as session:
            leaks = names(look_at_writing(session, self.models, "sqlite"))
        self.assertEqual(WRITES_HARMLESS, _tried(*writing.CASES, *further.WRITING) - leaks)

    def test_without_the_compiler_each_row_is_stored_for_the_other_tenant(self):
        models = family("tenant")
        build(self.engine, models)
        tried = _tried(*owning.FOREIGN)
        with scope_of(models), Session(self.engine) as session:
            # the ORM's own objects are looked at by their mapper, whoever flushes them
            self.assertEqual(MAPPED, tried - names(look(session, models, owning.FOREIGN, "sqlite")))

    def test_the_same_family_in_a_block_leaks_nothing(self):
        """What the others must be compared with: the same database, cases and engine options."""
        db = dbkit.Database("sqlite://")
        self.addCleanup(db.dispose)
        with db.writer.connection() as connection:
            build_in(connection, self.models)
        with db.writer() as session:
            self.assertEqual({}, look(session, self.models, (*CASES, *further.READING), "sqlite"))


def _tried(*cases):
    return {case.name for case in cases if "sqlite" not in case.without}


def build_in(connection, models):
    """Fill the tables of a family through a block, whose connection is the database."""
    models.Base.metadata.create_all(connection)
    for table, rows in models.rows.items():
        connection.execute(table.insert(), rows)


#: Where an object is flushed, which is looked at by a listener of its mapper.
MAPPED = {f"foreign: {each}" for each in ("add", "flush that moves a row", "flush that leaves a row to nobody")}

#: Cases that no rule changes, because they look at what is not hidden.
HARMLESS = {"distinct", "raise"}

#: Where criteria of SQLAlchemy's do not come, or are not asked for: Core, text, links without a class, FULL JOIN, the
#: rows of objects that are known already.
RECIPE_LEAKS = {
    *("core", "core alias", "core connection", "count of a table", "table by name", "from_statement"),
    *("text", "text in where", "from_statement text", "exec_driver_sql"),
    *("any over a link", "join over a link", "outer join over a link", "not any"),
    *(f"{style} {relation}" for style in loading.STYLES for relation in ("Owner.tags", "Tag.owners")),
    *("full join", "full join of aliases", "join in an outer join", "joined inheritance, its own table"),
    *("refresh", "expired attribute"),
}
if sqlalchemy.__version__.startswith("2.0"):
    RECIPE_LEAKS |= {"any", "any of_type", "exists", "exists where", "has", "not has"}

#: With the tables as they are, none of these looks at a hidden row.
WRITES_HARMLESS = {f"get after a bulk delete, {how}" for how in ("evaluate", "fetch", False)}
