"""The first example of the page on faults does what the page says."""

from __future__ import annotations

import contextlib
import io
import textwrap
from pathlib import Path

import testtools

from dbkit.testing import servers

PAGE = Path(__file__).resolve().parents[3] / "doc" / "source" / "user" / "test-faults.rst"


class TestPage(testtools.TestCase):
    def test_the_first_example_works_when_it_is_pasted(self):
        if not PAGE.exists():
            self.skipTest("the documentation is not part of an installed dbkit")
        servers.require_or_skip("postgresql")
        block = PAGE.read_text().split(".. code-block:: python\n")[1]
        code = textwrap.dedent(block.partition("\nThe server executed")[0])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(code, str(PAGE), "exec"), {})
        first, last = said.getvalue().strip().splitlines()
        self.assertIn("COMMIT", first)
        self.assertEqual("1", last)
