"""The settings of one database: resolved once, frozen, each with its origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

from oslo_config import cfg
from sqlalchemy.engine import URL

from dbkit import options
from dbkit.backends.base import SessionSettings
from dbkit.engines import url as urls
from dbkit.engines.settings_files import SettingWarning, warn_of_unknown_names
from dbkit.engines.settings_sources import ARGUMENT, DATABASE_URL, Layers, Origin, Source, variable_of
from dbkit.engines.settings_values import SETTINGS, Credentials, CredentialsSource
from dbkit.exceptions import CantStartEngineError, InvalidSetting, InvalidURL
from dbkit.masking import mask
from dbkit.spec import Colour

__all__ = ["Credentials", "EngineSettings", "Origin", "SettingWarning", "Source"]


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class EngineSettings:
    """All that is asked for of one database; the names are those of ``[database]`` and of the keywords.

    Built by :meth:`resolve`. Its text shows no secret.
    """

    connection: URL
    asyncio_connection: URL | None
    replica_connection: URL | None
    asyncio_replica_connection: URL | None
    synchronous_reader: bool
    credentials: CredentialsSource | None
    """Asked for user and password before each new connection."""

    max_pool_size: int
    max_overflow: int
    pool_timeout: int | None
    connection_recycle_time: int
    pool_pre_ping_idle: float
    pool_ping_timeout: float
    pool_lifetime_jitter: float
    pool_queue_target: float | None
    pool_queue_interval: float
    tcp_keepalive: int | None
    connect_timeout: int | None
    transaction_pooling: bool
    max_retries: int
    retry_interval: int
    connect_args: Mapping[str, Any]
    on_engine_create: tuple[Callable[[Any], Any], ...]

    sqlite_fk: bool
    sqlite_synchronous: bool
    sqlite_wal: bool
    sqlite_busy_timeout: float
    mysql_sql_mode: str | None
    mysql_wsrep_sync_wait: int | None

    connection_debug: int
    connection_trace: bool
    logging_name: str | None
    execution_options: Mapping[str, Any]
    schema_translate_map: Mapping[str | None, str | None]
    json_serializer: Callable[[Any], str] | None
    json_deserializer: Callable[[str], Any] | None
    expire_on_commit: bool
    rollback_reader_sessions: bool
    flush_on_subtransaction: bool

    db_max_retries: int
    db_retry_interval: int
    db_inc_retry_interval: bool
    db_max_retry_interval: int
    db_conflict_retry_interval: float
    db_retry_budget: float
    db_conflict_retry_budget: float
    on_retry: tuple[Callable[[Any], Any], ...]

    exactly_once: bool
    commit_fence: str
    commit_fence_timeout: float
    replay: bool
    replay_max_size: int
    replay_max_time: float

    origins: Mapping[str, Origin] = field(compare=False)
    """Where each value came from, by name."""

    @classmethod
    def resolve(
        cls,
        *,
        url: str | URL | None = None,
        conf: cfg.ConfigOpts | None = None,
        overrides: Mapping[str, Any] = MappingProxyType({}),
        defaults: Mapping[str, Any] = MappingProxyType({}),
        environ: Mapping[str, str] = os.environ,
    ) -> EngineSettings:
        """Gather every setting from where it stands; :class:`Source` is the order of precedence.

        :param url: the same as ``overrides["connection"]``.
        :param conf: its group ``[database]`` is read, its environment included.
        :param overrides: explicit arguments.
        :param defaults: a library's own defaults, above those of the options and below all that an operator says.
        :raises UnknownSetting: a keyword names no setting.
        :raises InvalidSetting: a value has a wrong type or is out of bounds.
        :raises InvalidURL: a URL cannot be used.
        :raises BackendMissing: no backend serves a URL's dialect.
        :raises CantStartEngineError: there is no URL.
        """
        if url is not None:
            if overrides.get("connection") not in (None, url):
                raise InvalidSetting(f"two URLs are given, one as url and one as connection ({ARGUMENT})")
            overrides = {**overrides, "connection": url}
        if conf is not None:
            options.register(conf)
        warn_of_unknown_names(conf, environ)
        values, origins = _gather(Layers(overrides, conf, environ, defaults))
        _resolve_urls(values, origins)
        if values["credentials"] is not None and not urls.has_server(values["connection"]):
            raise InvalidSetting(
                f"credentials are given ({origins['credentials']}), and {mask(values['connection'])} has no users"
            )
        kept = {each.name: values[each.name] for each in fields(cls) if each.name != "origins"}
        return cls(**kept, origins=MappingProxyType(origins))

    def url_for(self, colour: Colour, *, replica: bool = False) -> URL | None:
        """Return the URL for code of this colour, with its driver written; None: there is no replica.

        :raises DriverMissing: the driver of this colour is not installed.
        """
        shared = self.replica_connection if replica else self.connection
        own = self.asyncio_replica_connection if replica else self.asyncio_connection
        chosen = own if colour is Colour.ASYNCIO and own is not None else shared
        return None if chosen is None else urls.for_colour(chosen, colour)

    @property
    def masked_url(self) -> str:
        """The URL of the primary, without its secrets."""
        return mask(self.connection)

    def on_database(self, name: str | None) -> Self:
        """Return the same settings with another name of the database in every URL."""
        urls_with_it = {each: url.set(database=name) for each in _URLS if (url := getattr(self, each)) is not None}
        return replace(self, **urls_with_it)

    def session_settings(self) -> SessionSettings:
        """Return what a backend applies to a connection when it is opened."""
        return SessionSettings(**{each.name: getattr(self, each.name) for each in fields(SessionSettings)})

    def described(self) -> Iterator[tuple[str, str, Origin]]:
        """Yield each setting's name, its value as it may be shown, and its origin."""
        for each in fields(self):
            if each.name != "origins":
                yield each.name, SETTINGS[each.name].show(getattr(self, each.name)), self.origins[each.name]

    def __repr__(self) -> str:
        return f"EngineSettings({', '.join(f'{name}={shown}' for name, shown, _ in self.described())})"


