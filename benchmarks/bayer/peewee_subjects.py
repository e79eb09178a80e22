"""peewee: the operation in ``database.atomic()``."""

# peewee ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

from typing import Any

from peewee import JOIN

from benchmarks.bayer.bodies import change
from benchmarks.bayer.schema import TABLES
from benchmarks.bayer.variants import DEFAULT, FAST_SAVE
from benchmarks.peers.peewee_models import models_of, open_database
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.schema import ADDRESSES, ROWS, now
from benchmarks.subjects.subject import Opened


def open_peewee(place: Place, variant: str) -> Opened:
    """Open it; a fast save writes the fields that were set, where a plain one writes all of them."""
    database = open_database(place)
    instance, fixed_ip, floating_ip = models_of(database, TABLES).values()

    def operation(number: int) -> Any:
        with database.atomic():
            if variant == DEFAULT:
                rows = floating_ip.select(floating_ip, fixed_ip, instance)
                rows = rows.join(fixed_ip, JOIN.LEFT_OUTER).join(instance, JOIN.LEFT_OUTER)
            else:
                rows = floating_ip.select()
            rows = rows.where((floating_ip.address == ADDRESSES[number % ROWS]) & (floating_ip.deleted == 0))
            found = rows.get()
            change(found, number)
            found.updated_at = now()
            found.save(only=found.dirty_fields if variant == FAST_SAVE else None)
            return found

    return Opened({FLOATING_IP_UPDATE: operation}, database.close)
