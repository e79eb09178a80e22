"""The pytest plugin in coroutine tests, run by pytest-asyncio and by anyio."""

from __future__ import annotations

from dbkit.tests.contract.pytest_cases import PytestCase
from dbkit.tests.contract.test_pytest_plugin import kinds

# What must hold whoever runs the test: {fixture} decorates asynchronous fixtures, {mark} tests.
TESTS = """
import asyncio
import pytest_asyncio
from dbkit.exceptions import TransactionOwnedElsewhere
from dbkit.testing.isolation import IsolationError

@pytest.fixture
def anyio_backend():
    return "asyncio"

@{fixture}
async def ann(adb):
    await acreate("ann")
    yield "ann"
    assert "ann" in await aowners()

@{fixture}
async def early(async_session):
    yield async_session
    assert len((await async_session.scalars(select(Account))).all()) == 1

{mark}
async def test_first(adb, ann):
    await acreate("bob")
    assert await aowners() == [ann, "bob"]

{mark}
@pytest.mark.dbkit
async def test_second(ann):
    assert await aowners() == [ann]

{mark}
async def test_session(early):
    early.add(Account(owner="cid"))
    await early.commit()
    assert await aowners() == ["cid"]

{mark}
async def test_blocks(adb):
    async with adb.writer() as session:
        session.add(Account(owner="dan"))
    assert await aowners() == ["dan"]

{mark}
async def test_tasks_are_refused(adb):
    await acreate("eve")
    with pytest.raises(TransactionOwnedElsewhere):
        await asyncio.create_task(aowners())

{mark}
async def test_blocking_code_is_refused(adb, db):
    assert adb is db
    with pytest.raises(IsolationError):
        owners()

{mark}
@pytest.mark.dbkit(isolation="clone")
async def test_clone(adb):
    await asyncio.gather(acreate("fay"), acreate("gus"))
    assert sorted(await aowners()) == ["fay", "gus"]
    assert len(owners()) == 2

{mark}
@pytest.mark.dbkit(isolation="truncate")
@pytest.mark.parametrize("number", [1, 2])
async def test_truncate(adb, number):
    await acreate("hal")
    assert await aowners() == ["hal"]

{mark}
async def test_broken(async_session):
    await acreate("ida")
    connection = await async_session.connection()
    await (await connection.get_raw_connection()).driver_connection.rollback()

{mark}
async def test_after_broken(adb):
    assert await aowners() == []

{mark}
async def test_wrong_colour(session):
    pass
"""
PASSED = 10


class TestRunners(PytestCase):
    needs = ("pytest_asyncio", "anyio", "aiosqlite")

    def check(self, run, backends=("sqlite",)):
        count = len(backends)
        self.assertEqual({"passed": PASSED * count + count, "error": 2 * count}, run.counts, run.output)
        for kind in backends:
            self.assertIn("Give the test isolation 'clone'", run.text_of(f"test_broken[{kind}]"))
            self.assertNotIn(".py:", run.text_of(f"test_broken[{kind}]"))
            self.assertIn("ask for async_session", run.text_of(f"test_wrong_colour[{kind}]"))

    def test_pytest_asyncio_with_a_loop_for_each_test(self):
        test = TESTS.format(fixture="pytest_asyncio.fixture", mark="@pytest.mark.asyncio")
        self.check(self.pytest("--asyncio-mode=strict", test=test))

    def test_pytest_asyncio_with_one_loop(self):
        test = TESTS.format(fixture="pytest_asyncio.fixture(loop_scope='session')", mark="")
        found = [kind for kind in kinds() if kind != "mysql"]
        options = ("--asyncio-mode=auto", f"--dbkit-backends={','.join(found)}")
        self.check(self.pytest(*options, "-oasyncio_default_test_loop_scope=session", test=test), found)

    def test_anyio(self):
        test = TESTS.format(fixture="pytest.fixture", mark="@pytest.mark.anyio")
        self.check(self.pytest(test=test))

    def test_anyio_without_pytest_asyncio(self):
        test = TESTS.format(fixture="pytest.fixture", mark="").replace("import pytest_asyncio", "")
        self.check(self.pytest("-pno:asyncio", "--anyio-mode=auto", test=test))

    def test_a_loop_in_which_dbkit_cannot_work_is_refused(self):
        run = self.pytest(
            test="""
            @pytest.fixture
            def anyio_backend():
                return "trio"

            @pytest.mark.anyio
            async def test_it(adb):
                pass
            """
        )
        self.assertIn("override the fixture anyio_backend to return 'asyncio'", run.text_of("test_it[sqlite]"))

    def test_without_either_coroutine_functions_are_pytests_business(self):
        run = self.pytest(
            "-pno:asyncio", "-pno:anyio", test="async def test_it(adb): pass\ndef test_b(db): create('a')"
        )
        self.assertEqual({"error": 1, "passed": 1}, run.counts, run.output)
        self.assertIn("is for coroutine functions that pytest-asyncio or anyio runs", run.text_of("test_it[sqlite]"))
