"""What a MySQL template must bring back: every kind of object, and every kind of value to the last bit."""

from __future__ import annotations

from dbkit.exceptions import UsageError
from dbkit.testing.provision import Schema
from dbkit.tests.contract.provision_cases import ProvisionCase

ODD = "a`b %s :x ü ; --"
QUOTED = "`a``b %s :x ü ; --`"

VALUES = f"""
CREATE TABLE {QUOTED} (
  id INTEGER PRIMARY KEY AUTO_INCREMENT, `t``ext %d :y` TEXT, l1 VARCHAR(20) CHARACTER SET latin1, b LONGBLOB,
  f FLOAT, d DOUBLE, n DECIMAL(30, 10), bits BIT(11), e ENUM('a', 'b''c'), s SET('x', 'y'), day DATE,
  ts TIMESTAMP(6) NULL, tm TIME(3), y YEAR, js JSON, g POINT, u BIGINT UNSIGNED,
  doubled INTEGER AS (y * 2) STORED, v INTEGER AS (y + 1) VIRTUAL
) COMMENT = ') ENGINE=x AUTO_INCREMENT=77 '"""

ROWS = (
    f"INSERT INTO {QUOTED} (id, `t``ext %d :y`, l1, b, f, d, n, bits, e, s, day, ts, tm, y, js, g, u) VALUES "
    "(-3, 'It''s \\\\ \\n \\0 🐍 % :z', 'Grün', x'00ff27225c0a1a', 1.1, 0.1 + 0.2e0, "
    "12345678901234567890.0123456789, b'101', 'b''c', 'x,y', "
    "'2026-02-28', '2026-03-29 02:30:00.123456', '-12:34:56.789', 2026, '{\"a\": [1, null, \"ü\"]}', "
    "POINT(1, 2.5), 18446744073709551615)",
    f"INSERT INTO {QUOTED} (id) VALUES (0)",
    f"INSERT INTO {QUOTED} (id, `t``ext %d :y`, b, f, d) VALUES (40, '', '', 3.4e38, -1.7976931348623157e308)",
)


class DumpTestCase(ProvisionCase):
    product = "mariadb"

    def built(self, *statements, compare=()):
        """Return a clone of a database built by these statements, and what the queries found in the original."""
        found = []

        def build(connection):
            cursor = connection.connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            for query in compare:
                cursor.execute(query)
                found.append(cursor.fetchall())
            cursor.close()
            connection.connection.commit()

        template = self.template(Schema(build=build, version=self.id()))
        return self.clone(template), found

    def read(self, database, query):
        with database.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(query)
            return cursor.fetchall()


class TestValues(DumpTestCase):
    def test_each_type_keeps_its_value(self):
        queries = (
            f"SELECT * FROM {QUOTED} ORDER BY id",
            f"SELECT HEX(b), HEX(l1), f + 0e0, d, CAST(bits AS UNSIGNED), ts + 0, HEX(g) FROM {QUOTED} ORDER BY id",
            f"CHECKSUM TABLE {QUOTED} EXTENDED",
        )
        mode = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
        database, originals = self.built(mode, VALUES, *ROWS, compare=queries)
        for query, original in zip(queries[:2], originals[:2], strict=True):
            self.assertEqual(original, self.read(database, query))
        self.assertEqual(originals[2][0][1], self.read(database, queries[2])[0][1])

    def test_the_counter_goes_on(self):
        database, _ = self.built("SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", VALUES, *ROWS)
        self.read(database, f"INSERT INTO {QUOTED} (f) VALUES (1)")
        self.assertEqual(((41,),), self.read(database, f"SELECT max(id) FROM {QUOTED}"))

    def test_the_rows_come_back_when_it_is_emptied(self):
        query = f"SELECT * FROM {QUOTED} ORDER BY id"
        database, (original,) = self.built(
            "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", VALUES, *ROWS, compare=[query]
        )
        self.read(database, f"UPDATE {QUOTED} SET f = NULL, b = 'x'")
        database.empty()
        self.assertEqual(original, self.read(database, query))

    def test_large_values_and_many_rows(self):
        database, _ = self.built(
            "CREATE TABLE big (id INTEGER PRIMARY KEY AUTO_INCREMENT, body LONGBLOB, text LONGTEXT)",
            "INSERT INTO big (body) VALUES (REPEAT(x'00ff', 1500000))",
            "INSERT INTO big (text) VALUES (REPEAT('ü''', 500000))",
            "INSERT INTO big (text) SELECT REPEAT('x', 300) FROM seq_1_to_5000",
        )
        self.assertEqual(
            ((5002, 3000000, 1000000),),
            self.read(database, "SELECT count(*), max(LENGTH(body)), max(CHAR_LENGTH(text)) FROM big"),
        )
        self.assertEqual(((3000000,),), self.read(database, "SELECT LENGTH(body) FROM big WHERE body LIKE x'00ff0025'"))

    def test_a_row_that_the_server_cannot_write_down_is_an_error(self):
        half = "REPEAT('x', @@max_allowed_packet DIV 2 + 10)"
        error = self.assertRaises(
            UsageError, self.built, "CREATE TABLE big (body LONGBLOB)", f"INSERT INTO big VALUES ({half})"
        )
        self.assertIn("'big'", str(error))
        self.assertIn("max_allowed_packet", str(error))


