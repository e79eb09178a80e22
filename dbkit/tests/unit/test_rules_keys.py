"""What the servers' texts say of keys, with names and values that try to mislead."""

from __future__ import annotations

import testtools

from dbkit.backends.mysql.signature import columns_of_named_key
from dbkit.backends.postgresql.keys import read_key
from dbkit.tests.samples.rulesets import RULESETS


class PostgreSQLKeyTest(testtools.TestCase):
    def assert_key(self, detail, columns, value, table=None):
        key = read_key(detail)
        self.assertEqual((columns, value, table), (list(key.columns), key.value, key.table))

    def test_columns_and_values(self):
        self.assert_key("Key (a)=(1) already exists.", ["a"], "1")
        self.assert_key("Key (a, b)=(1, 2) already exists.", ["a", "b"], "1, 2")

    def test_quoted_names(self):
        self.assert_key('Key ("a, b", "c""d")=(1, 2) already exists.', ["a, b", 'c"d'], "1, 2")
        self.assert_key('Key ("a)=(b")=(1) already exists.', ["a)=(b"], "1")

    def test_expressions(self):
        self.assert_key("Key (lower(name), (id + 1))=(x, 2) already exists.", ["lower(name)", "(id + 1)"], "x, 2")
        self.assert_key("Key (COALESCE(a, 'x)'::text))=(x) already exists.", ["COALESCE(a, 'x)'::text)"], "x")
        self.assert_key("Key (f(a, b))=(x) already exists.", ["f(a, b)"], "x")

    def test_values_that_look_like_the_text_around_them(self):
        self.assert_key("Key (a)=(x)=(y already exists.) already exists.", ["a"], "x)=(y already exists.")
        self.assert_key('Key (a)=("q") already exists.', ["a"], '"q"')

    def test_table_at_the_other_end(self):
        self.assert_key('Key (pid)=(99) is not present in table "parent".', ["pid"], "99", "parent")
        self.assert_key('Key (id)=(1) is still referenced from table "child".', ["id"], "1", "child")

    def test_other_languages(self):
        self.assert_key("Schlüssel »(a, b)=(1, 2)« existiert bereits.", ["a", "b"], "1, 2")
        self.assert_key("Schlüssel (pid)=(9) ist nicht in Tabelle »parent« vorhanden.", ["pid"], "9", "parent")
        self.assert_key("La clé (id)=(1) n'est pas présente dans la table « parent ».", ["id"], "1", "parent")

    def test_text_without_a_key(self):
        for detail in ("", "Key is not present in table.", "(", "Key (a", "Key (a) b", "Failing row contains (1, 2)."):
            self.assertIsNone(read_key(detail), detail)


class MySQLKeyTest(testtools.TestCase):
    def test_name_that_proves_its_columns(self):
        self.assertEqual(["a"], columns_of_named_key("uniq_server0a", None))
        self.assertEqual(["name", "host"], columns_of_named_key("uniq_server0name0host", None))
        self.assertEqual(["name", "col_2"], columns_of_named_key("uniq_server0name0col_2", None))

    def test_name_that_could_be_read_in_two_ways_is_not_read(self):
        for name in (
            "uniq_t0col_100b",
            "uniq_t0col_10",
            "uniq_t0a00b",
            "uniq_ipv40name",
            "uniq_t0a05",
            "uniq_t",
            "uniq_t0",
        ):
            self.assertEqual([], columns_of_named_key(name, None), name)

    def test_known_table_settles_where_the_columns_begin(self):
        self.assertEqual(["name"], columns_of_named_key("uniq_ipv40name", "ipv4"))
        self.assertEqual([], columns_of_named_key("uniq_other0name", "server"))

    def test_other_names_say_nothing(self):
        for name in ("PRIMARY", "name", "unique_server0name", ""):
            self.assertEqual([], columns_of_named_key(name, None), name)

    def fields(self, number, text):
        return RULESETS["mysql"].classify(Exception(number, text)).fields

    def test_key_as_mysql_8_writes_it(self):
        fields = self.fields(1062, "Duplicate entry 'a-b' for key 'server.uniq_server0name0host'")
        self.assertEqual(("server", "uniq_server0name0host"), (fields["table"], fields["constraint"]))
        self.assertEqual(["name", "host"], fields["columns"])
        self.assertEqual("a-b", fields["value"])

    def test_primary_key_has_no_columns_to_tell(self):
        self.assertNotIn("columns", self.fields(1062, "Duplicate entry '1' for key 'parent.PRIMARY'"))

    def test_value_that_looks_like_the_text_around_it(self):
        fields = self.fields(1062, "Duplicate entry 'x' for key 'PRIMARY' for key 'name'")
        self.assertEqual(("name", "x' for key 'PRIMARY"), (fields["constraint"], fields["value"]))

    def test_foreign_key_in_another_database(self):
        fields = self.fields(
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`a`.`t`, CONSTRAINT `fk` FOREIGN KEY "
            "(`x`, `y, z`) REFERENCES `b`.`p` (`i`, `j`) ON DELETE CASCADE)",
        )
        self.assertEqual(("t", "fk", "p"), (fields["table"], fields["constraint"], fields["key_table"]))
        self.assertEqual(["x", "y, z"], fields["columns"])
        self.assertEqual("x, y, z", fields["key"])

    def test_text_that_the_server_cut_short_tells_what_is_left(self):
        fields = self.fields(1452, "Cannot add or update a child row: a foreign key constraint fails (`a`.`t`, CONSTR")
        self.assertEqual("t", fields["table"])

    def test_text_in_another_language_leaves_the_class_and_takes_the_fields(self):
        self.assertEqual({"errno": 1048}, self.fields(1048, "Feld 'n' darf nicht NULL sein"))
