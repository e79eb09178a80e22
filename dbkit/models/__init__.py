"""Base class and mixins of models, and the same for tables without a class."""

from __future__ import annotations

from dbkit.models import dying as _dying  # noqa: F401  it listens to mappers
from dbkit.models import inheritance as _inheritance  # noqa: F401  so does it
from dbkit.models.alive import UniqueAlive, create_unique_alive, drop_unique_alive, unique_among_living
from dbkit.models.base import Base, new_base
from dbkit.models.mapping import ModelBase, ModelIterator
from dbkit.models.marking import Flavour
from dbkit.models.naming import NAMING_CONVENTION, new_metadata, shortened
from dbkit.models.restore import restore, restore_where
from dbkit.models.scoped import ProjectMixin, scope_mixin
from dbkit.models.soft_delete import DeletedAtMixin, DeletedFlagMixin, SoftDeleteMixin, soft_deletable
from dbkit.models.timestamps import AwareTimestampMixin, TimestampMixin, timestamped
from dbkit.models.tracked import Tracked, TrackedDict, TrackedList, tracked
from dbkit.models.types import JsonEncodedDict, JsonEncodedList, JsonEncodedType, SoftDeleteInteger, UtcDateTime
from dbkit.models.versioned import VersionMixin, versioned

__all__ = [
    "NAMING_CONVENTION",
    "AwareTimestampMixin",
    "Base",
    "DeletedAtMixin",
    "DeletedFlagMixin",
    "Flavour",
    "JsonEncodedDict",
    "JsonEncodedList",
    "JsonEncodedType",
    "ModelBase",
    "ModelIterator",
    "ProjectMixin",
    "SoftDeleteInteger",
    "SoftDeleteMixin",
    "TimestampMixin",
    "Tracked",
    "TrackedDict",
    "TrackedList",
    "UniqueAlive",
    "UtcDateTime",
    "VersionMixin",
    "create_unique_alive",
    "drop_unique_alive",
    "new_base",
    "new_metadata",
    "restore",
    "restore_where",
    "scope_mixin",
    "shortened",
    "soft_deletable",
    "timestamped",
    "tracked",
    "unique_among_living",
    "versioned",
]
