"""Who is measured, in the order of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bayer.variants import DEFAULT, FAST_SAVE, PLAIN, PREPARED, VARIANTS
from benchmarks.places import BACKENDS, Backend
from benchmarks.subjects.catalogue import Late
from benchmarks.subjects.subject import Subject, blocking

DBKIT = "dbkit"
ORM = "sqlalchemy orm"
CORE = "sqlalchemy core"
OSLO = "oslo.db"
DJANGO = "django"
PEEWEE = "peewee"
HAND = "by hand"
RAW = "raw driver"

#: The places where it is measured; the first three if none is named.
PLACES: tuple[Backend, ...] = tuple(
    next(each for each in BACKENDS if each.name == name)
    for name in ("sqlite-memory", "postgresql", "mariadb", "sqlite-file")
)
BY_DEFAULT: tuple[str, ...] = tuple(each.name for each in PLACES[:3])


@dataclass(frozen=True, slots=True)
class Contender:
    """A library in one of its forms.

    :param opened: the file and the function that open it.
    """

    library: str
    variant: str
    opened: tuple[str, str]
    modules: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        return f"{self.library}: {self.variant}" if self.variant else self.library

    def subject(self) -> Subject:
        """Return it as the measuring functions take it."""
        opened = Late(*self.opened, "benchmarks.bayer", variant=self.variant)
        return Subject(self.name, opened, blocking, self.modules)


def _contenders(
    library: str, variants: tuple[str, ...], file: str, function: str, *modules: str
) -> tuple[Contender, ...]:
    return tuple(Contender(library, variant, (file, function), modules) for variant in variants)


CONTENDERS: tuple[Contender, ...] = (
    *_contenders(DBKIT, VARIANTS, "dbkit_subjects", "open_database"),
    *_contenders(OSLO, VARIANTS, "oslo_subjects", "open_enginefacade", "oslo_db"),
    *_contenders(ORM, VARIANTS, "sqlalchemy_subjects", "open_orm"),
    *_contenders(CORE, (PLAIN, PREPARED), "sqlalchemy_subjects", "open_core"),
    *_contenders(DJANGO, (DEFAULT, PLAIN, FAST_SAVE), "django_subjects", "open_django", "django"),
    *_contenders(PEEWEE, (DEFAULT, PLAIN, FAST_SAVE), "peewee_subjects", "open_peewee", "peewee"),
    Contender(HAND, "", ("hand_subjects", "open_by_hand")),
    Contender(RAW, "", ("raw_subjects", "open_raw")),
)
