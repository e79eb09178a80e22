"""A small bookshop, written with dbkit: it lists books, knows its customers, and sells what it has.

The functions of :mod:`bookshop.shop` are blocking, those of :mod:`bookshop.shop_async` are for asyncio. Both work on
one database, that of :mod:`bookshop.database`, with the same tables, statements and rules.
"""
