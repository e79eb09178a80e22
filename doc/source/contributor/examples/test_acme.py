import os

from dbkit_acme import BACKEND

from dbkit.exceptions import DBDuplicateEntry
from dbkit.testing.suite import BackendUnderTest, add_tests
from dbkit.testing.suite import Capability as Can

ACME = BackendUnderTest(
    BACKEND,
    os.environ["ACME_TEST_URL"],
    can={Can.ENTRY_POINT, Can.BLOCKING, Can.ASYNCIO, Can.SAVEPOINTS, Can.READ_ONLY_READERS},
    fills={DBDuplicateEntry: {"columns"}},
)
add_tests(ACME, to=__name__)
