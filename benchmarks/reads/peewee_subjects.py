"""peewee: ``tuples()``."""

# peewee ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

from typing import Any

from benchmarks.bayer.schema import TABLE, TABLES
from benchmarks.peers.peewee_models import models_of, open_database
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_place, checked, key_of
from benchmarks.subjects.subject import Opened


def open_peewee(place: Place) -> Opened:
    """Open it in autocommit, as peewee reads where nobody asks for a transaction."""
    database = open_database(place)
    model = models_of(database, TABLES)[TABLE.name]
    fields = [model._meta.columns[column.name] for column in TABLE.columns]  # or the key would come first

    def many(number: int) -> Any:
        return list(model.select(*fields).where(model.deleted == 0).tuples())

    def one(number: int) -> Any:
        return (
            model.select(*fields).where((model.id == key_of(number, place.rows)) & (model.deleted == 0)).tuples().get()
        )

    return checked(Opened({MANY: many, ONE: one}, database.close), place.rows, by_place)
