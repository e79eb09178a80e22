"""What the fault proxy understands of MySQL's protocol, whatever the pieces in which it comes."""

from __future__ import annotations

import struct

import testtools

from dbkit.testing.faults.dialogue import Unreadable
from dbkit.testing.faults.mysql import MySQL
from dbkit.tests.faults.speech import (
    CACHE_METADATA,
    COLUMN,
    COMPRESS,
    CURSOR_EXISTS,
    DEPRECATE_EOF,
    LONG_PASSWORD,
    MORE_RESULTS,
    REFUSAL,
    SIZES,
    SSL,
    com_query,
    command,
    eof,
    greeting,
    handshake,
    ok,
    packets,
    pieces,
    table,
)


class Conversation(testtools.TestCase):
    """Feeds both sides of a conversation to a parser, in every way of splitting."""

    def told(self, *turns, capabilities=LONG_PASSWORD, every=True):
        """Return what was asked for, and completed, in its order: the same for all ways of splitting.

        :param turns: what the client (first, third, ...) and the server (second, ...) say; the server in payloads.
        """
        results = [self._told(turns, size, capabilities) for size in (SIZES if every else (0,))]
        for result in results:
            self.assertEqual(results[0], result)
        return results[0]

    def _told(self, turns, size, capabilities):
        parser, story = MySQL(), []
        list(parser.from_server(greeting()))
        list(parser.from_client(handshake(capabilities)))
        list(parser.from_server(packets(2, ok())))
        for number, turn in enumerate(turns):
            data = packets(1, *turn) if number % 2 else turn
            passed, parts = b"", pieces(data, size)
            for part in parts:
                for each in parser.from_server(part) if number % 2 else parser.from_client(part):
                    passed += each.data
                    if not number % 2 and each.operation is not None:
                        story.append(f"asked {each.operation.text or min(each.operation.names)}")
                    story += [f"completed {one.text or min(one.names)}" for one in each.completes]
            self.assertEqual(data, passed)
        return story

    def assert_answered(self, *turns, **arguments):
        """Assert that a COMMIT that follows the turns is told apart."""
        told = self.told(*turns, com_query("COMMIT"), [ok()], **arguments)
        self.assertEqual(["asked COMMIT", "completed COMMIT"], told[-2:])
        return told[:-2]


class TestConnect(testtools.TestCase):
    def test_it_begins_before_the_client_has_said_anything(self):
        self.assertEqual({"connect"}, MySQL().opening().names)

    def test_it_ends_with_ok_or_an_error_after_any_questions(self):
        for end in (ok(), REFUSAL):
            parser = MySQL()
            pieces = list(parser.from_server(greeting()))
            list(parser.from_client(handshake()))
            pieces += parser.from_server(packets(2, b"\xfemysql_native_password\0salt"))
            list(parser.from_client(packets(3, b"scramble")))
            pieces += parser.from_server(packets(4, end))
            self.assertEqual([True, True, False], [piece.is_question for piece in pieces])
            self.assertEqual([(), (), (parser.opening(),)], [piece.completes for piece in pieces])

    def test_a_greeting_that_is_an_error_ends_it(self):
        parser = MySQL()
        (piece,) = parser.from_server(packets(0, REFUSAL))
        self.assertEqual((parser.opening(),), piece.completes)

    def test_encryption_and_compression_are_not_offered(self):
        def capabilities(data):
            place = data.index(b"\0", 5) + 14
            low, high = struct.unpack_from("<H", data, place)[0], struct.unpack_from("<H", data, place + 5)[0]
            return low | high << 16

        (piece,) = MySQL().from_server(greeting())
        left = capabilities(piece.data)
        self.assertEqual(0xFFFFFFFF & ~(COMPRESS | SSL | 1 << 26 | 1 << 27), left)
        self.assertEqual(len(greeting()), len(piece.data))

    def test_a_client_that_insists_on_tls_is_told(self):
        parser = MySQL()
        list(parser.from_server(greeting()))
        self.assertRaises(Unreadable, lambda: list(parser.from_client(packets(1, bytes(32)))))


