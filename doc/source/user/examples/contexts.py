"""Transactions that belong to a context object: python contexts.py --config-file bank.conf."""

from __future__ import annotations

import sys

from oslo_config import cfg
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbkit import enginefacade


@enginefacade.transaction_context_provider  # without it, context.session does not exist
class RequestContext:
    """Whatever the application knows of a request; dbkit adds session, connection and so on."""

    def __init__(self, user: str) -> None:
        self.user = user


class Base(DeclarativeBase): ...


class Account(Base):
    __tablename__ = "accounts"
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)


@enginefacade.writer
def create_tables(context: RequestContext) -> None:
    Base.metadata.create_all(context.session.connection())


@enginefacade.writer
def create_account(context: RequestContext, owner: str) -> None:
    context.session.add(Account(owner=owner))


@enginefacade.reader
def balance(context: RequestContext, owner: str) -> int:
    return context.session.get_one(Account, owner).balance


def main(argv: list[str]) -> None:
    cfg.CONF(argv, project="bank")  # reads bank.conf; without an argument /etc/bank/bank.conf and others
    context = RequestContext(user="ann")
    create_tables(context)
    with enginefacade.writer.using(context):  # both accounts, or none
        create_account(context, "ann")
        create_account(context, "bob")
    print(balance(context, "ann"))


if __name__ == "__main__":
    main(sys.argv[1:])
