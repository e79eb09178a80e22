"""What the compiler makes of statements over guarded tables, word for word."""

from __future__ import annotations

import testtools
from sqlalchemy import (
    DDL,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    lateral,
    literal_column,
    select,
    table,
    tablesample,
    text,
    union_all,
    update,
)
from sqlalchemy import column as plain_column
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql import quoted_name

import dbkit
from dbkit.exceptions import BlindUpdate, FilterError, UnknownRule
from dbkit.filters.compiler import install, switch_off
from dbkit.filters.marks import Removal, Rule, guard, set_removal, set_version
from dbkit.filters.options import BlindUpdate as BlindOption

METADATA = MetaData()
OWNER = Table(
    "fc_owner", METADATA, Column("id", Integer, primary_key=True), Column("name", String(20)), Column("dead", Integer)
)
PET = Table(
    "fc_pet", METADATA, Column("id", Integer, primary_key=True), Column("owner_id", ForeignKey("fc_owner.id")),
    Column("dead", Integer), Column("touched", Integer, onupdate=lambda: 1), Column("version", Integer),
)  # fmt: skip
FREE = Table("fc_free", METADATA, Column("id", Integer, primary_key=True), Column("owner_id", Integer))
SCHEMED = Table("fc_far", METADATA, Column("id", Integer, primary_key=True), Column("dead", Integer), schema="far")

RULE = Rule("living", lambda each: each.c.dead == literal_column("0"))
REMOVAL = Removal("living", lambda each: {"dead": each.c.id}, lambda each: {"dead": literal_column("0")})
for _table in (OWNER, PET, SCHEMED):
    guard(_table, RULE)
    set_removal(_table, REMOVAL)
set_version(PET, PET.c.version)


class Compiling(testtools.TestCase):
    def dialect(self, product=sqlite, off=()):
        found = product.dialect()
        install(found)
        if off:
            switch_off(found, frozenset(off))
        return found

    def sql(self, statement, product=sqlite, off=(), **kw):
        compiled = statement.compile(dialect=self.dialect(product, off), compile_kwargs={"literal_binds": True}, **kw)
        return " ".join(str(compiled).split())

    def ends(self, expected, statement, *args, **kw):
        found = self.sql(statement, *args, **kw)
        self.assertTrue(found.endswith(expected), found)


