"""Lists and dicts of a column that tell their object when they change, however deep inside."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, SupportsIndex

from sqlalchemy.ext.mutable import Mutable
from sqlalchemy.types import TypeEngine

from dbkit.exceptions import DBDataError


def tracked(type_: Any) -> TypeEngine[Any]:
    """Return a type of dicts and lists whose changes in place are noticed and stored with the next flush.

    Each list and dict inside, however deep, tells its object of its changes. A value that is put into two places is
    two values.

    :param type_: such as ``JsonEncodedDict()`` or ``sqlalchemy.JSON()``.

    .. versionadded:: 0.1
    """
    made: TypeEngine[Any] = Tracked.as_mutable(type_)
    return made


class Tracked(Mutable):
    """What tracked lists and dicts have in common.

    .. versionadded:: 0.1
    """

    _owner: weakref.ref[Tracked] | None = None

    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:
        """Return the value as one that tells of its changes.

        :raises DBDataError: it is an object whose changes nobody would notice.
        """
        if isinstance(value, Tracked) and value._owner is None:
            return value
        if isinstance(value, dict):
            return TrackedDict(value)
        if isinstance(value, list):
            return TrackedList(value)
        if value is None or isinstance(value, str | int | float | bool | tuple):
            return value
        raise DBDataError(
            message=f"the attribute {key} holds what JSON can hold, and notices changes of lists and dicts; it was "
            f"given an object of class {type(value).__name__}"
        )

    def changed(self) -> None:
        """Tell the object, or the list or dict in which this one stands."""
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            owner.changed()
        super().changed()

    def _own(self, value: Any) -> Any:
        """Return a value as a part of this one."""
        made: Any = value
        if isinstance(value, dict):
            made = TrackedDict(value)
        elif isinstance(value, list):
            made = TrackedList(value)
        if made is not value:
            made._owner = weakref.ref(self)
        return made


def plain(value: Any) -> Any:
    """Return ordinary dicts and lists for tracked ones."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


class TrackedDict(Tracked, dict[Any, Any]):
    """A dict that tells of its changes.

    .. versionadded:: 0.1
    """

    def __init__(self, *values: Any, **more: Any) -> None:
        super().__init__()
        for key, value in dict(*values, **more).items():
            super().__setitem__(key, self._own(value))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, self._own(value))
        self.changed()

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.changed()

    def __ior__(self, other: Any) -> TrackedDict:  # type: ignore[misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value of a key, which is the default from now on if there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *values: Any, **more: Any) -> None:
        """Set the values of many keys."""
        for key, value in dict(*values, **more).items():
            super().__setitem__(key, self._own(value))
        self.changed()

    def pop(self, *arguments: Any) -> Any:
        """Take out the value of a key."""
        found = super().pop(*arguments)
        self.changed()
        return found

    def popitem(self) -> tuple[Any, Any]:
        """Take out the key that came last, with its value."""
        found = super().popitem()
        self.changed()
        return found

    def clear(self) -> None:
        """Take out everything."""
        super().clear()
        self.changed()

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return TrackedDict, (plain(self),)


class TrackedList(Tracked, list[Any]):
    """A list that tells of its changes.

    .. versionadded:: 0.1
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        super().extend(self._own(each) for each in values)

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(
            index, [self._own(each) for each in value] if isinstance(index, slice) else self._own(value)
        )
        self.changed()

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        self.changed()

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> TrackedList:
        self[:] = plain(self) * times
        return self

    def append(self, value: Any) -> None:
        """Add a value."""
        super().append(self._own(value))
        self.changed()

    def extend(self, values: Iterable[Any]) -> None:
        """Add many values."""
        super().extend([self._own(each) for each in values])
        self.changed()

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Add a value before another one."""
        super().insert(index, self._own(value))
        self.changed()

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Take out a value."""
        found = super().pop(index)
        self.changed()
        return found

    def remove(self, value: Any) -> None:
        """Take out the first value that is equal."""
        super().remove(value)
        self.changed()

    def clear(self) -> None:
        """Take out everything."""
        super().clear()
        self.changed()

    def sort(self, **arguments: Any) -> None:
        """Put the values in order."""
        super().sort(**arguments)
        self.changed()

    def reverse(self) -> None:
        """Turn the order round."""
        super().reverse()
        self.changed()

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return TrackedList, (plain(self),)
