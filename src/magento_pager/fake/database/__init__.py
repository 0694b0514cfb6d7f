"""The database of the embedded shop: MySQL's tables and MySQL's reading of a query, on SQLite or on a real MariaDB.

On SQLite, `syntax` parses a WHERE clause, `values` reads single values as MySQL does, `reading` translates the clause
to SQLite, and `sqlite` stores the rows and runs the queries. `mariadb` has the same tables on a server, with nothing
emulated. Both classes have the same methods. Nothing in this package knows SOAP.
"""

from __future__ import annotations

from magento_pager.fake.database.mariadb import MariaDatabase
from magento_pager.fake.database.sqlite import Database

__all__ = ["Database", "MariaDatabase"]