class TestReading(Compiling):
    def test_a_table_that_has_no_rules_is_left_alone(self):
        self.assertEqual("SELECT fc_free.id, fc_free.owner_id FROM fc_free", self.sql(select(FREE)))

    def test_the_rule_goes_into_where(self):
        self.ends(
            "FROM fc_owner WHERE fc_owner.name = 'a' AND fc_owner.dead = 0", select(OWNER).where(OWNER.c.name == "a")
        )

    def test_an_alias_obeys_by_its_own_name(self):
        self.ends("FROM fc_owner AS o WHERE o.dead = 0", select(OWNER.alias("o")))

    def test_both_sides_of_an_inner_join_obey_in_where(self):
        joined = OWNER.join(PET, OWNER.c.id == PET.c.owner_id)
        self.ends(
            "FROM fc_owner JOIN fc_pet ON fc_owner.id = fc_pet.owner_id WHERE fc_owner.dead = 0 AND fc_pet.dead = 0",
            select(OWNER.c.id).select_from(joined),
        )

    def test_the_nullable_side_of_an_outer_join_obeys_in_on(self):
        joined = OWNER.outerjoin(PET, OWNER.c.id == PET.c.owner_id)
        self.ends(
            "FROM fc_owner LEFT OUTER JOIN fc_pet ON fc_owner.id = fc_pet.owner_id AND fc_pet.dead = 0 "
            "WHERE fc_owner.dead = 0",
            select(OWNER.c.id).select_from(joined),
        )

    def test_an_or_in_on_keeps_its_brackets(self):
        joined = OWNER.outerjoin(PET, (OWNER.c.id == PET.c.owner_id) | (PET.c.id == 3))
        self.ends(
            "ON (fc_owner.id = fc_pet.owner_id OR fc_pet.id = 3) AND fc_pet.dead = 0 WHERE fc_owner.dead = 0",
            select(OWNER.c.id).select_from(joined),
        )

    def test_a_join_inside_the_nullable_side_obeys_in_the_outer_on(self):
        inner = FREE.join(PET, FREE.c.id == PET.c.id)
        joined = OWNER.outerjoin(inner, OWNER.c.id == FREE.c.owner_id)
        self.ends(
            "FROM fc_owner LEFT OUTER JOIN (fc_free JOIN fc_pet ON fc_free.id = fc_pet.id) "
            "ON fc_owner.id = fc_free.owner_id AND fc_pet.dead = 0 WHERE fc_owner.dead = 0",
            select(OWNER.c.id).select_from(joined),
        )

    def test_an_outer_join_inside_the_nullable_side_obeys_in_its_own_on(self):
        inner = OWNER.outerjoin(PET, OWNER.c.id == PET.c.owner_id)
        joined = FREE.outerjoin(inner, FREE.c.owner_id == OWNER.c.id)
        self.ends(
            "FROM fc_free LEFT OUTER JOIN (fc_owner LEFT OUTER JOIN fc_pet ON fc_owner.id = fc_pet.owner_id "
            "AND fc_pet.dead = 0) ON fc_free.owner_id = fc_owner.id AND fc_owner.dead = 0",
            select(FREE.c.id).select_from(joined),
        )

    def test_a_full_join_joins_what_is_seen(self):
        joined = FREE.join(PET.alias("p"), FREE.c.id == PET.alias("p").c.id, full=True)
        found = self.sql(select(FREE.c.id).select_from(joined))
        self.assertIn("FULL OUTER JOIN (SELECT p.id AS id,", found)
        self.assertIn("FROM fc_pet AS p WHERE p.dead = 0) AS p ON", found)

    def test_a_full_join_of_a_table_with_a_schema_is_refused(self):
        joined = FREE.join(SCHEMED, FREE.c.id == SCHEMED.c.id, full=True)
        error = self.assertRaises(FilterError, self.sql, select(FREE.c.id).select_from(joined))
        self.assertIn("'fc_far'", str(error))

    def test_every_select_inside_obeys(self):
        living = "WHERE fc_pet.dead = 0"
        for statement in (
            select(select(PET.c.id).subquery()), select(select(PET.c.id).cte("x")),
            select(select(func.count(PET.c.id)).scalar_subquery()), union_all(select(PET.c.id), select(FREE.c.id)),
            select(exists(select(PET.c.id))), select(FREE).where(FREE.c.id.in_(select(PET.c.id))),
            insert(FREE).from_select(["id"], select(PET.c.id)),
            update(FREE).values(owner_id=select(func.max(PET.c.id)).scalar_subquery()),
            delete(FREE).where(FREE.c.id.in_(select(PET.c.id))), select(lateral(select(PET.c.id))),
        ):  # fmt: skip
            self.assertIn(living, self.sql(statement, postgresql), str(statement))

    def test_what_is_correlated_obeys_where_it_comes_from(self):
        inner = select(func.count(FREE.c.id)).where(FREE.c.owner_id == OWNER.c.id).scalar_subquery()
        found = self.sql(select(OWNER.c.id, inner))
        self.assertEqual(1, found.count("dead"))
        self.assertTrue(found.endswith("FROM fc_owner WHERE fc_owner.dead = 0"), found)

    def test_a_recursive_cte_obeys_in_both_parts(self):
        tree = select(PET.c.id).cte("tree", recursive=True)
        tree = tree.union_all(select(PET.c.id).join(tree, PET.c.owner_id == tree.c.id))
        self.assertEqual(2, self.sql(select(tree)).count("fc_pet.dead = 0"))

    def test_a_sample_obeys(self):
        self.ends("WHERE s.dead = 0", select(tablesample(PET, 10, name="s").c.id), postgresql)

    def test_locks_are_taken_on_the_same_table(self):
        self.ends("WHERE fc_owner.dead = 0 FOR UPDATE", select(OWNER.c.id).with_for_update(), postgresql)

    def test_a_table_that_is_known_by_its_name_only_obeys(self):
        light = table("fc_pet", plain_column("id"))
        self.ends("FROM fc_pet WHERE fc_pet.dead = 0", select(light))
        self.ends("FROM fc_pet AS x WHERE x.dead = 0", select(light.alias("x")))

    def test_another_table_of_the_name_is_another_databases(self):
        other = Table("fc_pet", MetaData(), Column("id", Integer), Column("dead", Integer))
        self.assertEqual("SELECT fc_pet.id FROM fc_pet", self.sql(select(other.c.id)))
        self.ends("SET dead=1", update(other).values(dead=1))


