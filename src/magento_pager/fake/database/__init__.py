"""The database of the embedded shop: MySQL's tables and MySQL's reading of a query, on SQLite or on a real MariaDB.

On SQLite, `syntax` parses a WHERE clause, `values` reads single values as MySQL does, `reading` puts the clause into
SQLite's words, `sqlite` keeps the rows and answers. `mariadb` is the same tables on a server, with nothing emulated.
Both classes take the same calls. Nothing in this package knows SOAP.
"""

from __future__ import annotations

from magento_pager.fake.database.mariadb import MariaDatabase
from magento_pager.fake.database.sqlite import Database

__all__ = ["Database", "MariaDatabase"]
