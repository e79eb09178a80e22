"""Credentials that change while the service runs: a callable, asked for each new connection."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dbkit

SECRET = Path(os.environ.get("DATABASE_SECRET", "/run/secrets/database.json"))


def current() -> tuple[str, str]:
    """Return the user and the password of this moment; a password alone would do, too."""
    secret = json.loads(SECRET.read_text(encoding="utf-8"))
    return secret["user"], secret["password"]


db = dbkit.Database("postgresql://db.example.org/inventory", credentials=current)
