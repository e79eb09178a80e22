"""What the fault proxy understands of PostgreSQL's protocol, whatever the pieces in which it comes."""

from __future__ import annotations

import testtools

from dbkit.testing.faults.dialogue import Unreadable
from dbkit.testing.faults.postgresql import PostgreSQL
from dbkit.tests.faults.speech import (
    ASKS_PASSWORD,
    BOUND,
    COLUMNS,
    ERROR,
    FLUSH,
    NO_DATA,
    NOTICE,
    PARSED,
    PASSWORD,
    READY,
    ROW,
    SIZES,
    SYNC,
    WELCOME,
    bind,
    describe,
    done,
    execute,
    parse,
    pg,
    pieces,
    query,
    startup,
)


class Conversation(testtools.TestCase):
    """Feeds both sides of a conversation to a parser, in every way of splitting."""

    def told(self, *turns, started=True):
        """Return what was asked for, and completed, in its order: the same for all ways of splitting.

        :param turns: what the client (first, third, ...) and the server (second, ...) say.
        """
        results = [self._told(turns, size, started) for size in SIZES]
        for result in results:
            self.assertEqual(results[0], result)
        return results[0]

    def _told(self, turns, size, started):
        parser, story = PostgreSQL(), []
        if started:
            turns = (startup(), WELCOME, *turns)
        for number, turn in enumerate(turns):
            passed, parts = b"", pieces(turn, size)
            for part in parts:
                for each in parser.from_server(part) if number % 2 else parser.from_client(part):
                    passed += each.data
                    if not number % 2 and each.operation is not None:
                        story.append(f"asked {each.operation.text or min(each.operation.names)}")
                        passed += each.answer
                    story += [f"completed {one.text or min(one.names)}" for one in each.completes]
            if b"\x04\xd2\x16\x2f" not in turn:
                self.assertEqual(turn, passed)
        return story[2:] if started else story


class TestConnect(Conversation):
    def test_it_ends_with_the_first_ready(self):
        told = self.told(startup(), ASKS_PASSWORD, PASSWORD, WELCOME, started=False)
        self.assertEqual(["asked connect", "completed connect"], told)

    def test_it_ends_with_an_error(self):
        self.assertEqual(["asked connect", "completed connect"], self.told(startup(), ERROR, started=False))

    def test_the_client_must_see_the_servers_questions(self):
        parser = PostgreSQL()
        list(parser.from_client(startup()))
        self.assertEqual([True], [piece.is_question for piece in parser.from_server(ASKS_PASSWORD)])
        self.assertEqual([False], [piece.is_question for piece in parser.from_server(WELCOME)])

    def test_encryption_is_refused_in_the_servers_place(self):
        parser = PostgreSQL()
        for code in (80877103, 80877104):
            (frame,) = parser.from_client(startup(code))
            self.assertEqual((b"", b"N", None), (frame.data, frame.answer, frame.operation))
        (frame,) = parser.from_client(startup())
        self.assertEqual(startup(), frame.data)

    def test_a_cancel_request_is_passed_on_and_is_no_connect(self):
        (frame,) = PostgreSQL().from_client(startup(80877102))
        self.assertEqual({"cancel"}, frame.operation.names)
        self.assertEqual(startup(80877102), frame.data)

    def test_what_is_no_postgresql_is_told(self):
        for data in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n", startup(131072)):
            self.assertRaises(Unreadable, lambda data=data: list(PostgreSQL().from_client(data)))