def _gather(layers: Layers) -> tuple[dict[str, Any], dict[str, Origin]]:
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, setting in SETTINGS.items():
        value, origin = layers.find(setting)
        values[name] = value if origin.source is Source.OPTION_DEFAULT else setting.accept(value, origin)
        origins[name] = origin
    return values, origins


# A URL of its own for a colour or a replica, and the one that it stands beside.
_COMPANIONS = ("asyncio_connection", "replica_connection", "asyncio_replica_connection")
_URLS = ("connection", *_COMPANIONS)


def _resolve_urls(values: dict[str, Any], origins: dict[str, Origin]) -> None:
    """Read, complete and check the URLs in place."""
    if values["connection"] is None:
        _take_asyncio_for_both(values, origins)
    _drop_strangers(values, origins)
    for name in _URLS:
        if values[name] is not None:
            values[name] = _read(values[name], values["connection_parameters"], name, origins)
    scheme = values["connection"].get_backend_name()
    for name in _COMPANIONS:
        if values[name] is not None and values[name].get_backend_name() != scheme:
            raise InvalidSetting(
                f"{name} is of {values[name].get_backend_name()} ({origins[name]}), and connection of {scheme} "
                f"({origins['connection']}); both must lead to the same database"
            )
        if values[name] is not None and urls.backend_of(values[name]).is_unnamed(values[name]):
            values[name] = _named_as(values["connection"], values[name], name, origins)


def _named_as(connection: URL, companion: URL, name: str, origins: Mapping[str, Origin]) -> URL:
    """Return a companion's URL with the name of the database that ``connection`` leads to; it has none itself."""
    if not urls.backend_of(connection).is_unnamed(connection):
        raise InvalidSetting(
            f"{name} is a database in memory ({origins[name]}), and connection is {mask(connection)} "
            f"({origins['connection']}); both must lead to the same database"
        )
    return companion.set(database=connection.database)


def _take_asyncio_for_both(values: dict[str, Any], origins: dict[str, Origin]) -> None:
    if values["asyncio_connection"] is None:
        raise CantStartEngineError(
            f"no database URL is given; write one as the argument url, as connection in the section "
            f"[{options.GROUP}] of a config file, or in the environment as {variable_of('connection')} or "
            f"{DATABASE_URL}: {urls.FORMS}"
        )
    values["connection"] = values["asyncio_connection"]
    origins["connection"] = origins["asyncio_connection"]


def _drop_strangers(values: dict[str, Any], origins: dict[str, Origin]) -> None:
    """Leave out URLs that stand below the place of ``connection``: they belong to the database it replaces.

    A test that gives a URL of its own must not read from the replica that a config file names.
    """
    for name in _COMPANIONS:
        if values[name] is not None and origins[name].source > origins["connection"].source:
            values[name] = None


def _read(value: str | URL, parameters: str, name: str, origins: Mapping[str, Origin]) -> URL:
    try:
        parsed = urls.parse(value)
        return urls.vet(urls.with_parameters(parsed, parameters))
    except InvalidURL as error:
        added = f"; connection_parameters: {origins['connection_parameters']}" if parameters else ""
        raise InvalidURL(f"{error} ({name}: {origins[name]}{added})") from error
