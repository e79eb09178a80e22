"""The order of a list's elements, as the reads tell it, and what is wrong without looking at any circle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dbkit.testing.histories.anomalies import Anomaly
from dbkit.testing.histories.findings import Finding
from dbkit.testing.histories.history import History, Transaction
from dbkit.testing.histories.operations import Append, Element, Key, Kind, Read


@dataclass(slots=True)
class KeyFacts:
    """What the history tells of one list.

    :ivar writers: who appended an element.
    :ivar last_of: each transaction's last append.
    :ivar reads: who read what.
    :ivar order: the elements in their order, each once.
    """

    writers: dict[Element, Transaction] = field(default_factory=dict)
    last_of: dict[int, Element] = field(default_factory=dict)
    reads: list[tuple[Transaction, tuple[Element, ...]]] = field(default_factory=list)
    order: tuple[Element, ...] = ()


def facts_of(history: History) -> Mapping[Key, KeyFacts]:
    """Return what the history tells of each list."""
    found: dict[Key, KeyFacts] = {}
    for transaction in history.transactions:
        for append in transaction.appends:
            facts = found.setdefault(append.key, KeyFacts())
            facts.writers[append.element] = transaction
            facts.last_of[transaction.number] = append.element
        for read in transaction.reads:
            assert read.elements is not None
            found.setdefault(read.key, KeyFacts()).reads.append((transaction, read.elements))
    for facts in found.values():
        longest = max((elements for _, elements in facts.reads), key=len, default=())
        facts.order = tuple(dict.fromkeys(longest))
    return found


def faults_of_lists(facts: Mapping[Key, KeyFacts]) -> Iterator[Finding]:
    """Yield what is wrong with single lists, each fault of an element once."""
    for key, each in facts.items():
        yield from _doubles(key, each)
        yield from _contradictions(key, each)
        yield from _strangers(key, each)
        yield from _intermediates(key, each)
        yield from _losses(key, each)
        yield from _lost_updates(key, each)


def _doubles(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    told: set[Element] = set()
    for reader, elements in facts.reads:
        if len(set(elements)) == len(elements):
            continue
        for element, count in Counter(elements).items():
            if count > 1 and element not in told:
                told.add(element)
                concerned = [facts.writers[element], reader] if element in facts.writers else [reader]
                yield Finding(Anomaly.DUPLICATE_APPEND, concerned, f"{element} stands in {key} {count} times")


def _contradictions(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    """Yield the first read that is no beginning of the longest one."""
    longest: tuple[Element, ...] = ()
    whose: Transaction | None = None
    for reader, elements in facts.reads:
        if len(elements) > len(longest):
            longest, whose = elements, reader
    for reader, elements in facts.reads:
        if whose is not None and elements != longest[: len(elements)]:
            yield Finding(Anomaly.INCOMPATIBLE_ORDER, [reader, whose], f"{reader} and {whose} saw {key} in two orders")
            return


def _strangers(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    """Yield elements that nobody appended, or whose transaction was rolled back, each with its first reader."""
    aborted = {element for element, writer in facts.writers.items() if writer.kind is Kind.FAIL}
    told: set[Element] = set()
    for reader, elements in facts.reads:
        for element in elements:
            if element in told or (element in facts.writers and element not in aborted):
                continue
            if element not in facts.writers:
                told.add(element)
                yield Finding(Anomaly.UNKNOWN_ELEMENT, [reader], f"{reader} read {element} in {key}")
            elif facts.writers[element] is not reader:
                told.add(element)
                writer = facts.writers[element]
                yield Finding(
                    Anomaly.ABORTED_READ,
                    [reader, writer],
                    f"{reader} read {element} in {key}, which {writer} took back",
                )


def _intermediates(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    told: set[Element] = set()
    for reader, elements in facts.reads:
        if not elements or elements[-1] not in facts.writers or elements[-1] in told:
            continue
        last = elements[-1]
        writer = facts.writers[last]
        if writer is not reader and facts.last_of[writer.number] != last:
            told.add(last)
            text = f"{reader} read {key} up to {last}, after which {writer} appended {facts.last_of[writer.number]}"
            yield Finding(Anomaly.INTERMEDIATE_READ, [reader, writer], text)


def _losses(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    """Yield acknowledged elements that no later read shows, if there is a later read."""
    latest: dict[Element, int] = {}  # the last beginning of a reader that shows it
    last_read, last_reader = -1, None
    for reader, elements in sorted(facts.reads, key=lambda each: each[0].began):
        for element in elements:
            latest[element] = reader.began
        last_read, last_reader = reader.began, reader
    for element, writer in facts.writers.items():
        if writer.kind is not Kind.OK or writer.ended is None or last_reader is None:
            continue
        if last_read > writer.ended > latest.get(element, -1):
            text = f"{writer} was told that {element} is stored in {key}, and {last_reader} does not find it"
            yield Finding(Anomaly.LOST_APPEND, [writer, last_reader], text)


def _lost_updates(key: Key, facts: KeyFacts) -> Iterator[Finding]:
    """Yield those that read the same state before they appended: all but one wrote over what they had not seen."""
    found: dict[tuple[Element | None, int], list[Transaction]] = {}
    for reader, elements in facts.reads:
        if reader.number in facts.last_of and elements == _read_first(reader, key):
            group = found.setdefault((elements[-1] if elements else None, len(elements)), [])
            if reader not in group[-1:]:
                group.append(reader)
    for (last, _), group in found.items():
        if len(group) > 1:
            state = "empty" if last is None else f"up to {last}"
            text = f"{', '.join(map(str, group))} all read {key} {state}, and then appended to it"
            yield Finding(Anomaly.LOST_UPDATE, group, text)


def _read_first(transaction: Transaction, key: Key) -> tuple[Element, ...] | None:
    """Return what a transaction read before it appended to the list; None if it did not look."""
    for operation in transaction.operations:
        if operation.key == key:
            return operation.elements if isinstance(operation, Read) else None
    return None


def faults_within(transactions: Iterable[Transaction]) -> Iterator[Finding]:
    """Yield committed transactions that do not see their own appends."""
    for transaction in transactions:
        if transaction.kind is not Kind.OK:
            continue
        mine: dict[Key, list[Element]] = {}
        for operation in transaction.operations:
            if isinstance(operation, Append):
                mine.setdefault(operation.key, []).append(operation.element)
            elif operation.elements is not None:
                missing = [each for each in mine.get(operation.key, ()) if each not in operation.elements]
                if missing:
                    text = f"{transaction} appended {missing[0]} to {operation.key}, and then did not read it there"
                    yield Finding(Anomaly.INTERNAL, [transaction], text)
                    break
