"""A custom strategy: the two bounds of a window use two names of one column, in lower and in upper case.

The built-in strategy `alias` uses the name `main_table.entity_id` for its upper bound. Assume that a firewall in front
of the shop refuses field names with a dot. Each of the lists of invoices, shipments and credit memos is in one table,
without joins, and MySQL ignores the case of column names. So `ENTITY_ID` is a second name of the same column, and
Magento applies both conditions because their names differ as text.

The script runs as it is, against embedded shops of two versions. A strategy is any object with a `name` and a method
`queries`; it need not be registered. Before a walk it is tested on known rows, like a built-in strategy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import magento_pager
from magento_pager import MAX_ID, Condition, IdRange, PagerError, Query
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class UpperCase:
    """`entity_id from A` and `ENTITY_ID to B`: a key range on invoices, shipments and credit memos.

    It does not work for orders: their list joins two address tables with a column of the same name, so the server
    answers with fault 1, "ambiguous". It does not work for customers and products either: their fields are attributes,
    which have one name only.

    Attributes:
        name: the name of the strategy in pages and reports.
        widest: the largest window, in ids. A key range can have any width; the default would be 10,000.
    """

    name: str = "upper-case"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  no known row needed
        """Yield one query for a window.

        The walk checks that every returned row is in `span`. If the server ignored one of the two conditions, rows
        outside the window would be returned, and the walk would stop at the first of them. A strategy that could fail
        by *missing* rows needs a known row (a canary) in each query instead: `Query(conditions, span, canary=known)`
        with conditions that also match the id `known`, and an attribute `needs_canary = True`.
        """
        bounds = (
            Condition("entity_id", "from", str(window.first)),
            Condition("ENTITY_ID", "to", str(window.last)),
        )
        yield Query(bounds, span=window)


def main() -> None:
    """Read invoices with the strategy, on a new and on an old version; then try it on orders, where it cannot work."""
    for profile in ("20.0.20", "1.7.0.2"):
        with (
            Shop(profile=profile, orders=1_000) as shop,
            magento_pager.connect(shop.url, shop.user, shop.key) as pager,
        ):
            ids = [int(row["invoice_id"]) for row in pager.invoices(strategy=UpperCase())]
            print(f"{profile}: {len(ids)} invoices, each once: {ids == list(shop.database.ids('invoices'))}")
            try:
                print(next(iter(pager.orders(strategy=UpperCase()))))
            except PagerError as error:
                print(f"{profile}: orders: {str(error)[:150]}...")


if __name__ == "__main__":
    main()
