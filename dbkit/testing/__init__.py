"""What dbkit offers to the tests of programs that use it."""
