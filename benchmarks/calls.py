"""Number of calls of a walk, by version and list, in the layout of the demo shop.

    python -m benchmarks.calls [ORDERS...]

By default for 2,000 and 20,000 orders, which takes a minute. A JSON line for each list of each version: `calls` are
those for the list, including the confirmation of its end; `per_1700` is one call per 1,700 rows plus eight; `largest`
is the number of rows in the largest reply.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from magento_pager import connect
from magento_pager.fake import PROFILES, Shop
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZES = (2_000, 20_000)


def counts(profile: str, orders: int) -> Iterator[dict[str, object]]:
    """Yield the counts of each list of a shop."""
    with Shop(profile=profile, orders=orders) as shop, connect(shop.url, shop.user, shop.key) as pager:
        for spec in LISTS.values():
            if (profile, spec.name) == ("1.4.1.1", "creditmemos"):
                continue  # since 1.6.1
            shop.clear_log()
            rows = sum(len(page.rows) for page in pager.list(spec.name).pages())
            yield {
                "benchmark": "calls",
                "profile": profile,
                "orders": orders,
                "list": spec.name,
                "rows": rows,
                "calls": len(shop.log),
                "per_1700": round(rows / 1_700 + 8, 1),
                "largest": max(call.rows or 0 for call in shop.log),
            }


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    for orders in sorted(map(int, arguments)) or SIZES:
        for profile in PROFILES:
            for line in counts(profile, orders):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
