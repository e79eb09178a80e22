"""The outbox's table in an application's migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from dbkit.exceptions import DBNonExistentTable
from dbkit.outbox import create_outbox_table, drop_outbox_table, outbox_table
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import BLOCKING, ONE_PER_PRODUCT
from dbkit.tests.behaviours.outboxes import OutboxBehaviour


def upgrade():
    """Be the upgrade of a script."""
    create_outbox_table(op.get_bind())


def downgrade():
    """Be its downgrade."""
    drop_outbox_table(op.get_bind())


@behaviours(ONE_PER_PRODUCT & BLOCKING)
class TestMigrations(OutboxBehaviour):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.migrate, upgrade)

    def migrate(self, script):
        """Run a part of a script as Alembic does."""
        with self.place.observer.connect() as connection, Operations.context(MigrationContext.configure(connection)):
            script()

    def differences(self, metadata):
        """Return what autogenerate would write about the outbox's table."""
        of_the_outbox = {"include_name": lambda name, kind, parents: kind != "table" or name == "dbkit_outbox"}
        with self.place.observer.connect() as connection:
            return compare_metadata(MigrationContext.configure(connection, opts=of_the_outbox), metadata)

    def test_a_script_makes_the_table_that_autogenerate_wants(self):
        metadata = sa.MetaData()
        outbox_table(metadata)
        self.migrate(downgrade)
        self.assertNotEqual([], self.differences(metadata))
        self.migrate(upgrade)
        self.assertEqual([], self.differences(metadata))

    def test_a_script_can_be_run_twice_in_each_direction(self):
        for script in (upgrade, upgrade, downgrade, downgrade, upgrade):
            self.migrate(script)
        self.assertEqual([], self.waiting())

    async def test_the_table_of_a_script_serves(self):
        self.migrate(downgrade)
        self.migrate(upgrade)
        await self.send(1)
        await self.call("deliver", self.see)
        self.assertEqual([1], self.seen)

    async def test_without_the_table_the_error_says_how_to_make_it(self):
        self.migrate(downgrade)
        for error in (
            await self.raises(DBNonExistentTable, self.send, 1),
            await self.raises(DBNonExistentTable, self.call, "deliver", self.see),
            await self.raises(DBNonExistentTable, self.call, "status"),
        ):
            self.assertEqual(1, "".join(error.__notes__).count("create it with outbox.create_table()"))
