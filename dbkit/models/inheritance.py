"""Joined inheritance: a row stands in several tables, and the rules of one count for all its parts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper

from dbkit.filters.classes import follow_inheritance


@event.listens_for(Mapper, "after_mapper_constructed")
def _note_parent(mapper: Mapper[Any], class_: type) -> None:
    follow_inheritance(mapper)
