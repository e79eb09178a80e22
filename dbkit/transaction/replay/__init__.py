"""Verified replay: a transaction that was lost before COMMIT is repeated, and what comes back is compared.

The code in the block does not run twice. It goes on as if nothing had happened, if every answer that it has seen comes
out the same again; if one does not, it is told so, and nothing is stored.
"""
