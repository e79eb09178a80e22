"""``python -m dbkit``: the ``dbkit`` command."""

from __future__ import annotations

import sys

from dbkit.cmd.main import main

if __name__ == "__main__":
    sys.exit(main())
