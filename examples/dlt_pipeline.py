"""Load a shop into DuckDB by a dlt pipeline, with dlt's own incremental state. Needs dlt[duckdb].

dlt stores the highest `updated_at` that it has loaded, and passes it to the resource in the next run. `updated_since`
requests only the orders changed from then on. The lag of ten minutes covers changes that were committed late, and
`merge` by the primary key removes the duplicates.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dlt

import magento_pager
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

LAG = timedelta(minutes=10)
BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
"""Initial value of the incremental state: the first run loads all orders."""
CHANGED_AT = "2030-01-01 00:00:00"


@dlt.resource(name="orders", primary_key="order_id", write_disposition="merge")
def orders(
    url: str,
    user: str,
    key: str,
    updated_at: dlt.sources.incremental[datetime] = dlt.sources.incremental("updated_at", BEGINNING, lag=LAG.seconds),  # noqa: B008
) -> Iterator[list[dict[str, Any]]]:
    """Yield the orders changed since the last run, one page at a time."""
    since = updated_at.last_value if updated_at.last_value != BEGINNING else None
    with magento_pager.connect(url, user, key) as pager:
        for page in pager.orders(updated_since=since, typed=True).pages():
            if page.rows:
                yield list(page.rows)


def main() -> None:
    """Run the pipeline twice, with changes in between."""
    dlt.config["runtime.dlthub_telemetry"] = False
    warehouse = dlt.destinations.duckdb("shop.duckdb")
    pipeline = dlt.pipeline("shop", "pipelines", destination=warehouse, dataset_name="magento")
    with Shop(orders=300) as shop:
        pipeline.run(orders(shop.url, shop.user, shop.key))
        print("first run:", summary(pipeline))
        number = next(iter(shop.database.ids("orders")))
        shop.database.update("orders", number, {"status": "lost", "updated_at": CHANGED_AT})
        shop.database.insert("orders", {"status": "new", "updated_at": CHANGED_AT})
        shop.clear_log()
        pipeline.run(orders(shop.url, shop.user, shop.key))
        print("second run:", summary(pipeline))
        print("second run requested fewer rows:", sum(call.rows for call in shop.log) < 300)  # noqa: PLR2004


def summary(pipeline: dlt.Pipeline) -> str:
    """Return the counts of orders in DuckDB as text."""
    query = "SELECT count(*), count(DISTINCT order_id), sum(CAST(status = 'lost' AS INT)) FROM orders"
    with pipeline.sql_client() as client:
        ((rows, distinct, lost),) = client.execute_sql(query) or [(0, 0, 0)]
    return f"{rows} rows, {distinct} distinct orders, {lost} lost"


if __name__ == "__main__":
    main()
