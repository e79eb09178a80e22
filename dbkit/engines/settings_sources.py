"""Where a setting's value comes from: arguments, configuration, environment, defaults; and which goes first."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from oslo_config import cfg

from dbkit.engines.settings_values import SETTINGS, Setting, setting_named
from dbkit.exceptions import InvalidSetting
from dbkit.options import GROUP, Option

DATABASE_URL = "DATABASE_URL"


class Source(enum.IntEnum):
    """The kinds of places in which a value can stand; a lower number goes first."""

    ARGUMENT = 1
    CONFIGURATION = 2
    DATABASE_URL = 3
    LIBRARY_DEFAULT = 4
    OPTION_DEFAULT = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from."""

    source: Source
    detail: str

    def __str__(self) -> str:
        return self.detail


class Found(NamedTuple):
    """A value, as it was found, and where."""

    value: Any
    origin: Origin


ARGUMENT = Origin(Source.ARGUMENT, "explicit argument")
LIBRARY_DEFAULT = Origin(Source.LIBRARY_DEFAULT, "library default")
APPLICATION_DEFAULT = Origin(Source.LIBRARY_DEFAULT, "application's default of the option")
OPTION_DEFAULT = Origin(Source.OPTION_DEFAULT, "option default")


def variable_of(name: str) -> str:
    """Return the environment variable of an option. Source: oslo.config, "Environment"."""
    return f"OS_{GROUP.upper()}__{name.upper()}"


def named_once(given: Mapping[str, Any], origin: Origin) -> dict[str, Found]:
    """Return keywords under the settings' present names.

    :raises UnknownSetting: a keyword names no setting.
    :raises InvalidSetting: a setting is given twice, under its old and its present name.
    """
    found: dict[str, Found] = {}
    for name, value in given.items():
        setting = setting_named(name)
        if value is None and not setting.nullable:
            continue
        if setting.name in found:
            raise InvalidSetting(
                f"{setting.name} is given twice, by this name and by an old one, "
                f"{' or '.join(setting.formerly)} ({origin})"
            )
        found[setting.name] = Found(value, origin)
    return found


class Layers:
    """All the places that may give a value, asked in the order of :class:`Source`.

    :param environ: read for ``DATABASE_URL``, and for ``OS_DATABASE__X`` where ``conf`` has not read its own sources.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any],
        conf: cfg.ConfigOpts | None,
        environ: Mapping[str, str],
        defaults: Mapping[str, Any],
    ) -> None:
        self._arguments = named_once(overrides, ARGUMENT)
        self._conf = conf
        self._environ = environ
        self._defaults = named_once(defaults, LIBRARY_DEFAULT)

    def find(self, setting: Setting) -> Found:
        """Return the value that goes first, and where it stands.

        :raises InvalidSetting: a value in the configuration cannot be read.
        """
        if setting.name in self._arguments:
            return self._arguments[setting.name]
        candidates = [Found(setting.default, OPTION_DEFAULT)]
        if setting.name in self._defaults:
            candidates.append(self._defaults[setting.name])
        candidates.extend(self._configured(setting))
        if setting.name == "connection" and self._environ.get(DATABASE_URL):
            origin = Origin(Source.DATABASE_URL, f"environment variable {DATABASE_URL}")
            candidates.append(Found(self._environ[DATABASE_URL], origin))
        return min(candidates, key=lambda found: found.origin.source)  # of two equal sources, the first

    def _configured(self, setting: Setting) -> list[Found]:
        if setting.option is None:
            return []
        found = []
        for name in (setting.name, *setting.formerly):
            if self._conf is not None:
                found.append(_from_conf(self._conf, name, setting))
            if self._conf is None or not _has_read_its_sources(self._conf):
                found.append(_from_environment(self._environ, name, setting.option))
        return [each for each in found if each is not None and not (setting.is_url and not each.value)]


def _has_read_its_sources(conf: cfg.ConfigOpts) -> bool:
    return "config_file" in conf  # oslo.config registers it when it is called


def _from_environment(environ: Mapping[str, str], name: str, option: Option) -> Found | None:
    variable = variable_of(name)
    text = environ.get(variable)
    if text is None:
        return None
    origin = Origin(Source.CONFIGURATION, f"environment variable {variable}")
    try:
        return Found(option.opt.type(text), origin)
    except ValueError as error:
        raise _unreadable(SETTINGS[option.name], origin, error) from None


def _from_conf(conf: cfg.ConfigOpts, name: str, setting: Setting) -> Found | None:
    if name not in conf[GROUP]:
        return None
    try:
        location = conf.get_location(name, GROUP)
        value = conf[GROUP][name]
    except (cfg.Error, ValueError) as error:
        raise _unreadable(setting, _suspect(conf, name), error) from None
    if location is None or location.location is cfg.Locations.opt_default:
        return None
    return Found(value, _origin_of(location, name))


def _origin_of(location: cfg.LocationInfo, name: str) -> Origin:
    place = location.location
    if place is cfg.Locations.set_default:
        return APPLICATION_DEFAULT
    if place is cfg.Locations.set_override:
        return Origin(Source.CONFIGURATION, "override of the option")
    if place is cfg.Locations.environment:
        return Origin(Source.CONFIGURATION, f"environment variable {variable_of(name)}")
    if place is cfg.Locations.command_line:
        return Origin(Source.CONFIGURATION, "command line")
    return Origin(Source.CONFIGURATION, f"config file {location.detail}")


def _suspect(conf: cfg.ConfigOpts, name: str) -> Origin:
    """Return the likely place of a value that oslo.config could not read, and so gives no place for."""
    variable = variable_of(name)
    if variable in os.environ:
        return Origin(Source.CONFIGURATION, f"environment variable {variable}")
    files = conf.config_file if _has_read_its_sources(conf) else None
    return Origin(Source.CONFIGURATION, f"config file {' or '.join(files)}" if files else "configuration")


def _unreadable(setting: Setting, origin: Origin, error: Exception) -> InvalidSetting:
    if isinstance(error, cfg.NoSuchOptError | cfg.TemplateSubstitutionError):
        # the error's own text would quote what follows the dollar sign, and that can be a part of a password
        return InvalidSetting(
            f"{setting.name} cannot be read: it holds a '$', which oslo.config takes for the start of an option's "
            f"name; write '$$' ({origin})"
        )
    return InvalidSetting(f"{setting.name} must be {setting.must_be}; its value is not ({origin})")
