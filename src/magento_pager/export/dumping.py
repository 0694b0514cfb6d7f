"""Dumps: the order of the steps that write a list's pages, the checkpoint that covers them, and the report.

`jobs` knows which options go together, `outputs` how an output is saved, and `walk` where pages come from.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from magento_pager.errors import error_line, option
from magento_pager.export.checkpoints import Checkpoint, Fingerprint, address_of, refuse_other_query, shop_key
from magento_pager.export.files import replace_file
from magento_pager.export.increments import (
    LATE,
    TIME,
    Newest,
    Run,
    iso,
    locked_state,
    next_start,
    output_path,
    shop_time,
)
from magento_pager.export.jobs import Job, names_of
from magento_pager.export.layout import spec_of
from magento_pager.export.opening import open_output
from magento_pager.export.report import Progress, Report
from magento_pager.export.text import StandardOutput
from magento_pager.export.values import TypedPages, without_secrets
from magento_pager.walk.added import LastRow
from magento_pager.walk.duplicates import FirstOfEach
from magento_pager.walk.pages import Cursor
from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from magento_pager.export.formats import Format
    from magento_pager.export.increments import State
    from magento_pager.export.layout import Layout
    from magento_pager.export.outputs import Output
    from magento_pager.walk.pages import Misfit, Page, Row
    from magento_pager.walk.paginator import Paginator, Stage

    Hold = Callable[[bool], AbstractContextManager[None]]


def dump(
    paginator: Paginator,
    path: str | Path | Output | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    format: Format | None = None,  # noqa: A002  as on the command line
    columns: Sequence[str] = (),
    typed: bool = False,
    gzip: bool = False,
    lookback: int | None = None,
    state: str | Path | None = None,
    late: timedelta | None = None,
    moved_from: str | None = None,
    report: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Write every row of a list, in order of id: as NDJSON, CSV, Parquet, to a table of SQLite, or to a custom output.

    With a file, rows are written to FILE.part until it is complete; FILE.checkpoint records how many of them are safe,
    and later which dump made FILE. SQLite keeps both in the database.

    An exception that stops the dump has an attribute `dumped`: the report of the rows that are safe, with the message
    of the error. `resume` continues from there; a `PagerError` has the `cursor` of the walk as well.

    Args:
        paginator: the list and the query, such as `pager.orders(...)`.
        path: a file, a folder for Parquet, or a database; None or "-" for standard output; or a custom `Output`. In a
            name, `{time}` stands for the time at which the run started.
        resume: continue the last dump to this file where it stopped; start a new one if there was none.
        overwrite: replace an existing output, and an unfinished dump of it; with `resume` only a finished one.
        format: format of the output; by default from the name's ending, .csv, .parquet, .sqlite or .db, else ndjson.
        columns: names of the columns to write, in this order; empty for all that are declared.
        typed: write typed values instead of the server's text, as Parquet and SQLite always do.
        gzip: compress text with gzip, as for a name that ends with .gz.
        lookback: with `resume`, number of ids to read once more, at least 1, for rows that were committed late.
        state: a file that remembers when the last run started and the highest id so far: a run reads only rows that
            changed since or have a higher id, and the first run reads all rows. A stopped run is resumed. `path` must
            contain `{time}` or be a database.
        late: with `state`, time before the last run that is read once more; 10 minutes by default.
        moved_from: with `resume` or `state`, an address that the shop had before, as it was given or as the refusal
            names it: a dump from that address is continued.
        report: path of the report as JSON.
        progress: called after each page.

    Returns:
        The report: rows delivered, their cost, and how they were verified.

    Raises:
        ValueError: options that do not go together, or something other than an output has that name.
        FileExistsError: there is an output that may be neither resumed nor replaced.
        CheckpointMismatchError: the checkpoint is damaged, or of a dump with another query.
        BlockingIOError: another dump is writing to this output.
        OSError: the rows could not be written.
        PagerError: the shop could not be read to the end.
    """
    job = Job(
        spec_of(paginator),
        None if path == "-" else path,
        first=paginator.first,
        last=paginator.last,
        where=tuple(f"{condition.field}:{condition.operator}:{condition.value}" for condition in paginator.asked),
        since=paginator.since,
        new_from=paginator.new_from,
        details=_details_source(paginator) is not None,
        password_hash=without_secrets not in paginator.stages,
        url=getattr(paginator.source, "url", ""),
        format=format,
        gzip=gzip,
        columns=names_of(columns),
        typed=typed or any(isinstance(stage, TypedPages) for stage in paginator.stages),
        resume=resume,
        overwrite=overwrite,
        lookback=lookback,
        state=state,
        late=late,
        moved_from=moved_from,
        report=report,
        all_columns=getattr(paginator.source, "all_columns", False),
    )
    with Task(job) as task:
        return task.finished_report() or task.run(paginator, progress)


