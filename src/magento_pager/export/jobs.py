"""Jobs: what is asked of a dump, which rows and in what form, and what of that does not go together."""

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
    """Return the columns to write; a TypeError where they are one text, which would be read letter by letter."""
    if isinstance(columns, str):
        raise TypeError(
            f"columns is a list of names, such as ['order_id', 'status'], not {columns!r}; rows with the columns of "
            'extensions as well come from pager.orders(columns="all")'
        )
    return tuple(columns)


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of a dump: which rows, as the paginator will bring them, and the options of `dump`.

    Attributes:
        where: FIELD:OP:VALUE each.
        since: from when on rows changed, or how long ago that is; None for all rows.
        new_from: the first id of rows that are wanted whenever they changed; None for none.
        url: of the shop, as it was given.
        moved_from: an address that the shop had before; None where it has always been at this one.
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
        """The name of the output; None for standard output and an `Output` of the user's own."""
        return str(self.path) if isinstance(self.path, str | Path) else None

    @property
    def own(self) -> Output | None:
        """The user's own output, or None."""
        return None if isinstance(self.path, str | Path) else self.path

    def layout(self) -> Layout:
        """Return how rows are written, or refuse what does not go together."""
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
        key, nowhere = self.spec.key, not self.file and self.own is None
        if layout.format in {"parquet", "sqlite"} and not self.file:
            raise ValueError(f"{layout.format} is no text that could go to standard output: give {option('out')}")
        if self.columns and self.lookback and key not in self.columns:
            raise ValueError(f"{option('lookback')} tells rows apart by {key}: name it in {option('columns')}")
        for given, name, needed in (
            (self.overwrite and nowhere, "overwrite", "out"),
            (self.resume and nowhere, "resume", "out"),
            (self.lookback and not self.resume, "lookback", "resume"),
        ):
            if given:
                raise ValueError(f"{option(name)} is for {option(needed)}: give that as well")
        if self.moved_from is not None:
            self._check_moved_from(self.moved_from)
        if self.late is not None and not self.state:
            words = f"give that as well, or an earlier {option('since')}"
            raise ValueError(f"{option('late')} is for {option('state')}: {words}")
        if self.state:
            self._check_state(Path(self.state), layout.format)
        return layout

    def _check_moved_from(self, url: str) -> None:
        if not (self.resume or self.state):
            words = f"{option('resume')} or {option('state')}: give one of them as well"
            raise ValueError(f"{option('moved-from')} is for {words}")
        if not url.lower().startswith(("http://", "https://")):
            words = "is an address that the shop had, such as https://www.shop.example"
            raise ValueError(f"{option('moved-from')} {words}, not {url!r}")

    def _check_state(self, state: Path, format: Format) -> None:  # noqa: A002  as on the command line
        if self.since:
            raise ValueError(f"{option('state')} knows since when: leave {option('since')} away")
        refuse_with_since(map(Condition.parse, self.where))  # also in the first run, which asks for all rows
        if self.resume:
            raise ValueError(f"{option('state')} goes on by itself: leave {option('resume')} away")
        if format != "sqlite" and TIME not in (self.file or TIME) and not self.overwrite:
            raise ValueError(
                f"the next run would find {self.file}: give each a file of its own, such as {option('out')} "
                f"orders-{TIME}.ndjson, or put them all into a table, {option('out')} shop.sqlite "
                f"({option('overwrite')} keeps what the last run brought alone)"
            )
        if self.report and Path(self.report).absolute() == state.absolute():
            raise ValueError(f"{option('report')} is the name of the state: {self.report}")
