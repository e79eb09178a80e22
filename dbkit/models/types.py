"""Column types: JSON in a text, moments in UTC, and the key of a deleted row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Integer, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

from dbkit.exceptions import DBDataError, InvalidModel

_MYSQL = ("mysql", "mariadb")


class JsonEncodedType(TypeDecorator[Any]):
    """A value that JSON can hold, stored as text, on every backend alike.

    None is stored as JSON's ``null``. A change inside a stored list or dict is not noticed;
    :func:`.tracked` makes a type that does.

    :param mysql_as_long: LONGTEXT, for 4 GB, on MySQL and MariaDB.
    :param mysql_as_medium: MEDIUMTEXT, for 16 MB.
    :raises InvalidModel: both are asked for.

    .. versionadded:: 0.1
    """

    type: type | None = None
    """What a value must be; None: anything."""
    impl: Any = Text
    cache_ok = True

    def __init__(self, mysql_as_long: bool = False, mysql_as_medium: bool = False) -> None:
        super().__init__()
        if mysql_as_long and mysql_as_medium:
            raise InvalidModel("mysql_as_long and mysql_as_medium exclude each other: choose one of them")
        self.mysql_as_long = mysql_as_long
        self.mysql_as_medium = mysql_as_medium
        if mysql_as_long or mysql_as_medium:
            self.impl = Text().with_variant(mysql.LONGTEXT() if mysql_as_long else mysql.MEDIUMTEXT(), *_MYSQL)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Return the value as text.

        :raises DBDataError: it is of another kind than the type says, or JSON cannot hold it.
        """
        kind = self.type
        if kind is not None:
            if value is None:
                value = kind()  # as oslo.db does: who reads it may rely on its kind
            elif not isinstance(value, kind):
                raise DBDataError(
                    message=f"{type(self).__name__} stores a {kind.__name__} or None, and was given an object of class "
                    f"{value.__class__.__name__}; correct the value"
                )
        try:
            return json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise DBDataError(
                message=f"{type(self).__name__} was given a {value.__class__.__name__} that JSON cannot hold; store "
                "texts, numbers, booleans, None, lists and dicts of them"
            ) from error

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return what the text holds; None for NULL.

        :raises DBDataError: it is no JSON.
        """
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError:
            # the driver's own error would quote the text
            raise DBDataError(
                message=f"a column of type {type(self).__name__} holds a text that is no JSON; correct the row"
            ) from None


class JsonEncodedDict(JsonEncodedType):
    """A dict, stored as JSON text; None is stored as an empty one.

    .. versionadded:: 0.1
    """

    type = dict
    cache_ok = True


class JsonEncodedList(JsonEncodedType):
    """A list, stored as JSON text; None is stored as an empty one.

    .. versionadded:: 0.1
    """

    type = list
    cache_ok = True


class SoftDeleteInteger(TypeDecorator[int]):
    """The column ``deleted`` of oslo.db: 0, or the key of a deleted row; a bool becomes a number.

    .. versionadded:: 0.1
    """

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        """Return the value as a number; None stays None."""
        return None if value is None else int(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: stored in UTC, to the microsecond, and read with its zone on every backend.

    .. versionadded:: 0.1
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return the backend's type."""
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC.

        :raises DBDataError: it has no zone, so that it may be any moment of a day.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise DBDataError(
                message="UtcDateTime stores a moment, and was given a datetime without a zone; give it one, such as "
                "datetime.now(timezone.utc)"
            )
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment with its zone, UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