@dataclass(slots=True)
class Dump:
    """Writer of pages, one after the other.

    Attributes:
        checkpoint: where to resume; later the checkpoint that covers all pages added.
        output: destination of the rows.
        id_field: name of the id column.
        identity_field: another column in which no two rows are the same, for rows that carry no id.
        layout: columns and values to write, for an output that does not convert rows itself.
        received: returns the number of bytes received from the server so far.
        annotate: returns a checkpoint with the ways in which rows and full records are fetched.
        adding: True while a page is only partly written.
    """

    checkpoint: Checkpoint
    output: Output
    id_field: str
    identity_field: str | None = None
    layout: Layout | None = None
    received: Callable[[], int] = lambda: 0
    annotate: Callable[[Checkpoint], Checkpoint] = lambda checkpoint: checkpoint
    adding: bool = False
    _began: float = field(init=False)
    _bytes_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._began = time.monotonic() - self.checkpoint.counters.seconds
        self._bytes_before = self.checkpoint.counters.bytes - self.received()

    def add(self, page: Page, known: Container[str] | None = None) -> Checkpoint:
        """Write a page, and return the checkpoint that covers it.

        Args:
            page: the next page, or one of ids that were covered before.
            known: for the latter, the labels of the rows in the output, see `label_of`; only other rows are written.

        Raises:
            OSError: the output did not take the page; the checkpoint is the one before it.
        """
        self.adding = True
        misfits: list[Misfit] = []
        rows = page.rows if known is None else [row for row in page.rows if self.label_of(row) not in known]
        converted = list(self.layout.values(rows, misfits)) if self.layout else rows
        misfits = [*(self.output.write(converted) or ()), *misfits]
        position = getattr(self.output, "position", 0)  # a custom output may have none
        checkpoint = self.checkpoint.after(page, self.id_field, position, None if known is None else rows)
        received = self._bytes_before + self.received()
        counters = replace(checkpoint.counters, bytes=received, seconds=round(time.monotonic() - self._began, 3))
        checkpoint = self.annotate(replace(checkpoint.with_misfits(misfits), counters=counters))
        self.output.keep(checkpoint)
        self.adding = False
        self.checkpoint = checkpoint
        return checkpoint

    def label_of(self, row: Row) -> str:
        """Return the row's identifier: its id, or its identity where rows carry no id."""
        return row_label(row, self.id_field, self.identity_field)


