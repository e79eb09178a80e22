"""How the error numbers of MySQL and MariaDB are found in a line of a log."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dbkit.backends.rules import Signature

# How the drivers and the server's own programs write an error: its number, and its text where that can be told.
_FORMS = (
    r"\((?P<number>\d{4,5}), (?P<quote>['\"])(?P<message>.*?)(?P=quote)[,)]",  # PyMySQL, mysqlclient, asyncmy, aiomysql
    r"\bERROR (?P<number>\d{4,5}) \(\w{5}\)(?: at line \d+)?: (?P<message>.*)",  # the command-line client
    r"\b(?P<number>\d{4,5}) \(\w{5}\): (?P<message>.*)",  # MySQL Connector/Python
    r"\b(?:errno|error code|Error_code|MY-0*)[:= ]*(?P<number>\d{4,5})\b",  # logs of servers
    r"\A\[?(?P<number>\d{4,5})\]?\Z",
    r" \[(?P<number>\d{4,5})\](?=; |: \")",  # dbkit's own texts
)

# The server's texts, for logs that do not hold the number. Only :func:`clues` reads them.
_TEXTS = (
    ("Deadlock found when trying to get lock", 1213),
    ("Lock wait timeout exceeded", 1205),
    ("Record has changed since last read", 1020),
    ("Duplicate entry", 1062),
    ("Cannot add or update a child row", 1452),
    ("Cannot delete or update a parent row", 1451),
    ("Query execution was interrupted", 1317),
    ("MySQL server has gone away", 2006),
    ("Lost connection to", 2013),
    ("Too many connections", 1040),
    ("Access denied for user", 1045),
    ("Unknown database", 1049),
    ("WSREP has not yet prepared node for application use", 1047),
    ("Data too long for column", 1406),
    ("Out of range value for column", 1264),
)


def clues(text: str) -> Iterator[Signature]:
    """Yield a signature for each of MySQL's error numbers that a line of a log shows, by number or by its text."""
    seen = set()
    for form in _FORMS:
        for found in re.finditer(form, text):
            number = int(found["number"])
            message = (found.groupdict().get("message") or "").strip()
            if number not in seen:
                seen.add(number)
                yield Signature((number,), message, {"errno": number})
    if seen:
        return
    for words, number in _TEXTS:
        start = text.find(words)
        if start >= 0:
            yield Signature((number,), re.split(r"[\r\n]|\"?\)? \[SQL", text[start:])[0], {"errno": number})
