"""Django: the operation in ``transaction.atomic()``."""

# Django ships no types.
# mypy: disable-error-code="import-untyped,no-any-unimported"

from __future__ import annotations

from typing import Any

from django.db import transaction

from benchmarks.bayer.bodies import change
from benchmarks.bayer.schema import TABLE, TABLES
from benchmarks.bayer.variants import DEFAULT, FAST_SAVE
from benchmarks.peers.django_models import close_database, models_of, open_database
from benchmarks.places import Place
from benchmarks.scenarios import FLOATING_IP_UPDATE
from benchmarks.schema import ADDRESSES, ROWS
from benchmarks.subjects.subject import Opened

_CHANGED = ("host", "project_id", "updated_at")


def open_django(place: Place, variant: str) -> Opened:
    """Open it; a fast save names its fields, where a plain one writes all of them."""
    alias = open_database(place)
    model = models_of(TABLES)[TABLE.name]
    fields = _CHANGED if variant == FAST_SAVE else None

    def operation(number: int) -> Any:
        with transaction.atomic(using=alias):
            rows = model.objects.using(alias)
            if variant == DEFAULT:
                rows = rows.select_related("fixed_ip__instance")
            found = rows.get(address=ADDRESSES[number % ROWS], deleted=0)
            change(found, number)
            found.save(update_fields=fields)
            return found

    return Opened({FLOATING_IP_UPDATE: operation}, lambda: close_database(alias))
