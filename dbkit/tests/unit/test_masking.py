"""No password is ever shown, however the URL holds it."""

from __future__ import annotations

import testtools
from sqlalchemy.engine import URL, make_url

from dbkit.masking import is_secret, mask, mask_mapping, mask_parameters, mask_text, secrets_of

MASKED = {
    "postgresql://u:s3cret@host:5432/db": "postgresql://u:***@host:5432/db",
    "postgresql://:s3cret@host/db": "postgresql://:***@host/db",
    "postgresql://u@host/db": "postgresql://u@host/db",
    "sqlite:///app.db": "sqlite:///app.db",
    # not escaped
    "postgresql://u:s3@s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3@s3cret@s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3/s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3?s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3:s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3@x/s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3@x:s3cret@host/db": "postgresql://u:***@host/db",
    "postgresql://u:s3#s3cret@host/db": "postgresql://u:***@host/db",
    # escaped
    "postgresql://u:s3%40s3cret@host/db": "postgresql://u:***@host/db",
    # in an argument
    "postgresql://host/db?password=s3cret": "postgresql://host/db?password=***",
    "postgresql://host/db?sslpassword=s3cret&user=u": "postgresql://host/db?sslpassword=***&user=u",
    "mysql://host/db?passwd=s3cret&ssl_key_password=s3cret": "mysql://host/db?passwd=***&ssl_key_password=***",
    "postgresql://host/db?oauth_client_secret=s3cret": "postgresql://host/db?oauth_client_secret=***",
    "postgresql://host/db?passfile=%2Fetc%2Fpgpass": "postgresql://host/db?passfile=%2Fetc%2Fpgpass",
    # no URL that could be read
    "postgresql://u:s3cret/db": "postgresql://u:***",
    "postgresql://u:s3cret@host:port/db?password=s3cret": "postgresql://u:***@host:port/db?password=***",
    "u:s3cret@host/db": "***",
}


class TestMask(testtools.TestCase):
    def test_each_form_is_shown_without_its_password(self):
        for url, shown in MASKED.items():
            self.assertEqual(shown, mask(url), url)

    def test_a_url_object_is_shown_like_its_text(self):
        self.assertEqual("postgresql://u:***@h/db", mask(URL.create("postgresql", "u", "p@s3cret", "h", database="db")))
        self.assertEqual("mysql://h/db?passwd=***", mask(make_url("mysql://h/db?passwd=s3cret")))

    def test_a_repeated_secret_argument_is_hidden_once_for_all(self):
        self.assertNotIn("s3cret", mask("mysql://h/db?passwd=s3cret&passwd=s3cret"))

    def test_arguments_alone_are_masked(self):
        self.assertEqual("a=1&password=***&b", mask_parameters("a=1&password=s3cret&b"))

    def test_mappings_are_masked_at_any_depth(self):
        self.assertEqual(
            {"password": "***", "ssl": {"key_password": "***", "ca": "x"}, "dsn": "mysql://u:***@h/d", "n": 1},
            mask_mapping(
                {"password": "s3", "ssl": {"key_password": "s3", "ca": "x"}, "dsn": "mysql://u:s3@h/d", "n": 1}
            ),
        )

    def test_only_texts_with_a_url_are_touched(self):
        self.assertEqual("u:p@h", mask_text("u:p@h"))
        self.assertIs(None, mask_text(None))

    def test_the_secrets_of_a_url_are_what_is_hidden(self):
        url = make_url("mysql://u:one@h/d?passwd=two&passwd=three&charset=utf8&ssl_key_password=four")
        self.assertEqual(("one", "two", "three", "four"), secrets_of(url))
        self.assertEqual((), secrets_of(make_url("sqlite:///app.db")))

    def test_a_name_tells_whether_it_holds_a_secret(self):
        for name in ("password", "passwd", "PWD", "sslpassword", "api_token", "scram_client_key", "odbc_connect"):
            self.assertTrue(is_secret(name), name)
        for name in ("user", "passfile", "host", "sslkey", "charset"):
            self.assertFalse(is_secret(name), name)
