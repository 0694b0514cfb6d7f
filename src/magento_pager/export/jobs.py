"""Jobs: the options of a dump, and which of them do not go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magento_pager.errors import option
from magento_pager.export.formats import format_of
from magento_pager.export.increments import TIME
from magento_pager.export.layout import Layout
from magento_pager.walk.changes import refuse_with_since
from magento_pager.walk.conditions import Condition
from magento_pager.walk.ranges import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from magento_pager.export.formats import Format
    from magento_pager.export.outputs import Output
    from magento_pager.lists import ListSpec


def names_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to write; raise TypeError for a string, which would be read letter by letter."""
    if isinstance(columns, str):
        raise TypeError(
            f"columns must be a list of names, such as ['order_id', 'status'], not {columns!r}. To get the columns of "
            'extensions as well, use pager.orders(columns="all").'
        )
    return tuple(columns)


@dataclass(frozen=True, slots=True)
class Job:
    """Options of a dump: the query, as the paginator has it, and the arguments of `dump`.

    Attributes:
        where: conditions, each FIELD:OP:VALUE.
        since: rows changed at this time or later, or within this time; None for all rows.
        new_from: rows with this id or a higher one are included whenever they changed; None for none.
        url: the shop's address, as it was given.
        moved_from: an address that the shop had before; None if it had none.
        all_columns: rows have the columns that the shop's WSDL does not declare.
    """

    spec: ListSpec
    path: str | Path | Output | None = None
    first: int = 0
    last: int = MAX_ID
    where: tuple[str, ...] = ()
    since: datetime | timedelta | None = None
    new_from: int | None = None
    details: bool = False
    password_hash: bool = False
    url: str = ""
    format: Format | None = None
    gzip: bool = False
    columns: tuple[str, ...] = ()
    typed: bool = False
    resume: bool = False
    overwrite: bool = False
    lookback: int | None = None
    state: str | Path | None = None
    late: timedelta | None = None
    report: str | Path | None = None
    moved_from: str | None = None
    all_columns: bool = False

    @property
    def file(self) -> str | None:
        """Path of the output; None for standard output and a custom `Output`."""
        return str(self.path) if isinstance(self.path, str | Path) else None

    @property
    def custom_output(self) -> Output | None:
        """The custom output, or None."""
        return None if isinstance(self.path, str | Path) else self.path

    def layout(self) -> Layout:
        """Return the layout of the output; raise ValueError where options do not go together."""
        ending, gzipped = format_of(self.file or "")
        layout = Layout(
            self.spec,
            self.format or ending,
            gzipped=self.gzip or gzipped,
            columns=self.columns,
            typed=self.typed,
            details=self.details,
            password_hash=self.password_hash,
        )
        key, to_stdout = self.spec.key, not self.file and self.custom_output is None
        if layout.format in {"parquet", "sqlite"} and not self.file:
            raise ValueError(f"{layout.format} cannot be written to standard output. Set {option('out')}.")
        if self.columns and self.lookback and key not in self.columns:
            raise ValueError(f"{option('lookback')} needs the column {key}. Add it to {option('columns')}.")
        for given, name, needed in (
            (self.overwrite and to_stdout, "overwrite", "out"),
            (self.resume and to_stdout, "resume", "out"),
            (self.lookback and not self.resume, "lookback", "resume"),
        ):
            if given:
                raise ValueError(f"{option(name)} needs {option(needed)}. Set both, or neither.")
        if self.moved_from is not None:
            self._check_moved_from(self.moved_from)
        if self.late is not None and not self.state:
            raise ValueError(
                f"{option('late')} needs {option('state')}. Set that as well, or use an earlier {option('since')}."
            )
        if self.state:
            self._check_state(Path(self.state), layout.format)
        return layout

    def _check_moved_from(self, url: str) -> None:
        if not (self.resume or self.state):
            raise ValueError(
                f"{option('moved-from')} needs {option('resume')} or {option('state')}. Set one of them as well."
            )
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(
                f"{option('moved-from')} must be a former address of the shop, such as https://www.shop.example, "
                f"not {url!r}."
            )

    def _check_state(self, state: Path, format: Format) -> None:  # noqa: A002  as on the command line
        if self.since:
            raise ValueError(f"{option('state')} sets the time itself. Remove {option('since')}.")
        refuse_with_since(map(Condition.parse, self.where))  # also in the first run, which reads all rows
        if self.resume:
            raise ValueError(f"{option('state')} resumes by itself. Remove {option('resume')}.")
        if format != "sqlite" and TIME not in (self.file or TIME) and not self.overwrite:
            raise ValueError(
                f"The next run could not write to {self.file}, which would already exist. Use a new file for each run, "
                f"such as {option('out')} orders-{TIME}.ndjson, or one table for all, {option('out')} shop.sqlite. "
                f"({option('overwrite')} keeps only the rows of the last run.)"
            )
        if self.report and Path(self.report).absolute() == state.absolute():
            raise ValueError(
                f"{option('report')} and {option('state')} are the same file, {self.report}. Choose another name for "
                "the report."
            )
