"""A database of sixty tables for one test: by the kit, and by SQLAlchemy alone."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Engine, create_engine

from benchmarks.kit.operations import DATABASE, PREPARE
from benchmarks.kit.provided import driver_of, template_on
from benchmarks.kit.tables import METADATA, delete_everything, write_rows
from benchmarks.places import Place
from benchmarks.subjects.subject import Opened
from dbkit.testing.provision import Clone


def open_clones(place: Place) -> Opened:
    """Open what makes a copy of the template, connects to it for the first time, and drops it."""
    template = template_on(place)
    template.ensure()

    def make_and_drop(number: int) -> None:
        with template.clone() as clone, clone.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    return Opened({DATABASE: make_and_drop}, lambda: None)


def open_emptied(place: Place) -> Opened:
    """Open what empties a worker's database after something was written."""
    clone, engine = _cloned(place)
    return Opened(
        {PREPARE: partial(_write, engine), DATABASE: lambda number: clone.empty()}, partial(_drop, clone, engine)
    )


def open_deletes(place: Place) -> Opened:
    """Open a ``DELETE`` from each table after something was written, as users of oslo.db's fixtures write it."""
    clone, engine = _cloned(place)
    return Opened(
        {PREPARE: partial(_write, engine), DATABASE: lambda number: delete_everything(engine)},
        partial(_drop, clone, engine),
    )


def open_drop_all_objects(place: Place) -> Opened:
    """Open dbkit's way to do what oslo.db does: everything is found and dropped, and made again."""
    clone, engine = _cloned(place)

    def drop_and_create(number: int) -> None:
        clone.drop_all_objects()
        METADATA.create_all(engine)

    return Opened({DATABASE: drop_and_create}, partial(_drop, clone, engine))


def open_metadata(place: Place) -> Opened:
    """Open ``drop_all()`` and ``create_all()`` of the metadata, which knows what there may be."""
    clone, engine = _cloned(place)

    def drop_and_create(number: int) -> None:
        METADATA.drop_all(engine)
        METADATA.create_all(engine)

    return Opened({DATABASE: drop_and_create}, partial(_drop, clone, engine))


def _cloned(place: Place) -> tuple[Clone, Engine]:
    clone = template_on(place).clone()
    engine = create_engine(clone.url(driver_of(place)))
    place.watch(engine)
    return clone, engine


def _write(engine: Engine, number: int) -> None:
    with engine.begin() as connection:
        write_rows(connection, number)


def _drop(clone: Clone, engine: Engine) -> None:
    engine.dispose()
    clone.drop()
