"""What a row of the table of options is, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

GROUP = "database"


class SharedOpt(cfg.Opt):
    """An option that oslo.db has too: a process that uses both libraries can register both, in either order.

    oslo.config refuses a second option of the same name unless it compares equal, and the two help texts differ.
    """

    def __eq__(self, another: object) -> bool:
        if not isinstance(another, cfg.Opt):
            return NotImplemented
        return self.dest == another.dest and type(self.type) is type(another.type)

    def __ne__(self, another: object) -> bool:
        return not self == another

    __hash__ = cfg.Opt.__hash__


class SharedStrOpt(SharedOpt, cfg.StrOpt):
    """A text."""


class SharedIntOpt(SharedOpt, cfg.IntOpt):
    """A whole number."""


class SharedBoolOpt(SharedOpt, cfg.BoolOpt):
    """True or false."""


@dataclass(frozen=True, slots=True)
class Option:
    """A row of the table.

    :param unit: what a number counts.
    :param nullable: None is a value of its own and does not mean "not given".
    :param ignored: accepted because oslo.db has it; nothing reads it.
    :param formerly: older names of the same option.
    """

    opt: cfg.Opt
    unit: str = ""
    nullable: bool = False
    ignored: bool = False
    formerly: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in the file and as a keyword."""
        return str(self.opt.dest)


def _former(*names: str) -> list[cfg.DeprecatedOpt]:
    return [cfg.DeprecatedOpt(name, group=GROUP) for name in names]


def row(
    kind: type[cfg.Opt],
    name: str,
    *,
    help: str,
    unit: str = "",
    nullable: bool = False,
    ignored: bool = False,
    formerly: tuple[str, ...] = (),
    **more: Any,
) -> Option:
    """Return a row; what is not named here goes to oslo.config."""
    text = f"{help} Unit: {unit}." if unit else help
    opt = kind(name, help=text, deprecated_opts=_former(*formerly), **more)
    return Option(opt, unit, nullable, ignored, formerly)


def url(name: str, help: str, *, formerly: tuple[str, ...] = ()) -> Option:
    """Return a row for a URL, which is secret; with old names it is one that oslo.db does not have."""
    return row(cfg.StrOpt if formerly else SharedStrOpt, name, help=help, formerly=formerly, secret=True)
