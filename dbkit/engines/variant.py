"""A connection that may see what rules hide: it works with a variant of its engine's dialect.

What a dialect has compiled is kept apart from what another one has, so that no block is served with the statement of
another that sees more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql.dml import Delete

from dbkit.exceptions import FilterError
from dbkit.filters.compiler import switch_off
from dbkit.filters.marks import has_guarded
from dbkit.filters.texts import refuse_guarded
from dbkit.filters.visibility import changed_by

CHANGING = frozenset({"Delete", "Update", "AnnotatedDelete", "AnnotatedUpdate"})
"""The names of the classes of statements that may hide rows; the ORM's are annotated."""
KEPT = "_dbkit_kept"
"""Where a dialect has what was made for it alone; a copy of the dialect begins without it."""

_VARIANTS = "_dbkit_variants"


class RuledConnection(Connection):
    """A connection whose statements obey the rules of the tables.

    :ivar off: the names of the rules that do not count now.
    :ivar on_hidden: is told a table when a statement may have changed which of its rows are hidden; None: nobody asks.
    """

    off: frozenset[str] = frozenset()
    on_hidden: Callable[[Table, bool], None] | None = None

    def look_past(self, names: frozenset[str]) -> Callable[[], None]:
        """Let more rules not count, until the returned function is called."""
        before = self.off

        def back() -> None:
            self.off = before
            self.obey()

        self.off = before | names
        self.obey()
        return back

    def obey(self) -> None:
        """Take the dialect on which the rules count that count now; before a connection is open, it is not complete."""
        if self._dbapi_connection is not None:
            dialect = self._own_dialect()
            self.dialect = variant_of(dialect, self.off) if self.off else dialect

    def _own_dialect(self) -> Dialect:
        return self.engine.dialect

    def refuse_text(self, statement: str) -> None:
        """Refuse SQL text that names a table whose rules cannot be put into it."""
        if has_guarded():
            refuse_guarded(statement, self.off)

    def _execute_compiled(self, compiled: Any, *args: Any, **kw: Any) -> Any:
        """Refused where tables have rules, which SQLAlchemy 2.0 would let be passed by: it may be compiled anywhere."""
        if has_guarded():
            raise FilterError(
                "a compiled statement was given in place of a statement, and dbkit cannot put the rules of tables into "
                "what is compiled; execute the statement itself, of which SQLAlchemy keeps what it has compiled"
            )
        return super()._execute_compiled(compiled, *args, **kw)  # type: ignore[misc]

    def tell_hidden(self, statement: Any, parameters: Any, options: Any) -> None:
        """Tell who asks that a statement may have hidden rows, or shown them again."""
        table = changed_by(statement, parameters, options, self.off)
        if table is not None and self.on_hidden is not None:
            self.on_hidden(table, isinstance(statement, Delete))


def variant_of(dialect: Dialect, names: frozenset[str]) -> Dialect:
    """Return a copy of a dialect for which rules do not count; one for each set of names."""
    variants: dict[frozenset[str], Any] = dialect.__dict__.setdefault(_VARIANTS, {})
    variant = variants.get(names)
    if variant is None:
        cls: Any = type(dialect)
        if not hasattr(dialect, "_dbkit_whole"):
            cached = {"supports_statement_cache": cls.supports_statement_cache}
            cls = type(f"Varied{cls.__name__}", (_Varied, cls), cached)
        variant = object.__new__(cls)
        # a test may stand in the methods just now: the variant has its own, and what it copied would outlive the test
        own = {name: value for name, value in dialect.__dict__.items() if not name.startswith("do_")}
        for name in (_VARIANTS, KEPT):
            own.pop(name, None)
        variant.__dict__.update({"_dbkit_whole": dialect, **own})
        switch_off(variant, names)
        variants[names] = variant
    found: Dialect = variant
    return found


class _Varied:
    """Hands what is sent to the engine's own dialect, in whose methods a test may stand, or the way to begin."""

    _dbkit_whole: Any

    def do_begin(self, connection: Any) -> None:
        self._dbkit_whole.do_begin(connection)

    def do_commit(self, connection: Any) -> None:
        self._dbkit_whole.do_commit(connection)

    def do_rollback(self, connection: Any) -> None:
        self._dbkit_whole.do_rollback(connection)

    def do_execute(self, *args: Any, **kw: Any) -> None:
        self._dbkit_whole.do_execute(*args, **kw)

    def do_executemany(self, *args: Any, **kw: Any) -> None:
        self._dbkit_whole.do_executemany(*args, **kw)

    def do_execute_no_params(self, *args: Any, **kw: Any) -> None:
        self._dbkit_whole.do_execute_no_params(*args, **kw)
