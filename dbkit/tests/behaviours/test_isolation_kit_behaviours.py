"""dbkit's own behaviours inside a sandbox: code under test must not notice that its commits are savepoints."""

from __future__ import annotations

from dbkit.tests.behaviours import (
    test_doomed,
    test_ending,
    test_handles,
    test_hooks,
    test_modifiers,
    test_nesting,
    test_reading,
    test_savepoints,
)
from dbkit.tests.behaviours.base import behaviours
from dbkit.tests.behaviours.combinations import POSTGRESQL, SQLITE
from dbkit.tests.behaviours.sandboxes import WATCHABLE, Sandboxed


@behaviours(WATCHABLE)
class TestEndingInASandbox(Sandboxed, test_ending.TestEnding):
    pass


@behaviours(WATCHABLE)
class TestTheSessionOfABlockInASandbox(Sandboxed, test_ending.TestTheSessionOfABlock):
    pass


@behaviours(WATCHABLE)
class TestJoiningInASandbox(Sandboxed, test_nesting.TestJoining):
    pass


@behaviours(WATCHABLE)
class TestWritersInsideReadersInASandbox(Sandboxed, test_nesting.TestWritersInsideReaders):
    pass


@behaviours(WATCHABLE)
class TestSavepointBlocksInASandbox(Sandboxed, test_savepoints.TestSavepointBlocks):
    pass


@behaviours(WATCHABLE)
class TestOtherSavepointsInASandbox(Sandboxed, test_savepoints.TestOtherSavepoints):
    pass


@behaviours(WATCHABLE)
class TestHooksInASandbox(Sandboxed, test_hooks.TestHooks):
    pass


@behaviours(WATCHABLE)
class TestHooksThatUseTheDatabaseInASandbox(Sandboxed, test_hooks.TestHooksThatUseTheDatabase):
    pass


@behaviours(WATCHABLE & POSTGRESQL)
class TestSwallowedErrorsInASandbox(Sandboxed, test_doomed.TestSwallowedErrors):
    pass


@behaviours(WATCHABLE)
class TestSwallowedFlushErrorsInASandbox(Sandboxed, test_doomed.TestSwallowedFlushErrors):
    pass


@behaviours(WATCHABLE & (POSTGRESQL | SQLITE))
class TestConstraintsCheckedAtCommitInASandbox(Sandboxed, test_doomed.TestConstraintsCheckedAtCommit):
    test_a_serialization_failure_is_the_blocks_error = None  # it takes two transactions at the same time


@behaviours(WATCHABLE)
class TestHandlesInASandbox(Sandboxed, test_handles.TestHandles):
    pass


@behaviours(WATCHABLE)
class TestReadersInsideWritersInASandbox(Sandboxed, test_reading.TestReadersInsideWriters):
    pass


@behaviours(WATCHABLE)
class TestReadersInASandbox(Sandboxed, test_reading.TestReaders):
    test_a_reader_sees_nothing_uncommitted = None  # the same


@behaviours(WATCHABLE)
class TestModifiedBlocksInASandbox(Sandboxed, test_modifiers.TestModifiedBlocks):
    test_an_independent_connection_is_one_in_either_order = None  # the same
