"""Reading and writing rows: each function takes where it is to happen, an open block, as its first argument."""

from __future__ import annotations

from dbkit.queries.bulk.batches import Written
from dbkit.queries.bulk.many import (
    adelete_many,
    ainsert_many,
    aupdate_many,
    aupsert,
    delete_many,
    insert_many,
    update_many,
    upsert,
)
from dbkit.queries.bulk.purges import Purge, Purged, apurge, purge
from dbkit.queries.bulk.streaming import astream, stream
from dbkit.queries.fast.lookup import Lookup, find
from dbkit.queries.fast.rows import Row, Rows, arelated, related, rows
from dbkit.queries.fast.save import asave, save
from dbkit.queries.locking.combiner import Combiner
from dbkit.queries.locking.compare_and_swap import (
    acompare_and_swap,
    acompare_and_swap_all,
    compare_and_swap,
    compare_and_swap_all,
)
from dbkit.queries.locking.counter import aincrement, increment
from dbkit.queries.locking.etag import (
    EntityTag,
    EntityTags,
    etag,
    etag_of,
    if_match,
    is_fresh,
    parse_etags,
    require_match,
)
from dbkit.queries.locking.seen import ANY_VERSION, AnyVersion, OneOf, Swap
from dbkit.queries.locking.swapping import Swapped
from dbkit.queries.locking.update_match import (
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
from dbkit.queries.model_query import model_query
from dbkit.queries.pagination import Page, Pages, get_unique_keys, paginate_query, to_list

__all__ = [
    "save",
    "rows",
    "related",
    "find",
    "asave",
    "arelated",
    "Rows",
    "Row",
    "Lookup",
    "ANY_VERSION",
    "AnyVersion",
    "CantUpdateException",
    "Combiner",
    "EntityTag",
    "EntityTags",
    "MultiRowsMatched",
    "NoRowsMatched",
    "OneOf",
    "Page",
    "Pages",
    "Purge",
    "Purged",
    "Swap",
    "Swapped",
    "Written",
    "acompare_and_swap",
    "acompare_and_swap_all",
    "adelete_many",
    "aincrement",
    "ainsert_many",
    "apurge",
    "astream",
    "aupdate_many",
    "aupdate_on_match",
    "aupdate_returning_pk",
    "aupsert",
    "compare_and_swap",
    "compare_and_swap_all",
    "delete_many",
    "etag",
    "etag_of",
    "get_unique_keys",
    "if_match",
    "increment",
    "insert_many",
    "is_fresh",
    "manufacture_criteria",
    "manufacture_entity_criteria",
    "manufacture_persistent_object",
    "model_query",
    "paginate_query",
    "parse_etags",
    "purge",
    "require_match",
    "to_list",
    "stream",
    "update_many",
    "update_on_match",
    "update_returning_pk",
    "upsert",
]
