"""What a migration needs to know of tables and to change about them: columns, constraints, indexes, duplicates.

Each function takes an Engine, a Connection or a Session first; in asyncio:
``await connection.run_sync(function, ...)``.
"""

from __future__ import annotations

from dbkit.schema.deleted import (
    change_deleted_column,
    change_deleted_column_type_to_boolean,
    change_deleted_column_type_to_id_type,
)
from dbkit.schema.dispatch import (
    DialectFunctionDispatcher,
    DialectMultiFunctionDispatcher,
    DialectSingleFunctionDispatcher,
    dispatch_for_dialect,
)
from dbkit.schema.duplicates import (
    Deduplicated,
    DuplicateGroup,
    count_duplicates,
    delete_duplicates,
    drop_old_duplicate_entries_from_table,
    find_duplicates,
)
from dbkit.schema.facts import IndexFacts
from dbkit.schema.foreign_keys import foreign_keys_suspended, suspend_fk_constraints_for_col_alter
from dbkit.schema.indexes import (
    add_index,
    change_index_columns,
    create_index,
    describe_indexes,
    drop_index,
    ensure_index,
    get_indexes,
    index_exists,
    index_exists_on_columns,
)
from dbkit.schema.inspection import (
    column_exists,
    constraint_exists,
    get_foreign_key_constraint_name,
    get_non_innodb_tables,
    get_table,
    get_unique_constraint_name,
    storage_engines,
    table_exists,
)
from dbkit.schema.marks import SoftDelete
from dbkit.schema.per_dialect import PerDialect, per_dialect
from dbkit.schema.urls import get_db_connection_info, make_url, sanitize_db_url

__all__ = [
    "Deduplicated",
    "DialectFunctionDispatcher",
    "DialectMultiFunctionDispatcher",
    "DialectSingleFunctionDispatcher",
    "DuplicateGroup",
    "IndexFacts",
    "PerDialect",
    "SoftDelete",
    "add_index",
    "change_deleted_column",
    "change_deleted_column_type_to_boolean",
    "change_deleted_column_type_to_id_type",
    "change_index_columns",
    "column_exists",
    "constraint_exists",
    "count_duplicates",
    "create_index",
    "delete_duplicates",
    "describe_indexes",
    "dispatch_for_dialect",
    "drop_index",
    "drop_old_duplicate_entries_from_table",
    "ensure_index",
    "find_duplicates",
    "foreign_keys_suspended",
    "get_db_connection_info",
    "get_foreign_key_constraint_name",
    "get_indexes",
    "get_non_innodb_tables",
    "get_table",
    "get_unique_constraint_name",
    "index_exists",
    "index_exists_on_columns",
    "make_url",
    "per_dialect",
    "sanitize_db_url",
    "storage_engines",
    "suspend_fk_constraints_for_col_alter",
    "table_exists",
]
