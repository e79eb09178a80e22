"""Django's and peewee's models of the measured tables, made from these, on one database after the other."""
