"""Objects that can be read and written like a dict, as those of oslo.db."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session, object_mapper

from dbkit.exceptions import UsageError


class ModelIterator:
    """Iterates over pairs of a name and an object's value of it.

    .. versionadded:: 0.1
    """

    def __init__(self, model: Any, columns: Iterable[str]) -> None:
        self.model = model
        self.i = iter(columns)

    def __iter__(self) -> ModelIterator:
        return self

    def __next__(self) -> tuple[str, Any]:
        name = next(self.i)
        return name, getattr(self.model, name)


class ModelBase:
    """A base of mapped classes whose objects are read and written like a dict, with oslo.db's methods.

    The names are those of the mapped columns, and the :attr:`_extra_keys` that a class adds.

    .. versionadded:: 0.1
    """

    __table_initialized__ = False

    def save(self, session: Session) -> None:
        """Add the object to the session and flush it.

        In asyncio: ``await session.run_sync(server.save)``.
        """
        if not hasattr(session, "flush") or hasattr(session, "run_sync"):
            raise UsageError(
                f"{type(self).__name__}.save() takes a Session, and got an object of class {type(session).__name__}; "
                "in asyncio write: await session.run_sync(thing.save)"
            )
        session.add(self)
        session.flush()

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        # only a missing attribute means that there is none: whatever else fails is an error, and is told
        try:
            getattr(self, str(key))
        except AttributeError:
            return False
        return True

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default if there is no such attribute."""
        return getattr(self, key, default)

    @property
    def _extra_keys(self) -> list[str]:
        """More names, of properties and such, that belong to the object as it is read like a dict."""
        return []

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ModelIterator(self, [*object_mapper(self).columns.keys(), *self._extra_keys])

    def update(self, values: Mapping[str, Any]) -> None:
        """Set the attributes that the mapping names."""
        for name, value in values.items():
            setattr(self, name, value)

    def _as_dict(self) -> dict[str, Any]:
        """Return the values of the columns and extra keys, and of what else is loaded."""
        found = dict(iter(self))
        found.update({name: value for name, value in self.__dict__.items() if not name.startswith("_")})
        return found

    def items(self) -> Any:
        """Return pairs of a name and its value; what is loaded besides the columns is among them."""
        return self._as_dict().items()

    def iteritems(self) -> Any:
        """Return the same as :meth:`items`, under oslo.db's older name."""
        return self.items()

    def keys(self) -> list[str]:
        """Return the names of :meth:`items`."""
        return list(self._as_dict())
