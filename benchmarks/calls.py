"""How many calls a walk takes, by version and list, in the layout of the demo shop.

    python -m benchmarks.calls [ORDERS...]

By default 2,000 and 20,000 orders, which takes a minute. A JSON line for each list of each version: `calls` are those
for the list, the proof of the end included; `per_1700` is one call for 1,700 rows and eight more, `largest` the rows of
the largest reply.
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


def walked(profile: str, orders: int) -> Iterator[dict[str, object]]:
    """Walk every list of a shop."""
    with Shop(profile=profile, orders=orders) as shop, connect(shop.url, shop.user, shop.key) as pager:
        for spec in LISTS.values():
            if (profile, spec.name) == ("1.4.1.1", "creditmemos"):
                continue  # which came with 1.6.1
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
            for line in walked(profile, orders):
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
