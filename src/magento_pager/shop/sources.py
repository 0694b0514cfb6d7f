"""A list of a shop as the walk wants it: a `Source`.

What lives here: the seam between a walk and a connection, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.shop.origins import bare, canonical

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from magento_pager.errors import RemoteError
    from magento_pager.lists import ListSpec
    from magento_pager.shop.connection import Connection
    from magento_pager.walk.conditions import Query
    from magento_pager.walk.pages import Row


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop: a `Source` for a `Paginator`.

    Attributes:
        connection: to the shop.
        spec: the list.
        repair: take characters that XML forbids out of replies before they are read, as strictly as ever; what that
            was is counted by the connection's `characters_removed`.
    """

    connection: Connection
    spec: ListSpec
    repair: bool = False

    @property
    def bytes_received(self) -> int:
        """Of all replies to lists so far, unpacked; a plan reads it."""
        return self.connection.bytes_received

    @property
    def shop(self) -> str:
        """Where calls go, without user, password and query."""
        return self.connection.alias or bare(canonical(self.connection.address))

    @property
    def url(self) -> str:
        """The shop's address as it was given, likewise."""
        return self.connection.alias or self.connection.url

    @property
    def clock(self) -> datetime | None:
        """The time that the last answer said it was there; None where it said none."""
        return self.connection.clock

    def refused(self, error: RemoteError) -> None:
        """Save the last reply of this thread, where replies are saved: its rows are refused."""
        self.connection.refused(error)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        return self.connection.rows(self.spec, query.conditions, repair=self.repair)