class TestSwitchedOff(Compiling):
    def test_by_an_option_of_the_statement(self):
        self.ends("FROM fc_owner", select(OWNER.c.id).options(dbkit.without("living")))
        self.ends("DELETE FROM fc_owner", delete(OWNER).options(dbkit.without("living")))
        self.ends("SET name='x'", update(OWNER).values(name="x").options(dbkit.without("living")))

    def test_an_option_of_a_part_counts_for_the_part(self):
        part = select(PET.c.id).options(dbkit.without("living")).subquery("p")
        found = self.sql(select(OWNER.c.id, part.c.id).where(OWNER.c.id == part.c.id))
        self.assertIn("(SELECT fc_pet.id AS id FROM fc_pet) AS p", found)
        self.assertIn("fc_owner.dead = 0", found)

    def test_by_the_dialect(self):
        self.ends("FROM fc_owner", select(OWNER.c.id), off=["living"])

    def test_by_another_name_nothing_happens(self):
        self.ends("WHERE fc_owner.dead = 0", select(OWNER.c.id), off=["another"])

    def test_an_unknown_name_is_refused_with_the_nearest(self):
        error = self.assertRaises(UnknownRule, dbkit.without, "livin")
        self.assertIn("did you mean 'living'", str(error))
        self.assertRaises(UnknownRule, dbkit.without)

    def test_the_option_is_a_part_of_the_statements_cache_key(self):
        for statement in (select(OWNER), delete(OWNER), update(OWNER).values(name="x"), text("SELECT 1")):
            without = statement.options(dbkit.without("living"))
            self.assertIsNotNone(without._generate_cache_key())
            self.assertNotEqual(statement._generate_cache_key(), without._generate_cache_key())
        blind = update(PET).values(owner_id=1)
        self.assertNotEqual(blind._generate_cache_key(), blind.options(BlindOption())._generate_cache_key())


class TestWriting(Compiling):
    def test_an_update_changes_no_hidden_row(self):
        self.ends(
            "SET name='x' WHERE fc_owner.id = 1 AND fc_owner.dead = 0",
            update(OWNER).values(name="x").where(OWNER.c.id == 1),
        )

    def test_an_update_with_further_tables_looks_at_no_hidden_row_of_them(self):
        statement = update(FREE).values(owner_id=0).where(FREE.c.owner_id == OWNER.c.id)
        self.ends("FROM fc_owner WHERE fc_free.owner_id = fc_owner.id AND fc_owner.dead = 0", statement, postgresql)
        self.ends("WHERE fc_free.owner_id = fc_owner.id AND fc_owner.dead = 0", statement, mysql)

    def test_a_delete_marks(self):
        self.assertEqual(
            "UPDATE fc_owner SET dead=fc_owner.id WHERE fc_owner.id = 1 AND fc_owner.dead = 0",
            self.sql(delete(OWNER).where(OWNER.c.id == 1)),
        )

    def test_a_delete_touches_nothing_else_and_counts_the_version_up(self):
        self.assertEqual(
            "UPDATE fc_pet SET dead=fc_pet.id, touched=fc_pet.touched, version=(fc_pet.version + 1) "
            "WHERE fc_pet.dead = 0",
            self.sql(delete(PET)),
        )

    def test_a_delete_keeps_returning_and_limit(self):
        self.ends("RETURNING fc_owner.name", delete(OWNER).returning(OWNER.c.name), postgresql)
        self.ends("WHERE fc_owner.dead = 0 LIMIT 5", delete(OWNER).with_dialect_options(mysql_limit=5), mysql)

    def test_a_delete_that_wants_the_rows_back_is_refused_where_an_update_cannot_return_them(self):
        error = self.assertRaises(FilterError, self.sql, delete(OWNER).returning(OWNER.c.id), mysql)
        self.assertIn("RETURNING", str(error))

    def test_a_delete_with_parameters_named_as_columns(self):
        statement = delete(OWNER).where(OWNER.c.id == bindparam("id"))
        compiled = statement.compile(dialect=self.dialect(), column_keys=["id"])
        self.assertIn("SET dead=fc_owner.id WHERE fc_owner.id = ?", " ".join(str(compiled).split()))
        self.assertEqual((True, False), (compiled.isdelete, compiled.isupdate))

    def test_rows_that_are_there_already_are_changed_only_if_they_are_seen(self):
        statement = sqlite.insert(OWNER).values(id=1).on_conflict_do_update(set_={"name": "x"})
        self.ends("DO UPDATE SET name = 'x' WHERE fc_owner.dead = 0", statement)
        statement = postgresql.insert(OWNER).values(id=1)
        statement = statement.on_conflict_do_update(
            index_elements=["id"], set_={"name": "x"}, where=OWNER.c.name != "y"
        )
        self.ends("WHERE fc_owner.name != 'y' AND fc_owner.dead = 0", statement, postgresql)
        statement = mysql.insert(OWNER).values(id=1)
        statement = statement.on_duplicate_key_update(dead=5, name=statement.inserted.name)
        self.ends(
            "UPDATE name = CASE WHEN (fc_owner.dead = 0) THEN VALUES(name) ELSE fc_owner.name END, "
            "dead = CASE WHEN (fc_owner.dead = 0) THEN %s ELSE fc_owner.dead END",
            statement, mysql,
        )  # fmt: skip

    def test_replacing_is_refused(self):
        self.assertRaises(FilterError, self.sql, insert(OWNER).values(id=1).prefix_with("OR REPLACE"))
        self.assertRaises(FilterError, self.sql, update(OWNER).values(id=1).prefix_with("OR REPLACE"))
        self.sql(insert(FREE).values(id=1).prefix_with("OR REPLACE"))

    def test_an_upsert_counts_the_version_up(self):
        statement = postgresql.insert(PET).values(id=1)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"owner_id": 2})
        self.ends("SET owner_id = 2, version = (fc_pet.version + 1) WHERE fc_pet.dead = 0", statement, postgresql)
        statement = postgresql.insert(PET).values(id=1)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={PET.c.version: 2})
        self.assertNotIn("+ 1", self.sql(statement, postgresql))
        found = self.sql(mysql.insert(PET).values(id=1).on_duplicate_key_update(owner_id=2), mysql)
        self.assertIn("version = CASE WHEN (fc_pet.dead = 0) THEN fc_pet.version + ", found)


