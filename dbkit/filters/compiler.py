"""The compiler of a dialect that lets each FROM of a guarded table obey its rules.

It stands where all statements pass, the ORM's too, so that no form of a query and no way of loading goes round it; and
what it has compiled is kept in SQLAlchemy's cache, so that it costs nothing when a statement is sent.

SQLAlchemy has no public place for this: ``_compose_select_body`` and some ``visit_...`` methods of its compilers are
overridden. ``tests/contract/test_sqlalchemy_names.py`` holds them against the SQLAlchemy that is installed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import and_
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler

from dbkit.filters.changes import guarded_update, refuse_blind_update, removing
from dbkit.filters.conflicts import counting_up, counting_up_duplicate, guarded_upsert, refuse_replacing
from dbkit.filters.froms import Filtered, Guarding
from dbkit.filters.options import switched_off
from dbkit.filters.owning import OWNED, Owning, is_looked_at
from dbkit.filters.sending import checking
from dbkit.filters.texts import refuse_guarded, refuse_guarded_ddl

_OFF = "_dbkit_off"
_NONE: frozenset[str] = frozenset()


class Filtering(SQLCompiler):
    """What is added to the compiler of a dialect."""

    _off: frozenset[str] | None = None
    """The rules that do not count where the compiler stands now."""

    def _switched_off(self) -> frozenset[str]:
        off = self._off
        if off is None:  # an option of the statement counts for all of it
            off = self._off = getattr(self.dialect, _OFF, _NONE) | switched_off(self.statement)
        return off

    def _guarding(self) -> Guarding:
        return Guarding(self._switched_off(), self.preparer.schema_for_object)

    # -- reading -----------------------------------------------------------------------------------------------------

    def visit_select(self, select_stmt: Any, *args: Any, **kw: Any) -> Any:
        outside = self._switched_off()
        self._off = outside | switched_off(select_stmt)
        try:
            return super().visit_select(select_stmt, *args, **kw)  # type: ignore[no-untyped-call]
        finally:
            self._off = outside

    def _compose_select_body(
        self,
        text: Any,
        select: Any,
        compile_state: Any,
        inner_columns: Any,
        froms: Any,
        byfrom: Any,
        toplevel: Any,
        kwargs: Any,
    ) -> Any:
        froms, criteria = self._guarding().all_of(froms)
        if criteria:
            select = select.where(*criteria)
        return super()._compose_select_body(  # type: ignore[no-untyped-call]
            text, select, compile_state, inner_columns, froms, byfrom, toplevel, kwargs
        )

    def visit_dbkit_filtered(self, element: Filtered, from_linter: Any = None, **kw: Any) -> Any:
        """Write a table that shows no hidden rows under its own name."""
        if from_linter is not None:
            from_linter.froms[element.leaf] = str(element.leaf)
        return element.inner._compiler_dispatch(self, **kw)

    # -- text --------------------------------------------------------------------------------------------------------

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        refuse_guarded(textclause.text, self._switched_off())
        return super().visit_textclause(textclause, *args, **kw)  # type: ignore[no-untyped-call]

    def visit_textual_select(self, taf: Any, *args: Any, **kw: Any) -> Any:
        """Write text that stands where a SELECT does; in a FROM a bare name would be read as a table's."""
        refuse_guarded(f"FROM ({taf.element})", self._switched_off() | switched_off(taf))
        return super().visit_textual_select(taf, *args, **kw)  # type: ignore[no-untyped-call]

    def visit_tstring(self, tstring: Any, *args: Any, **kw: Any) -> Any:
        """Write a template string of SQLAlchemy 2.1; tables that are put into it are a part of the text."""
        text = super().visit_tstring(tstring, *args, **kw)  # type: ignore[no-untyped-call]
        refuse_guarded(text, self._switched_off())
        return text

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> Any:
        refuse_guarded(operator.opstring, self._switched_off())
        return super().visit_custom_op_binary(element, operator, **kw)  # type: ignore[no-untyped-call]

    def escape_literal_column(self, text: Any) -> Any:
        refuse_guarded(text, self._switched_off())
        return super().escape_literal_column(text)  # type: ignore[no-untyped-call]

    def get_statement_hint_text(self, hint_texts: Any) -> Any:
        text = super().get_statement_hint_text(hint_texts)  # type: ignore[no-untyped-call]
        refuse_guarded(text, self._switched_off())
        return text

    def get_from_hint_text(self, table: Any, text: Any) -> Any:
        if text:  # it stands in the FROM, where a comma is followed by another table
            refuse_guarded(f"FROM hinted {text}", self._switched_off())
        return super().get_from_hint_text(table, text)

    def get_crud_hint_text(self, table: Any, text: Any) -> Any:
        if text:
            refuse_guarded(f"FROM hinted {text}", self._switched_off())
        return super().get_crud_hint_text(table, text)  # type: ignore[no-untyped-call]

    def get_select_hint_text(self, byfroms: Any) -> Any:
        text = super().get_select_hint_text(byfroms)  # type: ignore[no-untyped-call]
        if text:
            refuse_guarded(text, self._switched_off())
        return text

    # -- writing -----------------------------------------------------------------------------------------------------

    def visit_update(self, update_stmt: Any, visiting_cte: Any = None, **kw: Any) -> Any:
        outside = self._switched_off()
        self._off = outside | switched_off(update_stmt)
        try:
            refuse_replacing(update_stmt, self._guarding())
            state = update_stmt._compile_state_factory(update_stmt, self, **kw)
            with self._owning() as owning:
                owning.updated(state.statement, state, self.column_keys)
            found = refuse_blind_update(state.statement, update_stmt, self.column_keys)
            found = guarded_update(found, state, self._guarding())
            if found is state.statement:
                found = update_stmt
            elif not self.stack:
                self._keep(state)
            return super().visit_update(found, visiting_cte, **kw)
        finally:
            self._off = outside

    def visit_delete(self, delete_stmt: Any, visiting_cte: Any = None, **kw: Any) -> Any:
        outside = self._switched_off()
        self._off = outside | switched_off(delete_stmt)
        toplevel = not self.stack
        try:
            state = delete_stmt._compile_state_factory(delete_stmt, self, **kw)
            update = removing(state.statement, self._off, self.dialect)
            if update is not None:
                if toplevel:
                    self._keep(state)
                self.column_keys = None  # parameters of a DELETE stand in its WHERE
                changing = update._compile_state_factory(update, self, **kw)
                text = super().visit_update(guarded_update(update, changing, self._guarding()), visiting_cte, **kw)
                if toplevel:  # who asks later asked for a DELETE
                    self.isupdate, self.isdelete = False, True
                return text
            found = guarded_update(state.statement, state, self._guarding())
            if found is state.statement:
                found = delete_stmt
            elif toplevel:
                self._keep(state)
            return super().visit_delete(found, visiting_cte, **kw)  # type: ignore[no-untyped-call]
        finally:
            self._off = outside

    def _keep(self, state: Any) -> None:
        """Let the ORM find what it has made of the statement; what is compiled in its place is plain Core."""
        if not self.dml_compile_state:
            self.dml_compile_state = state
        if not self.compile_state:
            self.compile_state = state

    def visit_insert(self, insert_stmt: Any, *args: Any, **kw: Any) -> Any:
        outside = self._switched_off()
        self._off = outside | switched_off(insert_stmt)
        try:
            refuse_replacing(insert_stmt, self._guarding())
            if is_looked_at(insert_stmt.table, self._off):
                state = insert_stmt._compile_state_factory(insert_stmt, self, **kw)
                in_cte = kw.get("visiting_cte") is not None
                with self._owning() as owning:
                    insert_stmt = owning.inserted(insert_stmt, state, self.column_keys, in_cte=in_cte)
            return super().visit_insert(insert_stmt, *args, **kw)  # type: ignore[no-untyped-call]
        finally:
            self._off = outside

    @contextmanager
    def _owning(self) -> Iterator[Owning]:
        """Keep what is noted of the tenants' rows where it is looked at when the statement is sent."""
        owning = Owning(self._switched_off())
        yield owning
        if owning.written:
            self.__dict__.setdefault(OWNED, []).extend(owning.written)

    def _upserted(self, values: Any, table: Any, excluded: str) -> dict[Any, Any]:
        with self._owning() as owning:
            return owning.upserted(dict(values), table, excluded)

    def _inserted_into(self) -> Any:
        statement: Any = self.stack[-1]["selectable"]
        return statement.table

    def visit_on_conflict_do_update(self, on_conflict: Any, **kw: Any) -> Any:
        """Write PostgreSQL's and SQLite's way of changing what is there already, unless it is hidden."""
        table = self._inserted_into()
        on_conflict = counting_up(on_conflict, table)
        criteria = self._guarding().criteria(table)
        if criteria:
            on_conflict = copy.copy(on_conflict)
            on_conflict.update_values_to_set = self._upserted(on_conflict.update_values_to_set, table, "excluded")
            where = on_conflict.update_whereclause
            on_conflict.update_whereclause = and_(*criteria) if where is None else and_(where, *criteria)
        return super().visit_on_conflict_do_update(on_conflict, **kw)  # type: ignore[misc]

    def visit_on_duplicate_key_update(self, on_duplicate: Any, **kw: Any) -> Any:
        """Write MySQL's way of changing what is there already, unless it is hidden."""
        table = self._inserted_into()
        on_duplicate = counting_up_duplicate(on_duplicate, table)
        criteria = self._guarding().criteria(table)
        if criteria:
            on_duplicate = copy.copy(on_duplicate)
            on_duplicate.update = self._upserted(on_duplicate.update, table, on_duplicate.inserted_alias.name)
            on_duplicate = guarded_upsert(on_duplicate, table, criteria)
        return super().visit_on_duplicate_key_update(on_duplicate, **kw)  # type: ignore[misc]


