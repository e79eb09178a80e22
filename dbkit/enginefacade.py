"""Transactions for code that passes a context object along: ``reader``, ``writer`` and their modifiers.

.. code-block:: python

    @enginefacade.transaction_context_provider
    class RequestContext: ...

    @enginefacade.writer
    def create_server(context, name):
        context.session.add(Server(name=name))

.. versionadded:: 0.1
"""

from __future__ import annotations

from typing import Any

from dbkit.spec import Mode, TransactionSpec
from dbkit.transaction.factory import Factory
from dbkit.transaction.hooks import Hook, UnknownHook
from dbkit.transaction.manager import ContextManager, Root
from dbkit.transaction.provider import scope_of, transaction_context_provider

__all__ = [
    "after_commit",
    "after_rollback",
    "after_unknown",
    "configure",
    "configure_defaults",
    "reader",
    "transaction_context",
    "transaction_context_provider",
    "writer",
]


def transaction_context(**settings: Any) -> ContextManager:
    """Return a manager of its own, for an application with several databases.

    :param settings: as for :func:`configure`.
    """
    return ContextManager(Root(Factory(overrides=settings)), TransactionSpec(mode=Mode.READER))


_managers = transaction_context()

#: A block that only reads.
reader = _managers.reader

#: A block that writes.
writer = _managers.writer


def configure(**settings: Any) -> None:
    """Set values of the common database that are stronger than the configuration, before its first transaction.

    :raises AlreadyStartedError: it is too late.
    :raises UnknownSetting: there is no such setting.
    """
    _managers.configure(**settings)


def configure_defaults(**settings: Any) -> None:
    """Set values that apply where the configuration says nothing; raises what :func:`configure` does."""
    _managers.configure_defaults(**settings)


def after_commit(context: object, hook: Hook) -> None:
    """Run a function once, when the context's transaction is known to be committed.

    :raises NoTransaction: no block is open.
    """
    scope_of(context, "after_commit").after_commit(hook)


def after_rollback(context: object, hook: Hook) -> None:
    """Run a function once, when the context's transaction is known to be rolled back.

    :raises NoTransaction: no block is open.
    """
    scope_of(context, "after_rollback").after_rollback(hook)


def after_unknown(context: object, hook: UnknownHook) -> None:
    """Run a function once, with the token, when it is not known whether the context's transaction is stored.

    The token is None where none was written.

    :raises NoTransaction: no block is open.
    """
    scope_of(context, "after_unknown").after_unknown(hook)
