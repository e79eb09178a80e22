"""The shop's database, for all its modules."""

from __future__ import annotations

import dbkit

#: Opens nothing before the first statement. Where it is, oslo.config says: ``[database] connection`` in a file that the
#: program has read, or the variable ``DATABASE_URL``.
db = dbkit.Database()

# Only where nobody says anything. A shop that is to remember its orders needs a better one.
db.configure_defaults(connection="sqlite://")