class TestBlindUpdates(Compiling):
    def test_one_that_looks_at_no_version_and_counts_none_up_is_refused(self):
        error = self.assertRaises(BlindUpdate, self.sql, update(PET).values(owner_id=1))
        for advice in ("compare_and_swap", "blind_update", "'fc_pet'", "'version'"):
            self.assertIn(advice, str(error))

    def test_one_that_says_so_counts_up(self):
        found = self.sql(update(PET).values(owner_id=1).options(dbkit.blind_update()))
        self.assertIn("version=(fc_pet.version + 1)", found)

    def test_one_that_looks_at_the_version_counts_up(self):
        found = self.sql(update(PET).values(owner_id=1).where(PET.c.version == 7))
        self.assertIn("version=(fc_pet.version + 1)", found)
        self.ends(
            "WHERE fc_pet.version = 7 AND fc_pet.dead = 0", update(PET).values(owner_id=1).where(PET.c.version == 7)
        )

    def test_one_that_counts_up_itself_is_left_alone(self):
        found = self.sql(update(PET).values(owner_id=1, version=PET.c.version + 1))
        self.assertEqual(1, found.count("version="))
        ordered = update(PET).ordered_values((PET.c.owner_id, 1), (PET.c.version, 2))
        self.assertEqual(1, self.sql(ordered).count("version="))
        compiled = update(PET).compile(dialect=self.dialect(), column_keys=["owner_id", "version"])
        self.assertIn("version=?", str(compiled))


