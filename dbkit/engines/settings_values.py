"""The settings of a database: which there are, what each must be, and how its value may be shown."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from oslo_config import cfg
from sqlalchemy.engine import URL

from dbkit.exceptions import InvalidSetting, UnknownSetting
from dbkit.masking import HIDDEN, mask, mask_mapping, mask_parameters, mask_text
from dbkit.options import OPTIONS, Option

_LONGEST_SHOWN = 60

# What users of SQLAlchemy and of older code say for our settings.
_SAID_ELSEWHERE = {
    "url": "connection",
    "sql_connection": "connection",
    "pool_size": "max_pool_size",
    "pool_recycle": "connection_recycle_time",
    "pool_pre_ping": "pool_pre_ping_idle",
    "echo": "connection_debug",
    "timeout": "connect_timeout",
    "username": "credentials",
    "user": "credentials",
    "password": "credentials",
}

_SAID_BY_BLOCKS = {
    "deadline": ".deadline(seconds), or around several blocks: with dbkit.within(seconds)",
    "isolation": ".isolation(level)",
    "isolation_level": ".isolation(level)",
    "readonly": "db.reader",
    "read_only": "db.reader",
    "retrying": ".retrying(); how often is db_max_retries",
}
"""What is no setting of a database, because each block says it."""


class Credentials(NamedTuple):
    """A user and a password, as given for one new connection; ``user`` None keeps the URL's."""

    user: str | None
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password='{HIDDEN}')"


@dataclass(frozen=True, slots=True)
class CredentialsSource:
    """Asks the application for credentials and checks what it answers."""

    ask: Callable[[], Credentials | tuple[str | None, str] | str]

    def __call__(self) -> Credentials:
        """Return the credentials of the moment.

        :raises InvalidSetting: the answer is neither a password nor a user and a password.
        """
        answer = self.ask()
        if isinstance(answer, str):
            return Credentials(None, answer)
        if isinstance(answer, tuple) and len(answer) == 2:
            user, password = answer
            if isinstance(password, str) and (user is None or isinstance(user, str)):
                return Credentials(user, password)
        raise InvalidSetting(
            f"credentials: {name_of(self.ask)} must return a password, or a user and a password; "
            f"the answer is {_kind(answer)}"
        )


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"


