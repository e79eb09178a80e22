"""``python -m benchmarks``, from the folder that holds this package."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command; say what to install where it cannot even begin."""
    try:
        from benchmarks.command import run
    except ModuleNotFoundError as missing:
        print(
            f"the benchmarks cannot begin, the module {missing.name} is not there; install what they need: "
            "python -m pip install . -r benchmarks/requirements.txt",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
