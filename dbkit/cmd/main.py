"""The console script ``dbkit``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_NEEDS = frozenset({"cliff", "rich"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 not understood.

    :param argv: the arguments; those of the process if None.
    """
    try:
        from dbkit.cmd.application import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDS:
            raise
        sys.stderr.write(f"dbkit: {package} is not installed, which the command needs: pip install 'dbkit[cli]'\n")
        return 1
    return run(sys.argv[1:] if argv is None else list(argv))


if __name__ == "__main__":
    sys.exit(main())
