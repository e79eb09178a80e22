"""The checker of histories, on recorded bad ones and on good ones."""

from __future__ import annotations

import random
from pathlib import Path

import testtools

import dbkit.tests.samples
from dbkit.exceptions import CommitUnknown, DBConnectionError, DBDeadlock, UsageError
from dbkit.testing.histories import (
    Anomaly,
    Append,
    Event,
    History,
    Kind,
    Level,
    Read,
    Recorder,
    check,
    kind_of,
    read_edn,
    to_edn,
)

FOLDER = Path(dbkit.tests.samples.__file__).with_name("histories")

# What is found in each recorded history, beside what its name says.
BESIDE = {
    "lost_update": {Anomaly.READ_SKEW},
    "lost_update_overwritten": {Anomaly.LOST_UPDATE, Anomaly.LOST_APPEND},
    "intermediate_read": {Anomaly.READ_SKEW},
}

# The strongest level that allows what a recorded history shows; None where none does.
ALLOWED = {
    "aborted_read": Level.READ_UNCOMMITTED,
    "intermediate_read": Level.READ_UNCOMMITTED,
    "circular_information_flow": Level.READ_UNCOMMITTED,
    "lost_update": Level.READ_COMMITTED,
    "read_skew": Level.READ_COMMITTED,
    "long_fork": Level.READ_COMMITTED,
    "write_skew": Level.SNAPSHOT,
    "real_time": Level.SERIALIZABLE,
}


def recorded(name):
    return read_edn((FOLDER / f"{name}.edn").read_text(encoding="utf-8"))


def names():
    return sorted(each.stem for each in FOLDER.glob("*.edn"))


class TestRecordedHistories(testtools.TestCase):
    def test_there_is_one_for_each_anomaly(self):
        self.assertEqual(set(), {each.name.lower() for each in Anomaly} - set(names()))

    def test_each_is_found_by_its_name(self):
        for name in names():
            own = {each for each in Anomaly if each.name.lower() == name}
            found = check(recorded(name), Level.STRICT_SERIALIZABLE).anomalies
            self.assertEqual(own | BESIDE.get(name, set()), found - ({Anomaly.REAL_TIME} - own), name)

    def test_the_good_ones_pass(self):
        for name in names():
            if name.startswith("sound"):
                check(recorded(name), Level.STRICT_SERIALIZABLE).raise_if_broken()

    def test_each_level_forbids_what_it_should(self):
        for name in names():
            strongest = list(Level)[-1] if name.startswith("sound") else ALLOWED.get(name)
            allowing = [level for level in Level if check(recorded(name), level).is_sound]
            expected = [] if strongest is None else list(Level)[: list(Level).index(strongest) + 1]
            self.assertEqual(expected, allowing, name)

    def test_they_are_written_as_they_are_read(self):
        for name in names():
            text = to_edn(recorded(name))
            self.assertEqual(text, to_edn(read_edn(text)))
            bare = [line for line in (FOLDER / f"{name}.edn").read_text().splitlines() if not line.startswith(";")]
            self.assertEqual(bare, text.splitlines())

    def test_the_text_tells_who_did_what(self):
        error = self.assertRaises(AssertionError, check(recorded("write_skew")).raise_if_broken)
        self.assertIn("G2-item (write skew): T0 -rw x: 1-> T1, T1 -rw y: 1-> T0", str(error))
        self.assertIn("T0 of process 0 (ok): read x as [], append 1 to y", str(error))


