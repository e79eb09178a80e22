"""Carrying cases out, one after the other, each in a savepoint that is rolled back."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from dbkit import filters
from dbkit.tests.leaks import further, writing
from dbkit.tests.leaks.reading import Case


def scope_of(models: SimpleNamespace) -> AbstractContextManager[None]:
    """Say on whose behalf the code works, where a rule asks for it."""
    return filters.scope(**{models.rule: "mine"}) if models.flavour == "tenant" else nullcontext()


def look(session: Any, models: SimpleNamespace, cases: Iterable[Case], product: str) -> dict[str, str]:
    """Return each case that shows another thing than it must, with what it shows."""
    leaks = {}
    for case in cases:
        if product in case.without:
            continue
        session.expunge_all()
        part = session.begin_nested()
        try:
            found = case.run(session, models)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        finally:
            if session.get_nested_transaction() is part:
                part.rollback()
        if found != case.expected:
            leaks[f"{models.flavour}: {case.name}"] = f"{found!r} in place of {case.expected!r}"
    return leaks


def look_at_writing(session: Any, models: SimpleNamespace, product: str, *options: Any) -> dict[str, str]:
    """Return each case of writing that reaches another number of rows than it must, or changes a hidden one.

    :param options: with which a statement sees hidden rows.
    """
    before = writing.hidden_rows(session, models, *options)
    leaks: dict[str, str] = {}
    for case in (*writing.CASES, *further.WRITING):

        def watched(s: Any, m: Any, case: Case = case) -> Any:
            result = case.run(s, m)
            if s.is_active and writing.hidden_rows(s, m, *options)[: len(before)] != before:
                return "hidden rows were changed"
            return result

        leaks |= look(session, models, [replace(case, run=watched)], product)
    return leaks
