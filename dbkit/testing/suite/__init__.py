"""What a backend must pass: the tests by which dbkit's own backends and those of others prove themselves.

.. code-block:: python

    from dbkit.testing.suite import BackendUnderTest, Capability as Can, add_tests
    from dbkit_acme import BACKEND

    ACME = BackendUnderTest(
        BACKEND,
        "acme://root@127.0.0.1/test",
        can={Can.ENTRY_POINT, Can.BLOCKING, Can.SAVEPOINTS, Can.READ_ONLY_READERS},
    )
    add_tests(ACME, to=__name__)

Each driver is tested in each colour that it serves, by the same bodies. What is not declared is skipped and says so;
what is declared and does not hold is a failure.
"""

from __future__ import annotations

from dbkit.testing.suite.capabilities import Capability
from dbkit.testing.suite.loading import add_tests, classes_for
from dbkit.testing.suite.subject import BackendUnderTest, Phrases

__all__ = ["BackendUnderTest", "Capability", "Phrases", "add_tests", "classes_for"]
