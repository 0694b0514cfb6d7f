"""Names of the formats and of the file name endings that select them: plain data, quick to import."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, get_args

Format: TypeAlias = Literal["ndjson", "csv", "parquet", "sqlite"]

FORMATS: tuple[Format, ...] = get_args(Format)
TYPED_ALWAYS = frozenset({"parquet", "sqlite"})
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
}
"""Format for each file name ending; every other ending means NDJSON."""


def format_of(path: str | Path) -> tuple[Format, bool]:
    """Return the format for the ending of a file name, and whether it is gzipped.

    >>> format_of("orders.csv.gz"), format_of("orders.ndjson"), format_of("shop.db")
    (('csv', True), ('ndjson', False), ('sqlite', False))
    """
    path = Path(path)
    gzipped = path.suffix.lower() == ".gz"
    ending = (path.with_suffix("") if gzipped else path).suffix.lower()
    return ENDINGS.get(ending, "ndjson"), gzipped
