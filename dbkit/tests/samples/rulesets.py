"""The rule sets of dbkit's own products, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dbkit.backends.mysql.errors import RULES as MYSQL
from dbkit.backends.postgresql.errors import RULES as POSTGRESQL
from dbkit.backends.rules import RuleSet
from dbkit.backends.sqlite.errors import RULES as SQLITE

RULESETS: Mapping[str, RuleSet] = MappingProxyType({rules.name: rules for rules in (POSTGRESQL, MYSQL, SQLITE)})
