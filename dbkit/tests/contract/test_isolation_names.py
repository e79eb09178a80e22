"""What the isolation of tests takes for granted of SQLAlchemy's dialects and pools."""

from __future__ import annotations

import inspect
import unittest

from sqlalchemy import create_engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool, StaticPool

# Methods that a sandbox replaces on the dialect object of its engines, with their parameters after self.
REPLACED = {
    "do_begin": 1, "do_commit": 1, "do_rollback": 1, "do_begin_twophase": 2, "do_prepare_twophase": 2,
    "set_isolation_level": 2, "reset_isolation_level": 1,
}  # fmt: skip


class TestDialects(unittest.TestCase):
    def test_the_methods_are_there_with_their_parameters(self) -> None:
        for name, parameters in REPLACED.items():
            with self.subTest(name=name):
                self.assertEqual(parameters + 1, len(inspect.signature(getattr(DefaultDialect, name)).parameters))

    def test_what_is_put_on_the_object_is_called(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        with engine.connect():
            pass
        called = []
        for name in ("do_begin", "do_commit", "do_rollback", "set_isolation_level", "reset_isolation_level"):
            setattr(engine.dialect, name, lambda *args, name=name: called.append(name))
        with engine.connect() as connection:
            connection.execution_options(isolation_level="READ UNCOMMITTED")
            with connection.begin():
                pass
        with engine.connect() as connection:
            connection.begin().rollback()
        for name in ("do_begin", "do_commit", "do_rollback", "set_isolation_level", "reset_isolation_level"):
            self.assertIn(name, called)
        self.assertIn("set_isolation_level", called)

    def test_an_error_in_a_listener_stops_the_statement(self) -> None:
        engine = create_engine("sqlite://")

        @event.listens_for(engine, "before_cursor_execute")
        def refuse(*args: object) -> None:
            raise ZeroDivisionError

        with engine.connect() as connection, self.assertRaises(ZeroDivisionError):
            connection.exec_driver_sql("SELECT 1")


class TestPools(unittest.TestCase):
    def test_a_pool_may_return_itself_as_its_successor(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        engine.pool.recreate = lambda: engine.pool  # type: ignore[method-assign]
        before = engine.pool
        engine.dispose()
        self.assertIs(before, engine.pool)

    def test_the_hooks_of_a_pool_are_there(self) -> None:
        self.assertEqual(["self"], list(inspect.signature(Pool._do_get).parameters))
        self.assertEqual(["self", "record"], list(inspect.signature(Pool._do_return_conn).parameters))


if __name__ == "__main__":
    unittest.main()
