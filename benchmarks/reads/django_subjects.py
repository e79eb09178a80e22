"""Django: ``values_list()`` for many rows, an object for one."""

# Django ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

from typing import Any

from benchmarks.bayer.schema import TABLE, TABLES
from benchmarks.peers.django_models import close_database, models_of, open_database
from benchmarks.places import Place
from benchmarks.reads.operations import MANY, ONE, by_place, checked, key_of
from benchmarks.subjects.subject import Opened

_COLUMNS = [column.name for column in TABLE.columns]


def open_django(place: Place) -> Opened:
    """Open it in autocommit, as Django reads where nobody asks for a transaction."""
    alias = open_database(place)
    model = models_of(TABLES)[TABLE.name]

    def many(number: int) -> Any:
        return list(model.objects.using(alias).filter(deleted=0).values_list(*_COLUMNS))

    def one(number: int) -> Any:
        rows = model.objects.using(alias).filter(id=key_of(number, place.rows), deleted=0)
        return rows.values_list(*_COLUMNS).get()

    opened = Opened({MANY: many, ONE: one}, lambda: close_database(alias))
    return checked(opened, place.rows, by_place)
