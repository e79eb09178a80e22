"""Reading and writing rows: each function takes where it is to happen, an open block, as its first argument."""

from __future__ import annotations

from dbkit.queries.combiner import Combiner
from dbkit.queries.compare_and_swap import (
    acompare_and_swap,
    acompare_and_swap_all,
    compare_and_swap,
    compare_and_swap_all,
)
from dbkit.queries.counter import aincrement, increment
from dbkit.queries.etag import EntityTag, EntityTags, etag, etag_of, if_match, is_fresh, parse_etags, require_match
from dbkit.queries.purges import Purge, Purged, apurge, purge
from dbkit.queries.seen import ANY_VERSION, AnyVersion, OneOf, Swap
from dbkit.queries.swapping import Swapped
from dbkit.queries.update_match import (
    CantUpdateException,
    MultiRowsMatched,
    NoRowsMatched,
    aupdate_on_match,
    aupdate_returning_pk,
    manufacture_criteria,
    manufacture_entity_criteria,
    manufacture_persistent_object,
    update_on_match,
    update_returning_pk,
)

__all__ = [
    "ANY_VERSION",
    "AnyVersion",
    "CantUpdateException",
    "Combiner",
    "EntityTag",
    "EntityTags",
    "MultiRowsMatched",
    "NoRowsMatched",
    "OneOf",
    "Purge",
    "Purged",
    "Swap",
    "Swapped",
    "acompare_and_swap",
    "acompare_and_swap_all",
    "aincrement",
    "apurge",
    "aupdate_on_match",
    "aupdate_returning_pk",
    "compare_and_swap",
    "compare_and_swap_all",
    "etag",
    "etag_of",
    "if_match",
    "increment",
    "is_fresh",
    "manufacture_criteria",
    "manufacture_entity_criteria",
    "manufacture_persistent_object",
    "parse_etags",
    "purge",
    "require_match",
    "update_on_match",
    "update_returning_pk",
]