class TestCommands(Conversation):
    def test_a_query_is_complete_with_ok_or_an_error(self):
        for end in (ok(), REFUSAL):
            self.assertEqual(["asked COMMIT", "completed COMMIT"], self.told(com_query("COMMIT"), [end]))

    def test_a_table_is_complete_with_its_end(self):
        for capabilities in (LONG_PASSWORD, LONG_PASSWORD | DEPRECATE_EOF):
            for rows in (0, 3):
                told = self.told(com_query("SELECT 2"), table(rows, 2, capabilities), capabilities=capabilities)
                self.assertEqual(["asked SELECT 2", "completed SELECT 2"], told)

    def test_an_error_in_the_middle_of_a_table_ends_it(self):
        self.assert_answered(com_query("SELECT 2"), [*table(2)[:-1], REFUSAL])

    def test_several_results_are_one_answer(self):
        results = [*table(1, status=MORE_RESULTS | 2), ok(MORE_RESULTS | 2), ok()]
        told = self.assert_answered(com_query("SELECT 2; INSERT INTO t VALUES (1); COMMIT"), results)
        self.assertEqual(2, len(told))

    def test_several_results_end_with_an_error(self):
        self.assert_answered(com_query("INSERT INTO t VALUES (1); COMMIT"), [ok(MORE_RESULTS | 2), REFUSAL])

    def test_a_prepared_statement_has_the_text_of_its_preparation(self):
        for capabilities in (LONG_PASSWORD, LONG_PASSWORD | DEPRECATE_EOF):
            ends = [] if capabilities & DEPRECATE_EOF else [eof()]
            prepared = b"\0" + struct.pack("<IHHBH", 7, 1, 2, 0, 0)
            told = self.told(
                command(0x16, b"INSERT INTO t VALUES (?, ?)"),
                [prepared, COLUMN, COLUMN, *ends, COLUMN, *ends],
                command(0x17, struct.pack("<IBI", 7, 0, 1)),
                [ok()],
                command(0x19, struct.pack("<I", 7)) + com_query("COMMIT"),
                [ok()],
                capabilities=capabilities,
            )
            text = "INSERT INTO t VALUES (?, ?)"
            self.assertEqual([f"asked {text}", f"completed {text}", "asked COMMIT", "completed COMMIT"], told)

    def test_a_commit_that_was_prepared_is_a_commit(self):
        told = self.told(
            command(0x16, b"COMMIT"),
            [b"\0" + struct.pack("<IHHBH", 1, 0, 0, 0, 0)],
            command(0x17, bytes([1, 0, 0, 0] + [0] * 5)),
            [ok()],
        )
        self.assertEqual(["asked COMMIT", "completed COMMIT"], told)

    def test_preparing_and_executing_in_one_go(self):
        told = self.told(
            command(0x16, b"COMMIT") + command(0x17, b"\xff\xff\xff\xff" + bytes(5)),
            [b"\0" + struct.pack("<IHHBH", 1, 0, 0, 0, 0), ok()],
        )
        self.assertEqual(["asked COMMIT", "completed COMMIT"], told)

    def test_a_cursor_has_its_rows_fetched(self):
        self.assert_answered(
            command(0x16, b"SELECT 2"),
            [b"\0" + struct.pack("<IHHBH", 1, 1, 0, 0, 0), COLUMN, eof()],
            command(0x17, bytes([1, 0, 0, 0, 1] + [0] * 4)),
            [b"\x01", COLUMN, eof(CURSOR_EXISTS)],
            command(0x1C, bytes([1, 0, 0, 0, 1, 0, 0, 0])),
            [b"\0\0\x011", eof()],
        )

    def test_columns_that_the_client_knows_are_not_sent_again(self):
        capabilities = CACHE_METADATA | DEPRECATE_EOF
        self.assert_answered(
            command(0x16, b"SELECT 2"),
            [b"\0" + struct.pack("<IHHBH", 1, 1, 0, 0, 0), COLUMN],
            command(0x17, bytes([1, 0, 0, 0, 0] + [0] * 4)),
            [b"\x01\x00", b"\0\0\x011", ok(header=0xFE)],
            capabilities=capabilities,
        )

    def test_other_commands(self):
        self.assertEqual(["asked ping", "completed ping"], self.assert_answered(command(0x0E), [ok()]))
        self.assertEqual(["asked USE `app`", "completed USE `app`"], self.assert_answered(command(2, b"app"), [ok()]))
        self.assertEqual([], self.assert_answered(command(0x1F), [ok()]))
        self.assertEqual([], self.assert_answered(command(0x09), [b"Uptime: 1"]))
        self.assertEqual(["asked quit", "completed quit"], self.told(command(1)))

    def test_progress_is_no_error(self):
        self.assert_answered(com_query("ALTER TABLE t ADD x INT"), [b"\xff\xff\xff\x01\x01\x02", ok()])

    def test_a_file_of_the_client_is_no_command(self):
        told = self.assert_answered(
            com_query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"), [b"\xfba"],
            packets(2, b"\x03COMMIT", b""), [],
            b"", [ok()],
        )  # fmt: skip
        self.assertEqual(2, len(told))

    def test_a_row_and_a_statement_of_several_packets(self):
        long = b"x" * 0xFFFFFF
        result = [b"\x01", COLUMN, eof(), b"\xfd\xff\xff\xff" + long, b"\xfe" + long, eof()]
        told = self.assert_answered(com_query("SELECT 2"), result, every=False)
        self.assertEqual(2, len(told))
        text = f"INSERT INTO t VALUES ('{'x' * 0xFFFFFF}'); COMMIT"
        told = self.told(com_query(text), [ok()], every=False)
        self.assertEqual([f"asked {text}", f"completed {text}"], told)
