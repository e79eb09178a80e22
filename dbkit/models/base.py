"""Base classes of declarative mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass

from dbkit.exceptions import InvalidModel
from dbkit.models.mapping import ModelBase
from dbkit.models.naming import new_metadata


class Base(ModelBase, DeclarativeBase):
    """A declarative base that is ready for use: constraints have names, objects are read like a dict.

    Its MetaData is one for the process. A library declares its own base: :func:`new_base`, or a class such as this one.

    .. versionadded:: 0.1
    """

    metadata = new_metadata()


def new_base(
    name: str = "Base",
    *,
    metadata: MetaData | None = None,
    schema: str | None = None,
    type_annotation_map: Mapping[Any, Any] | None = None,
    bases: tuple[type, ...] = (ModelBase,),
    dataclasses: bool = False,
) -> Any:
    """Return a declarative base with a MetaData of its own.

    :param metadata: to be used in place of a new one.
    :param schema: where its tables are, unless they say otherwise.
    :param type_annotation_map: which column type stands for which Python type.
    :param bases: what mapped classes also inherit.
    :param dataclasses: mapped classes are dataclasses.
    :raises InvalidModel: a metadata and a schema are given, which has its own.

    .. versionadded:: 0.1
    """
    if metadata is not None and schema is not None:
        raise InvalidModel("new_base() takes metadata= or schema=, not both: give the schema to the MetaData")
    names: dict[str, Any] = {"metadata": new_metadata(schema) if metadata is None else metadata, "__module__": __name__}
    if type_annotation_map is not None:
        names["type_annotation_map"] = dict(type_annotation_map)
    above = (*bases, MappedAsDataclass, DeclarativeBase) if dataclasses else (*bases, DeclarativeBase)
    return type(name, above, names)