class TestObjects(DumpTestCase):
    OBJECTS = (
        "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3",
        "SELECT NEXT VALUE FOR numbers",
        "CREATE TABLE a (id INTEGER PRIMARY KEY DEFAULT (NEXT VALUE FOR numbers), b_id INTEGER)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id))",
        "ALTER TABLE a ADD CONSTRAINT a_b FOREIGN KEY (b_id) REFERENCES b (id)",
        "INSERT INTO a (id) VALUES (1)",
        "INSERT INTO b VALUES (1, 1)",
        "UPDATE a SET b_id = 1",
        "CREATE FUNCTION twice(n INTEGER) RETURNS INTEGER DETERMINISTIC BEGIN DECLARE m INTEGER; "
        "SET m = n * 2; -- it is so\n RETURN m; END",
        "CREATE PROCEDURE fill() BEGIN INSERT INTO a (id) VALUES (100); INSERT INTO a (id) VALUES (101); END",
        "CREATE VIEW z AS SELECT id, twice(id) AS double_id FROM a",
        "CREATE VIEW a_on_z AS SELECT double_id FROM z",
        "CREATE TRIGGER one BEFORE INSERT ON b FOR EACH ROW SET NEW.a_id = NULL",
        "CREATE TRIGGER two BEFORE INSERT ON b FOR EACH ROW FOLLOWS one SET NEW.a_id = 1",
        "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'",
        "CREATE FUNCTION joined() RETURNS TEXT DETERMINISTIC RETURN 'a' || 'b'",
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM a",
    )

    def test_each_is_there_and_works(self):
        database, _ = self.built(*self.OBJECTS)
        self.assertEqual(((2,),), self.read(database, "SELECT double_id FROM a_on_z"))
        self.assertEqual((("ab",),), self.read(database, "SELECT joined()"))
        self.read(database, "INSERT INTO b VALUES (2, NULL)")
        self.assertEqual(((1,),), self.read(database, "SELECT a_id FROM b WHERE id = 2"))
        self.read(database, "INSERT INTO a (b_id) VALUES (1)")
        self.assertEqual(((True,),), self.read(database, "SELECT max(id) >= 8 FROM a"))
        self.read(database, "CALL fill()")
        self.assertEqual((("nightly",),), self.read(
            database, "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"
        ))  # fmt: skip
        self.assertTrue(database.is_as_built())

    def test_a_circle_of_foreign_keys_is_emptied(self):
        database, _ = self.built(*self.OBJECTS)
        self.read(database, "CALL fill()")
        self.read(database, "INSERT INTO b VALUES (2, NULL)")
        database.empty(restart_sequences=True)
        self.assertEqual(((1, 1),), self.read(database, "SELECT id, b_id FROM a"))
        self.assertEqual(((1, 1),), self.read(database, "SELECT id, a_id FROM b"))
        self.assertTrue(database.is_as_built())

    def test_no_name_of_the_first_database_stays_in_it(self):
        database, _ = self.built(*self.OBJECTS)
        (dump,) = self.cache.glob("*.json")
        self.assertNotIn("dbkit_build", dump.read_text())
        self.assertNotIn("DEFINER=", dump.read_text().replace("SQL SECURITY DEFINER", ""))

    def test_all_of_them_can_be_dropped(self):
        database, _ = self.built(*self.OBJECTS)
        database.drop_all_objects()
        for table, column in (
            ("TABLES", "TABLE"),
            ("ROUTINES", "ROUTINE"),
            ("EVENTS", "EVENT"),
            ("TRIGGERS", "TRIGGER"),
        ):
            query = f"SELECT count(*) FROM information_schema.{table} WHERE {column}_SCHEMA = DATABASE()"
            self.assertEqual(((0,),), self.read(database, query))

    def test_changes_of_code_are_noticed(self):
        database, _ = self.built(*self.OBJECTS)
        for change in (
            "DROP EVENT nightly",
            "DROP PROCEDURE fill",
            "CREATE OR REPLACE VIEW z AS SELECT id, 0 AS double_id FROM a",
            "ALTER TABLE a ADD COLUMN c BIGINT",
        ):
            self.assertTrue(database.is_as_built())
            self.read(database, change)
            self.assertFalse(database.is_as_built(), change)
            database.reset()
