"""The same tables in a MariaDB, with Magento's own column types and Magento's own SQL.

`schema` has the tables, `selects` the queries, `server` the connection through PyMySQL, and `database` stores the rows
and runs the queries. Nothing in this package knows SOAP, and nothing is emulated: the server decides what a filter
means, how rows are ordered and what is an error.
"""

from __future__ import annotations

from magento_pager.fake.database.mariadb.database import MariaDatabase
from magento_pager.fake.database.mariadb.server import Server

__all__ = ["MariaDatabase", "Server"]
