"""The columns of a list as Spark has them, and rows as batches of Arrow.

What lives here: types and conversion. They are those of a dump as Parquet, with `shop` as the first column: bigint,
decimal(38,9), timestamp and string; what is not declared is in `other_columns`, as a JSON object.
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
_TEXT, _NUMBER, _MOMENT = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
_ERRORS: list[pa.Field[Any]] = [
    pa.field(SHOP, _TEXT),
    pa.field("entity", _TEXT),
    pa.field("kind", _TEXT),
    pa.field("first_id", _NUMBER),
    pa.field("last_id", _NUMBER),
    pa.field("next_id", _NUMBER),
    pa.field("id", _NUMBER),
    pa.field("message", _TEXT),
    pa.field("at", _MOMENT),
]
ERRORS = pa.schema(_ERRORS)
"""What is said of each failure, see `failures.Failure`."""


def layout_of(entity: str) -> Layout:
    """How the rows of a list are typed."""
    return Layout(LISTS[entity], "parquet")


def columns_of(entity: str) -> pa.Schema:
    """The columns of a list, `shop` before its own.

    >>> columns_of("customers").names[:3], str(columns_of("customers").field("created_at").type)
    (['shop', 'customer_id', 'created_at'], 'timestamp[us, tz=UTC]')
    """
    found: pa.Schema = arrow_schema(layout_of(entity)).insert(0, pa.field(SHOP, _TEXT))
    return found


def ddl(columns: pa.Schema) -> str:
    """Columns as Spark's own language declares them.

    >>> ddl(pa.schema([("shop", pa.string()), ("weight", pa.decimal128(38, 9))]))
    '`shop` string, `weight` decimal(38,9)'
    """
    return ", ".join(f"`{name}` {kind}" for name, kind in types_of(columns).items())


def types_of(columns: pa.Schema) -> dict[str, str]:
    """Columns with their types, as Spark calls them."""
    names = {_NUMBER: "bigint", _TEXT: "string", _MOMENT: "timestamp"}
    return {one.name: names.get(one.type, "decimal(38,9)") for one in columns}


def select_columns(wanted: Mapping[str, str], columns: pa.Schema) -> pa.Schema:
    """Of these columns those that are wanted, in the order in which they are.

    Args:
        wanted: names with types, as Spark calls them.
        columns: all there are.

    Raises:
        ValueError: another column, or another type.

    >>> select_columns({"weight": "double"}, pa.schema([("weight", pa.decimal128(38, 9))]))
    Traceback (most recent call last):
    ...
    ValueError: weight is decimal(38,9) here, not double; read it so and cast it
    """
    there = types_of(columns)
    for name, kind in wanted.items():
        if there.get(name) != kind:
            words = f"is {there[name]} here, not {kind}; read it so and cast it" if name in there else "is no column"
            raise ValueError(f"{name} {words}")
    return pa.schema([columns.field(name) for name in wanted])


def batches(
    shop: str, rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]
) -> Iterator[pa.RecordBatch]:
    """Rows of a shop, typed.

    Args:
        shop: its name.
        rows: as the server sent them.
        layout: types them.
        columns: those to have.
        misfits: takes the values that do not fit, which are null.
    """
    for one in batches_of(rows, layout, arrow_schema(layout), misfits):
        shops = pa.array([shop] * one.num_rows, _TEXT)
        arrays = [shops if name == SHOP else one.column(name) for name in columns.names]
        yield pa.RecordBatch.from_arrays(arrays, schema=columns)