class FilteringDDL(DDLCompiler):
    """What is added to the compiler of a dialect's DDL: text that only passes as some is looked at like other text."""

    def visit_ddl(self, ddl: Any, **kw: Any) -> Any:
        text = super().visit_ddl(ddl, **kw)  # type: ignore[no-untyped-call]
        refuse_guarded_ddl(text, getattr(self.dialect, _OFF, _NONE))
        return text


@cache
def filtering(compiler: Any) -> Any:
    """Return a dialect's compiler with the rules added; one class for each class of compiler."""
    added: Any = FilteringDDL if issubclass(compiler, DDLCompiler) else Filtering
    return compiler if issubclass(compiler, added) else type(f"Filtering{compiler.__name__}", (added, compiler), {})


def install(dialect: Dialect) -> None:
    """Let the statements of a dialect obey the rules."""
    compiler: Any = dialect.statement_compiler
    dialect.statement_compiler = filtering(compiler)
    ddl_compiler: Any = dialect.ddl_compiler
    dialect.ddl_compiler = filtering(ddl_compiler)
    context: Any = dialect.execution_ctx_cls
    dialect.execution_ctx_cls = checking(context)
    initialize = dialect.initialize

    def complete(connection: Connection) -> None:
        initialize(connection)
        if dialect.delete_returning and not dialect.update_returning:
            # MariaDB: the ORM would ask for RETURNING of a DELETE that becomes an UPDATE
            dialect.delete_returning = False

    dialect.initialize = complete  # type: ignore[method-assign]


def switch_off(dialect: Any, names: frozenset[str]) -> None:
    """Let rules of these names not count for a dialect; it must be a copy that has no other users."""
    setattr(dialect, _OFF, names)


def off_in(dialect: Any) -> frozenset[str]:
    """Return the names of the rules that do not count for a dialect."""
    found: frozenset[str] = getattr(dialect, _OFF, _NONE)
    return found
