"""The same tables in a MariaDB, with Magento's own column types, asked Magento's own SQL.

`schema` says what the tables are, `selects` what is asked, `server` reaches a server through PyMySQL, `database` keeps
the rows and answers. Nothing in this package knows SOAP, and nothing is emulated: what a filter means, how rows are
ordered and what is an error is the server's word.
"""

from __future__ import annotations

from magento_pager.fake.database.mariadb.database import MariaDatabase
from magento_pager.fake.database.mariadb.server import Server

__all__ = ["MariaDatabase", "Server"]
