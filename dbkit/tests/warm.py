"""Runs Python programs in processes of their own that need not import SQLAlchemy first, which takes most of their time.

A process that has imported what others have written, and nothing of dbkit, forks one for each program. To the program
it is as if the interpreter had been started for it: modules, arguments, environment, folder and streams are its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_IMPORTED = (
    "asyncio", "fixtures", "oslo_config.cfg", "psycopg", "pymysql", "pytest", "sqlalchemy", "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "sqlalchemy.ext.asyncio", "sqlalchemy.orm",
    "stevedore", "testtools",
)  # fmt: skip


class _Warm:
    """The process that forks, and the two pipes to it."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        atexit.register(self._end)

    def _end(self) -> None:
        if os.getpid() == self._owner:
            self._process.communicate()

    def run(self, request: Mapping[str, Any], timeout_s: float) -> int | None:
        """Have a program run; return how it ended, as :mod:`subprocess` tells it, or None if it had to be killed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        program = int(self._process.stdout.readline())
        is_late = threading.Event()

        def kill() -> None:
            is_late.set()
            os.kill(program, signal.SIGKILL)

        timer = threading.Timer(timeout_s, kill)
        timer.start()
        code = int(self._process.stdout.readline())
        timer.cancel()
        return None if is_late.is_set() else code


@functools.cache
def _warm(owner: int) -> _Warm:
    return _Warm()


def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: str | Path | None = None, timeout_s: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run ``-m module ...`` or ``-c text ...``, and return its status and what it wrote.

    :raises subprocess.TimeoutExpired: it took longer; it is dead now.
    """
    texts = [str(each) for each in arguments]
    with tempfile.TemporaryDirectory(prefix="dbkit-warm-") as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        request = {
            "arguments": texts,
            "environment": dict(os.environ if env is None else env),
            "folder": str(cwd or os.getcwd()),
            "streams": [str(each) for each in streams],
        }
        code = _warm(os.getpid()).run(request, timeout_s)
        written = [each.read_text(encoding="utf-8", errors="replace") for each in streams]
    if code is None:
        raise subprocess.TimeoutExpired(texts, timeout_s, *written)
    return subprocess.CompletedProcess(texts, code, *written)


# -- the process that forks ---------------------------------------------------------------------------------------


def _serve() -> None:
    """Fork a process for each line of the standard input; answer with its number, and at its end with how it ended.

    In the forked process it returns nothing but raises what the program raises: it ends as an interpreter does.
    """
    del sys.path[0]  # the folder of this file is no place to import from
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            __import__(name)
    gc.freeze()  # the collections of the programs need not look through it
    for line in sys.stdin:
        program = os.fork()
        if not program:
            _become(json.loads(line))
            return
        print(program, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]), flush=True)


def _become(request: Mapping[str, Any]) -> None:
    """Be the program, to its end."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, name in enumerate((os.devnull, *request["streams"])):
        stream = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    theirs = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    how, what, *rest = request["arguments"]
    if how == "-m":
        sys.argv = [what, *rest]
        sys.path[:0] = [os.getcwd(), *theirs]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *rest]
        sys.path[:0] = ["", *theirs]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(main))


if __name__ == "__main__":
    _serve()
