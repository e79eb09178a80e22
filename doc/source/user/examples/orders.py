"""Orders whose confirmation is sent if, and only if, they are stored."""

import sqlite3

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import dbkit
from dbkit.outbox import Message, Outbox

db = dbkit.Database()
outbox = Outbox(db)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    number: Mapped[int] = mapped_column(primary_key=True)


class Consumer:
    """Another system, which remembers the ids of the messages that it has dealt with."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, number INTEGER)")

    def receive(self, message: Message) -> None:
        with self._connection:
            values = message.id, message.payload["number"]
            self._connection.execute("INSERT OR IGNORE INTO mails VALUES (?, ?)", values)

    def mails(self) -> list[int]:
        return [number for (number,) in self._connection.execute("SELECT number FROM mails ORDER BY number")]


def create_tables() -> None:
    Base.metadata.create_all(db.engine)
    outbox.create_table()


@db.writer
def place_order(number: int) -> None:
    db.session.add(Order(number=number))
    outbox.send("orders", {"number": number})