def name_of(function: object) -> str:
    """Return a function's name for a text, without its arguments."""
    return getattr(function, "__qualname__", type(function).__qualname__)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: a row of ``[database]``, or one that only a keyword can give.

    :param must_be: what a value must be, for the text of an error.
    :param keep: returns the value as it is kept; raises ValueError or TypeError for one that cannot be.
    :param nullable: None is a value of its own and does not mean "not given".
    """

    name: str
    must_be: str
    keep: Callable[[Any], Any]
    default: Any = None
    nullable: bool = False
    ignored: bool = False
    option: Option | None = None
    formerly: tuple[str, ...] = ()

    @property
    def is_url(self) -> bool:
        """Whether the value is a URL."""
        return self.name.endswith("connection")

    def accept(self, value: Any, origin: object) -> Any:
        """Return the value as it is kept.

        :raises InvalidSetting: it has a wrong type or is out of bounds.
        """
        if value is None and self.nullable:
            return None
        try:
            return self.keep(value)
        except (ValueError, TypeError) as error:
            if isinstance(error, InvalidSetting):
                raise
            raise InvalidSetting(self.refusal(self.show(value), origin)) from None  # the cause says no more

    def refusal(self, shown: str, origin: object) -> str:
        """Return the text of an error about a value that was shown already."""
        return f"{self.name} must be {self.must_be}; it is {shown} ({origin})"

    def show(self, value: Any) -> str:
        """Return the value as a text may show it: without secrets, and not too long."""
        if isinstance(value, URL) or (self.is_url and isinstance(value, str)):
            text = repr(mask(value))
        elif self.name == "connection_parameters" and isinstance(value, str):
            text = repr(mask_parameters(value))
        elif isinstance(value, CredentialsSource):
            text = name_of(value.ask)
        elif self.name == "credentials" and value is not None:
            text = _kind(value)
        elif callable(value):
            text = name_of(value)
        elif isinstance(value, tuple) and value and all(map(callable, value)):
            text = f"({', '.join(map(name_of, value))})"
        elif isinstance(value, Mapping):
            return repr(mask_mapping(value))
        else:
            text = repr(mask_text(value))
        return text if len(text) <= _LONGEST_SHOWN or self.is_url else f"{text[:_LONGEST_SHOWN]}…"


# -- what a value must be ----------------------------------------------------------------------------------------------


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _bounds(option: Option) -> tuple[float | None, float | None]:
    kind: Any = option.opt.type
    return kind.min, kind.max


def _number(option: Option) -> Callable[[Any], int | float]:
    whole = isinstance(option.opt, cfg.IntOpt)
    low, high = _bounds(option)

    def keep(value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise TypeError
        if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
            raise ValueError
        return value if whole else float(value)

    return keep


def _number_wanted(option: Option) -> str:
    low, high = _bounds(option)
    kind = "a whole number" if isinstance(option.opt, cfg.IntOpt) else "a number"
    unit = f" of {option.unit}" if option.unit else ""
    if low is not None and high is not None:
        return f"{kind}{unit} from {low} to {high}"
    return f"{kind}{unit}" + (f", at least {low}" if low is not None else "")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _one_of(choices: Iterable[str]) -> Callable[[Any], str]:
    allowed = frozenset(choices)

    def keep(value: Any) -> str:
        if _text(value) not in allowed:
            raise ValueError
        return str(value)

    return keep


def _text_or_none(value: Any) -> str | None:
    return _text(value) or None


def _url(value: Any) -> str | URL:
    return value if isinstance(value, URL) else _text(value)


def _function(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


def _functions(value: Any) -> tuple[Any, ...]:
    return (value,) if callable(value) else tuple(map(_function, value))


def _observers(value: Any) -> tuple[Any, ...]:
    functions = _functions(value)
    if any(map(inspect.iscoroutinefunction, functions)):
        raise TypeError
    return functions


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return MappingProxyType(dict(value))


def _credentials(value: Any) -> CredentialsSource:
    if isinstance(value, CredentialsSource):
        return value
    if inspect.iscoroutinefunction(value):
        raise TypeError
    return CredentialsSource(_function(value))


def _of_option(option: Option) -> Setting:
    must_be: str
    keep: Callable[[Any], Any]
    if isinstance(option.opt, cfg.BoolOpt):
        must_be, keep = "True or False", _boolean
    elif isinstance(option.opt, cfg.IntOpt | cfg.FloatOpt):
        must_be, keep = _number_wanted(option), _number(option)
    elif option.name.endswith("connection"):
        must_be, keep = "a database URL", _url
    elif choices := getattr(option.opt.type, "choices", None):
        must_be, keep = f"one of {', '.join(choices)}", _one_of(choices)
    elif option.nullable:
        must_be, keep = "a text", _text_or_none
    else:
        must_be, keep = "a text", _text
    return Setting(
        option.name,
        must_be,
        keep,
        default=option.opt.default,
        nullable=option.nullable,
        ignored=option.ignored,
        option=option,
        formerly=option.formerly,
    )


_KEYWORDS_ONLY = (
    Setting("credentials", "a blocking function that returns a password, or a user and a password", _credentials),
    Setting("on_engine_create", "functions that take an engine", _functions, default=()),
    Setting("on_retry", "blocking functions that take a RetryEvent", _observers, default=()),
    Setting("connect_args", "a mapping of the driver's arguments", _mapping, default=MappingProxyType({})),
    Setting("execution_options", "a mapping of execution options", _mapping, default=MappingProxyType({})),
    Setting("schema_translate_map", "a mapping of schema names", _mapping, default=MappingProxyType({})),
    Setting("json_serializer", "a function that returns a text", _function),
    Setting("json_deserializer", "a function that takes a text", _function),
    Setting("expire_on_commit", "True or False", _boolean, default=False),
    Setting("rollback_reader_sessions", "True or False", _boolean, default=False),
    Setting("flush_on_subtransaction", "True or False", _boolean, default=False),
    # oslo.db's yield to other green threads at each check-in: dbkit has no use for it.
    Setting("thread_checkin", "True or False", _boolean, default=True, ignored=True),
)


def _table() -> Mapping[str, Setting]:
    former = {name for option in OPTIONS for name in option.formerly}
    rows = [_of_option(option) for option in OPTIONS if option.name not in former]
    return MappingProxyType({setting.name: setting for setting in (*rows, *_KEYWORDS_ONLY)})


SETTINGS: Mapping[str, Setting] = _table()
"""All settings, by name."""

FORMER_NAMES: Mapping[str, str] = MappingProxyType(
    {former: setting.name for setting in SETTINGS.values() for former in setting.formerly}
)
"""Old names, and the names that took their place."""


def nearest(name: str) -> str | None:
    """Return the name of the setting that was probably meant, or None."""
    said = _SAID_ELSEWHERE.get(name)
    if said is not None:
        return said
    near = difflib.get_close_matches(name.lower(), (*SETTINGS, *FORMER_NAMES), n=1)
    return near[0] if near else None


def setting_named(name: str) -> Setting:
    """Return the setting that a keyword names, by its present or an old name.

    :raises UnknownSetting: there is none; the text offers the nearest.
    """
    setting = SETTINGS.get(FORMER_NAMES.get(name, name))
    if setting is not None:
        return setting
    near, block = nearest(name), said_by_block(name)
    advice = block or (f"did you mean {near!r}?" if near else "what only the driver knows goes into connect_args")
    raise UnknownSetting(f"there is no setting {name!r}; {advice}")


def said_by_block(name: str) -> str | None:
    """Return how a block says what was taken for a setting; None for all other names."""
    said = _SAID_BY_BLOCKS.get(name.lower())
    return None if said is None else f"each block says it: {said}"
