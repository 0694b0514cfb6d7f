"""Opening an output of any format for a dump."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magento_pager.export.text import TextOutput

if TYPE_CHECKING:
    from pathlib import Path

    from magento_pager.export.layout import Layout
    from magento_pager.export.outputs import Output


def open_output(
    path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False, into_existing: bool = False
) -> Output:
    """Return the output of that name, inspected but not changed; see `LockedOutput` and `SqliteOutput`."""
    if layout.format == "sqlite":
        from magento_pager.export.sqlite import SqliteOutput  # noqa: PLC0415  as below

        return SqliteOutput(path, layout, resume=resume, overwrite=overwrite, into_existing=into_existing)
    if into_existing:
        raise ValueError(f"Only SQLite can add rows to a finished output, not {layout.name}.")
    if layout.format == "parquet":
        from magento_pager.export.parquet import ParquetOutput  # noqa: PLC0415  a dump as text starts faster without it

        return ParquetOutput(path, layout, resume=resume, overwrite=overwrite)
    return TextOutput(path, layout, resume=resume, overwrite=overwrite)
