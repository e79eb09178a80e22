"""One recorded error of one driver, and the stand-in exception that is rebuilt from it."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dbkit.backends.build import build_error
from dbkit.backends.rules import RuleSet, layers
from dbkit.exceptions import DBError

FOLDER = Path(__file__).parent
PRODUCTS = ("postgresql", "mysql", "sqlite")

# What the signature functions read, on the exception itself and in psycopg's `diag`.
_ATTRIBUTES = (
    "sqlstate", "pgcode", "severity", "message", "detail", "table_name", "column_name", "constraint_name",
    "errno", "msg", "sqlite_errorcode", "sqlite_errorname",
)  # fmt: skip
_DIAGNOSIS = (
    "sqlstate", "severity_nonlocalized", "message_primary", "message_detail",
    "table_name", "column_name", "constraint_name",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """What one driver raised when one thing was provoked.

    :param how: ``real``, or ``signalled`` where the server was told to raise a code that is hard to come by.
    :param phase: ``connect``, ``statement`` or ``commit``.
    :param aftermath: what the next statement saw of the transaction: ``kept``, ``lost``, ``refused`` or ``unseen``.
    :param layers: the exception and those it wraps, outermost first: class, bases, arguments, attributes.
    :param expected: rule, class and fields of the error; filled in when it is recorded, and reviewed there.
    """

    provocation: str
    how: str
    phase: str
    sql: str
    driver: str
    driver_version: str
    server_version: str
    sqlalchemy: str
    is_disconnect: bool
    aftermath: str
    layers: list[dict[str, Any]]
    expected: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name the sample in a message."""
        return f"{self.provocation} ({self.driver}, SQLAlchemy {self.sqlalchemy})"

    def exception(self) -> BaseException:
        """Return a stand-in that carries what the signature functions read, under the same names."""
        rebuilt: BaseException | None = None
        for layer in reversed(self.layers):
            outer = _stand_in(layer)
            outer.__cause__ = rebuilt
            if rebuilt is not None and layer["has_orig"]:
                outer.orig = rebuilt  # type: ignore[attr-defined]
            rebuilt = outer
        assert rebuilt is not None
        return rebuilt


def dissect(error: BaseException) -> list[dict[str, Any]]:
    """Return what a sample keeps of an exception and of those that it wraps."""
    return [_dissect_layer(layer) for layer in layers(error)]


def _dissect_layer(error: BaseException) -> dict[str, Any]:
    cls = type(error)
    diagnosis = getattr(error, "diag", None)
    return {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "bases": [base.__name__ for base in cls.__mro__[1:] if base.__module__ != "builtins"],
        "args": [arg if isinstance(arg, str | int | None) else repr(arg) for arg in error.args],
        "attributes": {name: value for name in _ATTRIBUTES if _is_plain(value := getattr(error, name, None))},
        "diag": None
        if diagnosis is None
        else {name: value for name in _DIAGNOSIS if _is_plain(value := getattr(diagnosis, name, None))},
        "has_orig": isinstance(getattr(error, "orig", None), BaseException),
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int)


def _stand_in(layer: Mapping[str, Any]) -> BaseException:
    module, _, name = layer["class"].rpartition(".")
    if module == "builtins":
        own = getattr(builtins, name)
        error: BaseException = own(*layer["args"])
        return error
    base: type[BaseException] = Exception
    for ancestor in reversed(layer["bases"]):
        base = type(ancestor, (base,), {})
    cls = type(name, (base,), {"__module__": module})
    error = cls(*layer["args"])
    for attribute, value in layer["attributes"].items():
        setattr(error, attribute, value)
    if layer["diag"] is not None:
        error.diag = SimpleNamespace(**dict.fromkeys(_DIAGNOSIS))  # type: ignore[attr-defined]
        error.diag.__dict__.update(layer["diag"])  # type: ignore[attr-defined]
    return error


def load(product: str) -> list[Sample]:
    """Return the recorded samples of a product."""
    path = FOLDER / f"{product}.json"
    if not path.exists():
        return []
    return [Sample(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["samples"]]


def store(product: str, samples: list[Sample]) -> None:
    """Write the samples of a product."""
    how = json.dumps(f"regenerate with: python -m dbkit.tests.samples.record {product}")
    lines = ",\n".join(json.dumps(asdict(sample)) for sample in samples)  # one sample a line
    (FOLDER / f"{product}.json").write_text(f'{{"how": {how}, "samples": [\n{lines}\n]}}\n', encoding="utf-8")


def verdict_on(rules: RuleSet, sample: Sample) -> dict[str, Any]:
    """Return what becomes of a sample: the rule that catches it, and the error that is built."""
    orig = sample.exception()
    verdict = rules.classify(orig)
    error = build_error(
        rules,
        orig,
        statement=sample.sql if sample.phase == "statement" else None,
        is_disconnect=sample.is_disconnect,
        in_transaction=sample.phase != "connect",
        at_commit=sample.phase == "commit",
    )
    return {
        "rule": verdict.rule.label if verdict else None,
        "raises": type(error).__name__,
        "outcome": error.outcome.name,
        "transient": error.transient,
        "fields": _fields_of(error),
        "text": str(error),
    }


def _fields_of(error: DBError) -> dict[str, Any]:
    hidden = {"inner_exception", "cause", "statement", "outcome", "transient"}
    found = {name: getattr(error, name) for name in sorted(type(error).fields() - hidden)}
    return {name: value for name, value in found.items() if value not in (None, [])}
