"""The parts of the application under test: how its tables are built, and what it reaches its databases with."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import MetaData

from dbkit import enginefacade
from dbkit.testing.provision import Schema
from dbkit.testing.pytest_plugin.choices import unknown
from dbkit.transaction.manager import Databased


def attribute(path: str, where: str) -> Any:
    """Return what ``module:attribute`` names.

    :param where: the setting that says so.
    :raises pytest.UsageError: it names nothing.
    """
    module_name, _, names = path.partition(":")
    if not names:
        raise pytest.UsageError(f"{where} = {path}: write module:attribute, such as app.models:metadata")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{module_name}.".startswith(f"{missing.name}."):
            raise
        raise pytest.UsageError(
            f"{where} = {path}: there is no module {missing.name!r} on the import path; pytest's own setting "
            "pythonpath can add the folder that it is in"
        ) from None
    for name in names.split("."):
        if not hasattr(found, name):
            known = [each for each in vars(found) if not each.startswith("_")]
            raise pytest.UsageError(f"{where} = {path}: {unknown(f'{name!r} in it', name, known)}")
        found = getattr(found, name)
    return found


def schema_named(path: str) -> object:
    """Return the schema or metadata that the setting names.

    :raises pytest.UsageError: it names nothing, or nobody has set it.
    """
    if not path:
        raise pytest.UsageError(
            "dbkit does not know which tables the tests need; name them in pytest's configuration, "
            "dbkit_schema = app.models:metadata, or override the fixture dbkit_schema, which returns a "
            "dbkit.testing.provision.Schema or a SQLAlchemy MetaData"
        )
    return attribute(path, "dbkit_schema")


def schema_from(given: object) -> Schema:
    """Return the schema that ``dbkit_schema`` means: a Schema, a MetaData, several, or a class with ``metadata``.

    :raises pytest.UsageError: it is none of these.
    """
    metadata = getattr(given, "metadata", given)
    if isinstance(given, Schema):
        return given
    if isinstance(metadata, MetaData):
        return Schema(metadata=metadata)
    if isinstance(given, (list, tuple)) and given and all(isinstance(each, MetaData) for each in given):
        return Schema(metadata=given)
    raise pytest.UsageError(
        f"dbkit_schema is a {type(given).__name__}; it must be a dbkit.testing.provision.Schema, a MetaData, a list of "
        "them, or a declarative base"
    )


def managers_from(given: Iterable[object]) -> list[Databased]:
    """Return what the application reaches its databases with; the common one of enginefacade always belongs to it.

    :raises pytest.UsageError: one of them is something else.
    """
    managers: list[Databased] = []
    for each in (given,) if isinstance(given, Databased) else given:
        if not isinstance(each, Databased):
            raise pytest.UsageError(
                f"dbkit_managers has a {type(each).__name__}; it must have dbkit.Database objects, or managers of "
                "enginefacade, such as what enginefacade.transaction_context() returns"
            )
        managers.append(each)
    return managers if _common_is_in(managers) else [*managers, enginefacade.writer]


def _common_is_in(managers: Iterable[Databased]) -> bool:
    return any(each.factory is enginefacade.writer.factory for each in managers)
