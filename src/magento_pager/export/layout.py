"""The layout of an output: its format, its columns, and how values are written and read back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson

from magento_pager.errors import option
from magento_pager.export.formats import TYPED_ALWAYS, Format
from magento_pager.export.values import OTHER_COLUMNS, PASSWORD_HASH, typed_row
from magento_pager.lists import ListSpec
from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from magento_pager.lists import ListName
    from magento_pager.walk.pages import Misfit, Row
    from magento_pager.walk.paginator import Paginator

BATCH = 256
"""Rows converted at a time: the text of a whole page would take half as much memory as its rows."""
FIXED_COLUMNS = frozenset({"csv", "parquet"})
"""Formats whose columns are fixed before the first row is written."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Format and columns of an output.

    Attributes:
        schema: of the list.
        format: format of the file.
        gzipped: True for gzip compression; text formats only.
        columns: names of the columns to write, in this order; empty for all.
        typed: True for typed values instead of the server's text, which Parquet and SQLite always have.
        details: True where rows are full records.
        password_hash: True where rows have the column `password_hash`.

    Raises:
        ValueError: options that do not go together.
    """

    schema: ListSpec
    format: Format = "ndjson"
    gzipped: bool = False
    columns: tuple[str, ...] = ()
    typed: bool = False
    details: bool = False
    password_hash: bool = False

    def __post_init__(self) -> None:
        if self.gzipped and self.format in TYPED_ALWAYS:
            raise ValueError(
                f"gzip is for text, and {self.format} is not (Parquet is always compressed). Write it without gzip."
            )
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"A column is named twice: {', '.join(self.columns)}.")
        if PASSWORD_HASH in self.columns and not self.password_hash:
            raise ValueError(
                f"{PASSWORD_HASH} is not exported by default. To include it, add {option('password-hash')}."
            )
        keys = {self.schema.key, self.schema.identity or self.schema.key}
        if self.format == "sqlite" and self.columns and not keys.intersection(self.columns):
            raise ValueError(f"A table needs the column that identifies its rows: add {' or '.join(sorted(keys))}.")

    @property
    def has_values(self) -> bool:
        """True where typed values are written instead of the server's text."""
        return self.typed or self.format in TYPED_ALWAYS

    @property
    def name(self) -> str:
        """Name of the format in a fingerprint.

        >>> from magento_pager.lists import LISTS
        >>> Layout(LISTS["orders"], "csv", gzipped=True).name
        'csv.gz'
        """
        return self.format + ".gz" * self.gzipped

    @property
    def unknown(self) -> tuple[str, ...]:
        """Selected columns that the list is not known to have."""
        known = {*self.schema.columns, *self.schema.details, OTHER_COLUMNS}
        return tuple(name for name in self.columns if name not in known)

    @property
    def declared(self) -> tuple[str, ...]:
        """Columns of a new table, without those that rows may add later."""
        names = self.columns or (*self.schema.columns, *(self.schema.details if self.details else ()))
        return tuple(name for name in names if self.password_hash or name != PASSWORD_HASH)

    @property
    def header(self) -> tuple[str, ...]:
        """Columns of a format that fixes them before the first row."""
        return self.columns or (*self.declared, OTHER_COLUMNS)

    def label(self, row: Row) -> str:
        """Return the row's identifier: its id, or its identity where it carries no id."""
        return row_label(row, self.schema.key, self.schema.identity)

    def picked(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield each row with the columns to write, as the server sent them."""
        fixed = set(self.header) if self.format in FIXED_COLUMNS else set()
        declared = fixed - {OTHER_COLUMNS}  # the server may have a column of that name
        for row in rows:
            picked = row
            if OTHER_COLUMNS in fixed and not declared.issuperset(row):
                picked = {name: value for name, value in row.items() if name in declared}
                picked[OTHER_COLUMNS] = json_text({name: value for name, value in row.items() if name not in declared})
            elif self.columns:
                picked = {name: row[name] for name in self.columns if name in row}
            yield picked

    def values(self, rows: Collection[Row], misfits: list[Misfit]) -> Iterator[Row]:
        """Yield rows ready to be written, and add their invalid values to `misfits`."""
        for row, picked in zip(rows, self.picked(rows), strict=True):
            if not self.has_values:
                yield picked
                continue
            values, invalid = typed_row(self.schema, picked, self.label(row))
            misfits += invalid
            yield values

    def restored(self, row: Row) -> Row:
        """Return a row read from the output as it was before writing: typed values, lists and records, and no nulls."""
        restored: Row = {}
        for name, value in row.items():
            if value is None:
                continue
            if name == OTHER_COLUMNS and self.format in FIXED_COLUMNS:
                restored |= orjson.loads(value)
            elif name in self.schema.nested and isinstance(value, str):
                restored[name] = orjson.loads(value) if value[:1] in {"[", "{"} else value
            else:
                restored[name] = _VALUES[self.schema.kind(name)](value) if self.has_values else value
        return restored


def json_text(value: Any) -> str:
    """Return a list or a record as JSON.

    >>> json_text(["10", Decimal("5.0000")])
    '["10",5.0000]'
    """
    return orjson.dumps(value, json_number, orjson.OPT_UTC_Z).decode()


def json_number(value: object) -> orjson.Fragment:
    """Return a Decimal as a JSON number, with all its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value!r} cannot be written as JSON")


def plain(value: Any) -> str:
    """Return a value as text: numbers with all their digits, times as in RFC 3339.

    >>> from datetime import UTC
    >>> plain(datetime(2023, 10, 1, 4, 52, 26, tzinfo=UTC)), plain(Decimal("0E-9")), plain({"a": "1"})
    ('2023-10-01T04:52:26Z', '0.000000000', '{"a":"1"}')
    """
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else json_text(value)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "integer": int,
    "decimal": lambda value: value if isinstance(value, Decimal) else Decimal(str(value)),
    "datetime": lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value),
    "text": lambda value: value,
}


def spec_of(paginator: Paginator) -> ListSpec:
    """Return the description of a paginator's list; for another SOAP service, what the paginator knows of it."""
    spec: ListSpec | None = getattr(paginator.source, "spec", None)
    name = cast("ListName", paginator.operation or "rows")
    columns, nested = getattr(paginator.source, "columns", lambda _: ({}, frozenset()))(paginator.id_field)
    key, identity = paginator.id_field, paginator.identity_field
    return spec or ListSpec(name, name, key, "", columns, nested=nested, identity=identity)