class TestText(Compiling):
    def test_text_that_names_a_guarded_table_is_refused(self):
        for sql in (
            "SELECT * FROM fc_pet", "select 1 from a, fc_pet", "UPDATE fc_pet SET x = 1", "DELETE FROM fc_pet",
            'SELECT * FROM "fc_pet" p', "SELECT * FROM `fc_pet`", "SELECT * FROM main.fc_pet", "TABLE fc_pet",
            "SELECT * FROM (a JOIN fc_pet ON 1=1)", "INSERT INTO fc_pet VALUES (1)", "TRUNCATE TABLE fc_pet",
            "SELECT (SELECT max(id) FROM FC_PET)", "MERGE INTO x USING fc_pet ON 1=1", "COPY fc_pet TO STDOUT",
            "SELECT * FROM a JOIN b ON f(a, b), fc_pet", "UPDATE a SET x = 1 FROM ONLY fc_pet",
            "SELECT '\\'' , 1 FROM fc_pet WHERE x = 'a'", "SELECT 1 # it's\n FROM fc_pet WHERE x = 'a'",
            "SELECT \"it's\" FROM fc_pet WHERE x = 'a'", "SELECT * FROM /* 'x */ fc_pet WHERE y = 'a'",
            "SELECT * FROM a LEFT JOIN LATERAL (SELECT * FROM fc_pet) x ON true",
        ):  # fmt: skip
            error = self.assertRaises(FilterError, self.sql, text(sql))
            self.assertIn("'fc_pet'", str(error))

    def test_text_that_does_not_is_taken(self):
        for sql in (
            "SELECT 'x FROM fc_pet'", "SELECT fc_pet.id FROM a AS fc_pet2", "SELECT 1 -- FROM fc_pet",
            "ALTER TABLE fc_pet ADD x int", "DROP TABLE fc_pet", "CREATE INDEX i ON fc_pet (id)",
            "SELECT * FROM fc_pets", "SELECT a, fc_pet FROM b", "SELECT * FROM b FOR UPDATE OF fc_pet",
            "SELECT * FROM b WHERE f(x, fc_pet)", "SELECT 1 FROM a WHERE x IN (1, fc_pet)",
        ):  # fmt: skip
            self.sql(text(sql))

    def test_text_with_the_rule_off_is_taken(self):
        self.sql(text("SELECT * FROM fc_pet").options(dbkit.without("living")))
        self.sql(text("SELECT * FROM fc_pet"), off=["living"])

    def test_text_in_any_place_of_a_statement_is_looked_at(self):
        for statement in (
            select(FREE).where(text("id IN (SELECT id FROM fc_pet)")), select(text("1")).select_from(text("fc_pet")),
            select(text("* FROM fc_pet")), select(literal_column("(SELECT 1 FROM fc_pet)")),
            text("SELECT id FROM fc_pet").columns(plain_column("id")).subquery().select(),
            select(FREE).with_statement_hint("UNION SELECT * FROM fc_pet"), select(FREE).suffix_with("JOIN fc_pet"),
            select(FREE).order_by(text("(SELECT 1 FROM fc_pet)")),
            select(FREE).where(FREE.c.id.op("IN (SELECT id FROM fc_pet) OR 1 =")(1)),
        ):  # fmt: skip
            self.assertRaises(FilterError, self.sql, statement)

    def test_text_of_another_schema_is_another_table(self):
        self.assertRaises(FilterError, self.sql, text("SELECT * FROM far.fc_far"))
        self.assertRaises(FilterError, self.sql, text("SELECT * FROM fc_far"))
        self.sql(text("SELECT * FROM near.fc_far"))

    def test_a_name_in_any_spelling_that_a_product_takes_is_found(self):
        for words in ("SELECT 1 FROM 'fc_pet'", 'SELECT 1 FROM U&"fc\\005fpet"', 'SELECT 1 FROM U&"fc\\+00005fpet"'):
            self.assertRaises(FilterError, self.sql, text(words))
        self.assertRaises(FilterError, self.sql, select(table(quoted_name("fc_free, fc_pet", quote=False))))
        self.sql(text("SELECT 'fc_pet' FROM fc_free WHERE id IN ('fc_owner', 'fc_pet')"))

    def test_text_that_is_a_table_s_name_alone_is_refused_where_it_becomes_a_from(self):
        named = text("fc_pet").columns(plain_column("id"))
        self.assertRaises(FilterError, self.sql, select(named.subquery()))
        self.sql(select(named.options(dbkit.without("living")).subquery()))
        self.sql(select(text("SELECT id FROM fc_free").columns(plain_column("id")).subquery()))

    def test_text_that_is_sent_as_ddl_and_defines_nothing_is_refused(self):
        for words in (
            "UPDATE fc_pet SET dead = 1",
            "DELETE FROM fc_pet",
            "CREATE TEMP TABLE c AS SELECT * FROM fc_pet",
        ):
            self.assertRaises(FilterError, DDL(words).compile, dialect=self.dialect())
            DDL(words).compile(dialect=self.dialect(off=("living",)))
        for words in (
            "CREATE TRIGGER t AFTER INSERT ON fc_free BEGIN UPDATE fc_pet SET dead = 1; END",
            "CREATE VIEW v AS SELECT * FROM fc_pet",
            "ALTER TABLE fc_pet ADD COLUMN more INTEGER",
            "CREATE INDEX i ON fc_pet (dead)",
        ):
            DDL(words).compile(dialect=self.dialect())