class TestStatements(Conversation):
    def test_a_simple_query_is_complete_when_the_server_is_ready(self):
        told = self.told(query("COMMIT"), done("COMMIT") + READY, query("SELECT 2"), COLUMNS + ROW + done("S") + READY)
        self.assertEqual(["asked COMMIT", "completed COMMIT", "asked SELECT 2", "completed SELECT 2"], told)

    def test_a_notice_and_an_error_belong_to_the_answer(self):
        self.assertEqual(["asked COMMIT", "completed COMMIT"], self.told(query("COMMIT"), NOTICE + ERROR + READY))

    def test_an_execute_has_the_text_of_its_statement(self):
        told = self.told(
            parse("COMMIT") + bind() + describe() + execute() + SYNC, PARSED + BOUND + NO_DATA + done("COMMIT") + READY
        )
        self.assertEqual(["asked COMMIT", "completed COMMIT"], told)

    def test_a_named_statement_keeps_its_text(self):
        told = self.told(
            parse("INSERT INTO t VALUES ($1)", "s1") + describe() + FLUSH,
            PARSED + NO_DATA,
            bind("s1", "p") + execute("p") + SYNC,
            BOUND + done("INSERT 0 1") + READY,
            bind("s1") + execute() + SYNC,
            BOUND + done("INSERT 0 1") + READY,
        )
        text = "INSERT INTO t VALUES ($1)"
        self.assertEqual([f"asked {text}", f"completed {text}"] * 2, told)

    def test_a_pipeline_is_complete_when_the_server_is_ready(self):
        told = self.told(
            b"".join(parse(text) + bind() + execute() for text in ("BEGIN", "COMMIT")) + SYNC,
            (PARSED + BOUND + done("X")) * 2 + READY,
        )
        self.assertEqual(["asked BEGIN", "asked COMMIT", "completed BEGIN", "completed COMMIT"], told)

    def test_several_round_trips_on_their_way_are_told_apart(self):
        told = self.told(
            b"".join(parse(text) + bind() + execute() + SYNC for text in ("BEGIN", "COMMIT")),
            (PARSED + BOUND + done("X") + READY) * 2,
        )
        self.assertEqual(["asked BEGIN", "asked COMMIT", "completed BEGIN", "completed COMMIT"], told)

    def test_flushed_it_is_complete_with_its_own_end(self):
        told = self.told(parse("COMMIT") + bind() + execute() + FLUSH, PARSED + BOUND + done("COMMIT"), SYNC, READY)
        self.assertEqual(["asked COMMIT", "completed COMMIT"], told)

    def test_what_the_server_skips_after_an_error_is_not_completed(self):
        told = self.told(
            b"".join(parse(text) + bind() + execute() for text in ("INSERT", "COMMIT")) + SYNC,
            PARSED + BOUND + ERROR + READY,
            query("ROLLBACK"),
            done("ROLLBACK") + READY,
        )
        self.assertEqual(
            ["asked INSERT", "asked COMMIT", "completed INSERT", "asked ROLLBACK", "completed ROLLBACK"], told
        )

    def test_the_answer_of_an_execute_includes_what_prepares_it(self):
        parser = PostgreSQL()
        list(parser.from_client(startup()))
        list(parser.from_server(WELCOME))
        asked = [each.operation for each in parser.from_client(parse("COMMIT") + bind() + execute() + SYNC)]
        pieces = list(parser.from_server(PARSED + BOUND + done("COMMIT") + READY))
        self.assertEqual([asked[-1]], [piece.operation for piece in pieces])

    def test_a_copy_in_does_not_lose_the_thread(self):
        told = self.told(
            parse("COPY t FROM STDIN") + bind() + execute() + SYNC,  # the server ignores this Sync
            PARSED + BOUND + pg("G", b"\0\0\0"),
            pg("d", b"1\n") + SYNC + pg("c") + SYNC,
            done("COPY 1") + READY,
            query("COPY t FROM STDIN; COMMIT"),
            pg("G", b"\0\0\0"),
            pg("d", b"1\n") + pg("c"),
            done("COPY 1") + done("COMMIT") + READY,
            query("COMMIT"),
            done("COMMIT") + READY,
        )
        texts = ("COPY t FROM STDIN", "COPY t FROM STDIN; COMMIT", "COMMIT")
        self.assertEqual([f"{what} {text}" for text in texts for what in ("asked", "completed")], told)

    def test_a_copy_out_and_rows_pass(self):
        told = self.told(
            query("COPY t TO STDOUT"), pg("H", b"\0\0\0") + pg("d", b"1") * 3 + pg("c") + done("C") + READY
        )
        self.assertEqual(2, len(told))

    def test_a_farewell_waits_for_nothing(self):
        self.assertEqual(["asked quit", "completed quit"], self.told(pg("X")))
