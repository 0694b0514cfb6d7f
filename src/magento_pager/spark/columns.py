"""The columns of a list as Spark types, and rows as Arrow batches.

What lives here: types and conversion. The types are those of a Parquet dump, with `shop` as the first column: bigint,
decimal(38,9), timestamp and string; undeclared columns are in `other_columns`, as a JSON object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from magento_pager.export.arrow import arrow_schema, batches_of
from magento_pager.export.layout import Layout
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from magento_pager.walk.pages import Misfit, Row

SHOP = "shop"
_TEXT, _NUMBER, _TIMESTAMP = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
_ERRORS: list[pa.Field[Any]] = [
    pa.field(SHOP, _TEXT),
    pa.field("entity", _TEXT),
    pa.field("kind", _TEXT),
    pa.field("first_id", _NUMBER),
    pa.field("last_id", _NUMBER),
    pa.field("next_id", _NUMBER),
    pa.field("id", _NUMBER),
    pa.field("message", _TEXT),
    pa.field("at", _TIMESTAMP),
]
ERRORS = pa.schema(_ERRORS)
"""Columns of the list of failures, see `failures.Failure`."""


def layout_of(entity: str) -> Layout:
    """Return the layout that types the rows of a list."""
    return Layout(LISTS[entity], "parquet")


def columns_of(entity: str) -> pa.Schema:
    """Return the columns of a list, after the column `shop`.

    >>> columns_of("customers").names[:3], str(columns_of("customers").field("created_at").type)
    (['shop', 'customer_id', 'created_at'], 'timestamp[us, tz=UTC]')
    """
    schema: pa.Schema = arrow_schema(layout_of(entity)).insert(0, pa.field(SHOP, _TEXT))
    return schema


def ddl(columns: pa.Schema) -> str:
    """Return columns as a DDL string for Spark.

    >>> ddl(pa.schema([("shop", pa.string()), ("weight", pa.decimal128(38, 9))]))
    '`shop` string, `weight` decimal(38,9)'
    """
    return ", ".join(f"`{name}` {kind}" for name, kind in types_of(columns).items())


def types_of(columns: pa.Schema) -> dict[str, str]:
    """Return the Spark type of each column."""
    names = {_NUMBER: "bigint", _TEXT: "string", _TIMESTAMP: "timestamp"}
    return {column.name: names.get(column.type, "decimal(38,9)") for column in columns}


def select_columns(selected: Mapping[str, str], columns: pa.Schema) -> pa.Schema:
    """Return the selected columns, in the order of the selection.

    Args:
        selected: names with Spark types.
        columns: all columns of the list.

    Raises:
        ValueError: there is no such column, or it has another type.

    >>> select_columns({"weight": "double"}, pa.schema([("weight", pa.decimal128(38, 9))]))
    Traceback (most recent call last):
    ...
    ValueError: The column weight is decimal(38,9), not double. Read it as decimal(38,9) and cast it.
    """
    types = types_of(columns)
    for name, kind in selected.items():
        if name not in types:
            raise ValueError(f"The list has no column {name}.")
        if types[name] != kind:
            raise ValueError(f"The column {name} is {types[name]}, not {kind}. Read it as {types[name]} and cast it.")
    return pa.schema([columns.field(name) for name in selected])


def batches(
    shop: str, rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shop as typed batches.

    Args:
        shop: name of the shop.
        rows: as the server sent them.
        layout: of the list, see `layout_of`.
        columns: columns of the batches.
        misfits: list to add the invalid values to, which are null.
    """
    for batch in batches_of(rows, layout, arrow_schema(layout), misfits):
        shops = pa.array([shop] * batch.num_rows, _TEXT)
        arrays = [shops if name == SHOP else batch.column(name) for name in columns.names]
        yield pa.RecordBatch.from_arrays(arrays, schema=columns)
