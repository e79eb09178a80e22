"""Files that are built once and kept."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import testtools

from dbkit.backends.kept_files import building, prune, touch


class KeptFilesTestCase(testtools.TestCase):
    def setUp(self):
        super().setUp()
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = Path(made.name)

    def build(self, name, age=0):
        path = self.folder / name
        with building(path):
            path.touch()
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
        return path

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_those_used_last_are_kept(self):
        old, older, _oldest = (self.build(f"p_{age}.db", age) for age in (1, 2, 3))
        touch(older)
        prune(self.folder, "p_*.db", 2)
        self.assertEqual(["p_1.db", "p_1.lock", "p_2.db", "p_2.lock"], self.names())
        self.assertTrue(old.exists())

    def test_other_projects_are_left_alone(self):
        self.build("q_1.db")
        prune(self.folder, "p_*.db", 0)
        self.assertEqual(["q_1.db", "q_1.lock"], self.names())

    def test_what_a_dead_builder_has_left_goes(self):
        (self.folder / "p_1.lock").touch()
        (self.folder / "p_1.draft").touch()
        prune(self.folder, "p_*.db", 5)
        self.assertEqual([], self.names())

    def test_what_is_being_built_is_left_alone(self):
        with building(self.folder / "p_1.db"):
            (self.folder / "p_1.draft").touch()
            prune(self.folder, "p_*.db", 0)
            self.assertEqual(["p_1.draft", "p_1.lock"], self.names())

    def test_one_thread_builds_at_a_time(self):
        path = self.folder / "p_1.db"
        seen = []

        def build():
            with building(path):
                seen.append("in")
                seen.append("out")

        with building(path):
            threads = [threading.Thread(target=build) for _ in range(3)]
            for thread in threads:
                thread.start()
            prune(self.folder, "q_*.db", 0)
            seen.append("first")
        for thread in threads:
            thread.join()
        self.assertEqual(["first", *["in", "out"] * 3], seen)

    def test_a_lock_that_was_pruned_while_it_was_awaited_is_no_lock(self):
        path = self.folder / "p_1.db"
        entered = threading.Event()

        def build():
            with building(path):
                entered.set()

        with building(path):
            thread = threading.Thread(target=build)
            thread.start()
            path.with_suffix(".lock").unlink()
            other = path.with_suffix(".lock")
        thread.join()
        self.assertTrue(entered.is_set())
        self.assertTrue(other.exists())
