"""The test case of the shop: which database its tests work on, and how each is kept from the others."""

from __future__ import annotations

import os

from bookshop.database import db
from bookshop.models import Base
from dbkit.testing.fixtures import DatabaseTestCase


class ShopTestCase(DatabaseTestCase):
    """A test on the kinds of databases that ``DBKIT_TEST_BACKENDS`` names, or on SQLite."""

    schema = Base
    managers = (db,)
    isolation = os.environ.get("BOOKSHOP_ISOLATION", "rollback")  # the rehearsal shows what happens with "none"
