"""Notices names in ``[database]`` that nobody knows: in config files and in the environment."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oslo_config import cfg

from dbkit.engines.settings_values import FORMER_NAMES, SETTINGS, said_by_block
from dbkit.options import GROUP, OPTIONS

# oslo.db took these out of its options; files still hold them.
_GONE = frozenset({"min_pool_size", "mysql_enable_ndb", "sqlite_db", "use_tpool"})


class SettingWarning(UserWarning):
    """A name in ``[database]`` is no option that dbkit or the application knows."""


def warn_of_unknown_names(conf: cfg.ConfigOpts | None, environ: Mapping[str, str]) -> None:
    """Warn of each name in the group that neither dbkit nor anyone else has registered, and offer the nearest.

    Only a warning, because an application may share the group and register its own options later.
    """
    registered = set(conf[GROUP]) if conf is not None else set()
    known = sorted(registered | {option.name for option in OPTIONS} | FORMER_NAMES.keys())
    for name, place in _names(conf, environ):
        if name not in known:
            warnings.warn(_said(name, place, known), SettingWarning, stacklevel=4)


def _said(name: str, place: str, known: Sequence[str]) -> str:
    if name in SETTINGS:
        return f"{name!r} in [{GROUP}] ({place}) has no effect: only an argument in the code can give it"
    if name in _GONE:
        return f"{name!r} in [{GROUP}] ({place}) has no effect: oslo.db had it once; take it out"
    near = difflib.get_close_matches(name, known, n=1)
    advice = said_by_block(name) or (f"did you mean {near[0]!r}?" if near else "nobody has registered it")
    return f"{name!r} in [{GROUP}] ({place}) is no option that is known; {advice}"


def _names(conf: cfg.ConfigOpts | None, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    prefix = f"OS_{GROUP.upper()}__"
    for variable in sorted(environ):
        if variable.startswith(prefix):
            yield variable.removeprefix(prefix).lower(), f"environment variable {variable}"
    if conf is None or "config_file" not in conf:
        return
    for path in _files(conf):
        sections: dict[str, dict[str, list[str]]] = {}
        try:
            cfg.ConfigParser(path, sections).parse()
        except (OSError, cfg.ParseError):
            continue  # oslo.config has read it or said why it could not
        for section, assignments in sections.items():
            if section.lower() == GROUP:
                yield from ((name, f"config file {path}") for name in assignments)


def _files(conf: cfg.ConfigOpts) -> Iterator[str]:
    yield from conf.config_file or ()
    for folder in conf.config_dir or ():
        yield from map(os.fspath, sorted(Path(folder).glob("*.conf")))