class Task:
    """A dump in steps, as `dump` and the command line run it.

    A context manager: entering it inspects the output before any call to the shop; leaving it releases the output, and
    sets the attribute `dumped` of an exception that stopped the dump.

    Attributes:
        path: path of the output, once it is known; None for standard output.
        since: rows changed at this time or later are read; None for all rows, or while it is unknown.
        new_from: rows with this id or a higher one are read whenever they changed; None for none, or while unknown.
        begun: True once the output is locked.
    """

    def __init__(self, job: Job) -> None:
        """Refuse options that do not go together."""
        self.path = job.file
        self.since = job.since if isinstance(job.since, datetime) else None
        self.new_from = job.new_from
        self.begun = False
        self._job = job
        self._layout = job.layout()
        for column in self._layout.unknown:
            warnings.warn(
                f"{column} is not a known column of {job.spec.name}. It is empty unless this shop sends it.",
                stacklevel=2,
            )
        self._resume = job.resume
        self._state: State | None = None
        self._run: Run | None = None
        self._newest: Newest | None = None
        self._last_row: LastRow | None = None
        self._first_of_each: FirstOfEach | None = None
        self._output: Output | None = None
        self._dump: Dump | None = None
        self._details_source: Callable[[], Mapping[str, str | None]] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            if self._job.state:
                self._state = stack.enter_context(locked_state(self._job.state))
            if not self._output_depends_on_start:
                self._output = self._open_output()
            self._checkpoint = (None if self._output is None else self._output.saved) or self._start("")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        with self._stack:
            if error is not None and getattr(error, "dumped", None) is None:
                self._stopped(error)

    def finished_report(self) -> Report | None:
        """Return the report where the output is finished, as far as that is known without a call; None otherwise.

        Raises:
            CheckpointMismatchError: the finished output is of another query.
            OSError: the report cannot be written.
        """
        if self._output is None or not self._output.finished:
            self._write(self._report())
            return None
        same = shop_key(self._checkpoint.url) == shop_key(self._job.url) and self.since == self._job.since
        return self._already_finished(self._output, self._checkpoint.fingerprint.shop) if same else None

    def run(
        self,
        paginator: Paginator,
        progress: Callable[[Progress], None] | None = None,
        hold: Hold = lambda _: nullcontext(),
    ) -> Report:
        """Dump the pages of a paginator that has the query of the job.

        Args:
            paginator: of the list.
            progress: called after each page.
            hold: returns a context manager for each step that must not be interrupted; its argument is True for the
                last step.

        Raises: see `dump`.
        """
        try:
            shop = getattr(paginator.source, "shop", "")
            output = self._plan(paginator, shop)
            if output.finished:
                return self._already_finished(output, shop)
            self._write_pages(self._incremental(paginator), output, shop, progress, hold)
            with hold(True):  # noqa: FBT003  the last step
                return self._finish(output)
        except BaseException as error:
            self._stopped(error)  # at once: logging out may take long, and a second signal may arrive during it
            raise

    @property
    def _output_depends_on_start(self) -> bool:
        """True where the output's name, or which output is resumed, depends on when the run started."""
        return bool(self._job.state) or TIME in (self._job.file or "")

    def _plan(self, paginator: Paginator, shop: str) -> Output:
        """Set the time range of the run, by the shop's clock, and return the output."""
        local_now, clock = datetime.now(UTC), _clock(paginator)
        if self._state is None:
            now = shop_time(clock) if self._output_depends_on_start else local_now
            run = Run(
                now, paginator.since, output_path(self.path, now), resumed=self._resume, new_from=paginator.new_from
            )
        else:
            if clock is None:  # this machine's suffices, because rows have a time of change
                warnings.warn("The shop does not send its time: this machine's clock is used instead.", stacklevel=2)
            late = LATE if self._job.late is None else self._job.late
            run = self._state.plan(
                self._fingerprint(shop),
                clock or local_now,
                local_now=local_now,
                late=late,
                out=self.path,
                moved_from=self._job.moved_from,
            )
        self._run, self.since, self.new_from = run, run.since, run.new_from
        if self._output_depends_on_start:
            self.path, self._resume = run.out, run.resumed
        output = self._output = self._open_output() if self._output is None else self._output
        self._checkpoint = output.saved or self._checkpoint
        if self._state is not None:
            if not self._checkpoint.counters.pages:  # the rows already written cannot be dated any more
                self._newest = Newest(run.latest or run.begun, lambda: _clock(paginator), paginator.id_field)
            self._state.begin()
        return output

    def _write_pages(
        self, paginator: Paginator, output: Output, shop: str, progress: Callable[[Progress], None] | None, hold: Hold
    ) -> None:
        self._details_source = _details_source(paginator)
        wire, clock = getattr(paginator.wires or paginator.source, "used", lambda: None), _clock(paginator)
        began = clock.isoformat() if clock else ""
        start = output.begin(replace(self._start(shop, paginator.operation), url=self._job.url, began=began))
        if self._job.moved_from:
            start = replace(start, fingerprint=replace(start.fingerprint, shop=shop), url=self._job.url)
        dump = self._dump = Dump(
            start,
            output,
            paginator.id_field,
            paginator.identity_field,
            layout=None if self._job.custom_output is None else self._layout,
            received=lambda: getattr(paginator.source, "bytes_received", 0),
            annotate=lambda checkpoint: replace(checkpoint.with_wire(wire()), details=self._details()),
        )
        self.begun = True
        if self._state is not None and clock is not None:
            self._state.warn_of_clock(clock)
        before, retries = dump.checkpoint.counters.rows, 0
        for page, known in self._pages(paginator, dump):
            if known is None and self._newest is not None:
                self._newest.add(page.rows)
            with hold(False):  # noqa: FBT003  not the last step
                self._checkpoint = dump.add(page, known)
            retries += page.stats.retries
            if progress is not None:
                next_id, counters = self._checkpoint.cursor.next_id, self._checkpoint.counters
                fresh = counters.rows - before
                progress(Progress(counters.rows, fresh, counters.calls, retries, page.window, next_id, page.ahead))
            del page  # frees its rows before the next page is fetched

    def _incremental(self, paginator: Paginator) -> Paginator:
        """Return the paginator with the time range of the run, and with the server's text in its rows."""
        stages: tuple[Stage, ...] = tuple(stage for stage in paginator.stages if not isinstance(stage, TypedPages))
        if self._state is not None and paginator.identity_field and (self.since is None or self.new_from is not None):
            self._last_row = LastRow(paginator.key, self.new_from or 0, paginator.last)
            stages = (self._last_row, *stages)
        if self._layout.format == "sqlite" and paginator.identity_field and not self._job.details:
            self._first_of_each = FirstOfEach(paginator.key, paginator.identity_field)
            stages = (*stages, self._first_of_each)
        last_run = self._run.last_run(self._job.spec) if self._run else None
        return replace(paginator, stages=stages, since=self.since, new_from=self.new_from, last_run=last_run)

    def _pages(self, paginator: Paginator, dump: Dump) -> Iterator[tuple[Page, set[str] | None]]:
        """Yield the pages: first those of the ids to look back on, each with the labels of the rows in the output."""
        if self._job.lookback and (span := dump.checkpoint.lookback(self._job.lookback)):
            known = set(map(dump.label_of, dump.output.tail(dump.checkpoint.offset_of(span.first))))
            for page in replace(paginator, first=span.first, last=span.last).pages():
                yield page, known
        name, cursor = paginator.identity_field, dump.checkpoint.cursor
        if name and dump.checkpoint.counters.verified == "sampled":  # earlier rows reveal a page that is sent twice
            if self._first_of_each is not None:
                self._first_of_each.add(str(row[name]) for row in dump.output.tail(0) if row.get(name))
            identities = (str(row[name]) for row in dump.output.tail(0) if row.get(name))
            pages = paginator.pages(cursor, identities)
        else:
            pages = paginator.pages(cursor)
        for page in pages:
            yield page, None
            del page

    def _open_output(self) -> Output:
        """Return the output, inspected but not changed."""
        job, report = self._job, self._job.report and Path(self._job.report).absolute()
        if job.custom_output is not None:
            return self._stack.enter_context(closing(job.custom_output))
        if self.path is None:
            if sys.stdout is None:
                raise ValueError(f"Standard output is closed. Set {option('out')} to write to a file.")
            return StandardOutput(self._layout)
        # An increment adds to the table of an earlier run, or to an existing one.
        increment = self.since is not None or (self._run is None and job.since is not None)
        adding = self._layout.format == "sqlite" and increment and (bool(job.state) or Path(self.path).exists())
        output = open_output(
            self.path, self._layout, resume=self._resume, overwrite=job.overwrite, into_existing=adding
        )
        if report in {name.absolute() for name in output.names}:
            raise ValueError(
                f"{option('report')} and the dump both use the file {job.report}. Choose another name for the report."
            )
        return self._stack.enter_context(closing(output))

    def _fingerprint(self, shop: str) -> Fingerprint:
        job, layout, since = self._job, self._layout, iso(self.since) if self.since else ""
        where = tuple(sorted(job.where))
        form = layout.name, layout.columns, layout.has_values, layout.password_hash, layout.details
        saved = self._output.saved if self._output else None
        query = address_of(shop, saved, job.moved_from), job.spec.name, job.first, job.last, where
        return Fingerprint(*query, *form, since, self.new_from, job.all_columns)

    def _start(self, shop: str, operation: str = "") -> Checkpoint:
        return Checkpoint(self._fingerprint(shop), Cursor(operation, self._job.first, self._job.last))

    def _already_finished(self, output: Output, shop: str) -> Report:
        """Return the report of a finished output; refuse one of another query."""
        advice = f"Choose another name, or replace it with {option('overwrite')}."
        refuse_other_query(Path(self.path or ""), self._checkpoint, self._fingerprint(shop), advice)
        return replace(self._finish(output), already=True)

    def _finish(self, output: Output) -> Report:
        """Publish the output, and write the report."""
        if not output.finished:
            output.publish()
        report = self._report(complete=True)
        self._write(report)
        output.settle()
        if self._state is not None and self._run is not None:
            counters = self._checkpoint.counters
            newest, newest_id = (self._newest.time, self._newest.id) if self._newest else (None, None)
            last_row = self._last_row.id if self._last_row else None
            self._state.complete(
                next_start(self._run, self._state.last, rows=counters.rows, newest=newest),
                dated_by_rows=newest is not None,
                highest_id=max(self._checkpoint.met, last_row or -1, counters.last_id or -1),
                newest=newest_id,
                new_rows=counters.rows if self.new_from is None else counters.new,
            )
            output.forget()  # each run has its own output, which is never resumed
        return report

    def _stopped(self, error: BaseException) -> None:
        """Flush the output, and write a report with the error that stopped the dump."""
        output = self._output
        if output is not None:
            if isinstance(error, Exception) or not (self._dump and self._dump.adding):
                with suppress(OSError):  # the disk may be the cause
                    output.flush()
            self._checkpoint = output.saved or self._checkpoint
        report = self._report(error=error_line(error))
        if output is None or self.begun or not output.finished:
            with suppress(OSError):  # the first error matters more than one of the report
                self._write(report)
        error.dumped = report  # type: ignore[attr-defined]  # see dump

    def _report(self, *, complete: bool = False, error: str | None = None) -> Report:
        report = Report(self._checkpoint, complete, error, self._details())
        if self._output is None:
            return report
        part = self._output.part if self.begun and self._output.saved else None
        standard = isinstance(self._output, StandardOutput)
        return replace(
            report, path=self._output.path, part=part, published=self._output.finished, to_standard_output=standard
        )

    def _details(self) -> Mapping[str, str | None] | None:
        """Return how full records are fetched in this run, or were in the last one."""
        return self._details_source() if self._details_source else self._checkpoint.details

    def _write(self, report: Report) -> None:
        """Write the report; a file is replaced as a whole or not at all."""
        if self._job.report:
            path, text = Path(self._job.report), json.dumps(report.as_json(), indent=2) + "\n"
            if path.exists() and not path.is_file():
                path.write_text(text, encoding="utf-8")  # a pipe, or a terminal
            else:
                replace_file(path, text.encode())


def _details_source(paginator: Paginator) -> Callable[[], dict[str, str | None]] | None:
    """Return a function that tells how full records are fetched; None where rows are not full records."""
    stages = cast("tuple[Any, ...]", paginator.stages)
    return next((stage.as_json for stage in stages if hasattr(stage, "as_json")), None)


def _clock(paginator: Paginator) -> datetime | None:
    return getattr(paginator.source, "clock", None)
