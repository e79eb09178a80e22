"""Finding the programs of an installed or unpacked server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dbkit.exceptions import BackendNotAvailable


def on_path(environment: Mapping[str, str]) -> list[Path]:
    """Return the folders of ``PATH``."""
    return [Path(step) for step in environment.get("PATH", "").split(os.pathsep) if step]


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """Return the folders with the highest version number in their path first."""
    return sorted(folders, key=lambda folder: [int(number) for number in re.findall(r"\d+", str(folder))], reverse=True)


def find_program(names: Sequence[str], folders: Iterable[Path]) -> Path | None:
    """Return the first program with one of these names that the folders hold, or None."""
    for folder in folders:
        for name in names:
            candidate = folder / name
            # Not Path.is_file(), which raises for a folder that the caller cannot enter.
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
    return None


def obtain_program(name: str, setting: str, environment: Mapping[str, str], folders: Sequence[str]) -> Path:
    """Return the program that a setting of the environment names, or else the one that PATH or the folders hold.

    :raises BackendNotAvailable: it is not there; the text names the package, which is called like the program.
    """
    if named := environment.get(setting):
        program = find_program([Path(named).name], [Path(named).parent])
        where = f"at {named}, which {setting} names"
    else:
        program = find_program([name], [*on_path(environment), *map(Path, folders)])
        where = f"on PATH or in {', '.join(folders)}"
    if program is None:
        raise BackendNotAvailable(f"the program {name} was not found {where}; install the package {name}")
    return program