class Lists:
    """A database that runs one transaction after another."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.state = {}
        self.elements = 0

    def wanted(self):
        for _ in range(self.chance.randint(1, 4)):
            key = self.chance.choice("abcd")
            self.elements += 1
            yield self.chance.choice([Read(key), Append(key, self.elements)])

    def run(self, wanted):
        """Return the operations as they were done, and a function that stores them."""
        state = {key: list(elements) for key, elements in self.state.items()}
        done = []
        for each in wanted:
            if isinstance(each, Append):
                state.setdefault(each.key, []).append(each.element)
                done.append(each)
            else:
                done.append(Read(each.key, tuple(state.get(each.key, ()))))
        return done, state


class TestRandomHistories(testtools.TestCase):
    """Properties, over seeds that do not change."""

    def serial(self, seed, count=120, processes=5):
        """Return a history in which all overlap and each takes effect at one point in time."""
        lists, recorder, running = Lists(seed), Recorder(), {}
        chance = lists.chance
        for _ in range(count):
            process = chance.randrange(processes)
            if process not in running:
                wanted = list(lists.wanted())
                running[process] = [recorder.invoke(process, wanted), wanted, None, None]
                continue
            call, wanted, done, kind = running[process]
            if done is None:
                kind = chance.choices(list(Kind)[1:], (8, 1, 1))[0]
                done, state = lists.run(wanted)
                if kind is Kind.OK or (kind is Kind.INFO and chance.random() < 0.5):
                    lists.state = state
                running[process] = [call, wanted, done, kind]
            else:
                del running[process]
                recorder.write(Event(kind, process, tuple(done if kind is Kind.OK else call.operations)))
        for call, *_ in running.values():
            call.info()
        for key in lists.state:
            recorder.invoke(processes, [Read(key)]).ok([Read(key, tuple(lists.state[key]))])
        return recorder.history()

    def test_serial_executions_pass(self):
        for seed in range(200):
            check(self.serial(seed), Level.STRICT_SERIALIZABLE).raise_if_broken()

    def test_a_long_one_passes_without_recursion(self):
        history = self.serial(1, count=20_000, processes=10)
        check(history, Level.STRICT_SERIALIZABLE).raise_if_broken()

    def corrupted(self, seed, corrupt):
        """Return a serial history of which the last read of a list with two elements or more is changed."""
        events = list(self.serial(seed).events)
        for place in reversed(range(len(events))):
            event = events[place]
            for number, each in enumerate(event.operations):
                if event.kind is Kind.OK and isinstance(each, Read) and len(each.elements) > 1:
                    operations = list(event.operations)
                    operations[number] = Read(each.key, corrupt(each.elements))
                    events[place] = Event(event.kind, event.process, tuple(operations))
                    return History(events)
        raise AssertionError("no read of two elements")

    def test_every_corruption_is_found(self):
        for corrupt, anomalies in (
            (lambda seen: (*seen, seen[0]), {Anomaly.DUPLICATE_APPEND}),
            (lambda seen: (*seen, 10**9), {Anomaly.UNKNOWN_ELEMENT}),
            (lambda seen: (seen[1], seen[0], *seen[2:]), {Anomaly.INCOMPATIBLE_ORDER}),
            (lambda seen: seen[1:], {Anomaly.INCOMPATIBLE_ORDER}),
            (lambda seen: (), {Anomaly.LOST_APPEND, Anomaly.REAL_TIME}),
        ):
            for seed in range(30):
                found = check(self.corrupted(seed, corrupt), Level.STRICT_SERIALIZABLE).anomalies
                self.assertTrue(anomalies & found, f"{anomalies} {found}")

    def test_every_knot_has_a_name(self):
        """Whatever random readers claim to have seen, a history is either in some order or its fault is named."""
        for seed in range(300):
            chance, events = random.Random(seed), []
            orders = {key: list(range(1, 4)) for key in "xy"}
            owners = {(key, element): chance.randrange(4) for key in orders for element in orders[key]}
            for process in range(4):
                done = [Append(*each) for each, owner in owners.items() if owner == process]
                done += [Read(key, tuple(orders[key][: chance.randint(0, 3)])) for key in orders]
                chance.shuffle(done)
                events.append(Event(Kind.INVOKE, process, ()))
                events.append(Event(Kind.OK, process, tuple(done)))
            history = History(sorted(events, key=lambda each: each.kind is Kind.OK))
            self.assertEqual(self.has_an_order(history), check(history).is_sound, to_edn(history))

    def has_an_order(self, history):
        """Return whether the transactions give what they saw, run in any order one by one."""

        def fits(transaction, state):
            state = {key: list(elements) for key, elements in state.items()}
            for each in transaction.operations:
                if isinstance(each, Append):
                    state.setdefault(each.key, []).append(each.element)
                elif list(each.elements) != state.get(each.key, []):
                    return None
            return state

        def search(left, state):
            if not left:
                return True
            for each in left:
                after = fits(each, state)
                if after is not None and search([other for other in left if other is not each], after):
                    return True
            return False

        return search(list(history.transactions), {})


class TestHistories(testtools.TestCase):
    def test_what_is_no_history_is_refused(self):
        begun = Event(Kind.INVOKE, 1, ())
        for events, said in (
            ([begun, begun], "has not ended"),
            ([Event(Kind.OK, 1, ())], "has not begun"),
            ([Event(kind, at, (Append("x", 1),)) for at in (1, 2) for kind in (Kind.INVOKE, Kind.OK)], "both append"),
        ):
            self.assertIn(said, str(self.assertRaises(UsageError, History, events)))

    def test_text_that_is_no_history_is_refused(self):
        for text, said in (
            ("{:type :ok", "cut off"),
            ("]", "closes nothing"),
            ("{:type :maybe, :process 1, :value []}", "no event"),
            ("\n#inst", "line 2"),
        ):
            self.assertIn(said, str(self.assertRaises(UsageError, read_edn, text)))

    def test_a_vector_of_events_is_read_too(self):
        history = read_edn("[{:type :invoke :process 0 :value [[:append 5 1]]} {:type :info :process 0 :value []}]")
        self.assertEqual([Kind.INFO], [each.kind for each in history.transactions])

    def test_a_transaction_that_never_ended_is_unknown(self):
        recorder = Recorder()
        recorder.invoke(1, [Append("x", 1)])
        recorder.invoke(2, [Read("x")]).ok([Read("x", (1,))])
        self.assertEqual([Kind.INFO, Kind.OK], [each.kind for each in recorder.history().transactions])
        check(recorder.history()).raise_if_broken()

    def test_an_error_says_how_a_transaction_ended(self):
        for error, kind in (
            (DBDeadlock(), Kind.FAIL),
            (DBConnectionError(), Kind.FAIL),
            (CommitUnknown(), Kind.INFO),
            (ValueError(), Kind.FAIL),
            (KeyboardInterrupt(), Kind.INFO),
        ):
            self.assertIs(kind, kind_of(error), error)
