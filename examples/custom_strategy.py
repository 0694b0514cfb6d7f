"""A strategy of your own: both bounds of a window on two spellings of one column that differ in case.

The strategy `alias` names its upper bound `main_table.entity_id`. Say that a firewall in front of the shop refuses
field names with a dot. Invoices, shipments and credit memos live in one table each, without joins, and MySQL reads
column names without case. So `ENTITY_ID` is a second name of the same column, and Magento keeps the two conditions
apart because their names differ as text.

Run it as it is, against embedded shops of two versions. Nothing here is registered anywhere: an object with a name and
a method `queries` is a strategy. Before a walk it is tested like a built-in one, on rows known to be there.
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

    Not on orders: their list joins two address tables that have a column of that name too, so the server answers with
    fault 1, "ambiguous". Not on customers and products: they know no second spelling.

    Attributes:
        name: what pages and reports call it.
        widest: ids in one window. A key range takes any width; without this attribute it would be 10,000.
    """

    name: str = "upper-case"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  no canary: see below
        """Yield one call.

        The span is what the walk checks every row against. Were one of the two conditions dropped, rows from outside
        the window would come, and the walk would stop at the first of them. A strategy whose failure looks like
        *missing* rows needs a canary instead: `Query(conditions, span, canary=known)` with a condition that also
        matches the id `known`, and an attribute `needs_canary = True`.
        """
        bounds = (
            Condition("entity_id", "from", str(window.first)),
            Condition("ENTITY_ID", "to", str(window.last)),
        )
        yield Query(bounds, span=window)


def main() -> None:
    """Page invoices with it, on a new version and on an old one; then try it where it cannot hold."""
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
