"""Dumps: the pages of a list to an output, a checkpoint that covers them, and the report: the order of the steps.

What may be asked for is known to `jobs`; how an output is made safe, to `outputs`; where pages come from, to `walk`.
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
    """Write every row of a list, in order of id: as NDJSON, CSV, Parquet, into a table of SQLite, or where you like.

    With a file, the rows go to FILE.part until all are there; FILE.checkpoint says how many are safe, and stays to say
    of which dump FILE is. SQLite keeps both in the database.

    Whatever stops the dump is raised with an attribute `dumped`: the report of what is safe, and the words of the
    error. `resume` goes on from there; a `PagerError` has the `cursor` of the walk as well.

    Args:
        paginator: of the list, which says what is wanted: `pager.orders(...)`.
        path: a file, a folder of Parquet or a database; None or "-" for standard output; or an `Output` of your own.
            In a name, `{time}` stands for the time at which the run began.
        resume: go on where the last dump to this file was stopped; begin where there was none.
        overwrite: replace what is there, and an unfinished dump of it; with `resume` only a finished one.
        format: how rows are written; by default what the name ends with, .csv, .parquet, .sqlite or .db, else ndjson.
        columns: those to write, in this order; empty for all that are declared.
        typed: values instead of the server's text, as Parquet and SQLite have always.
        gzip: pack text by gzip, as where the name ends with .gz.
        lookback: with `resume`, read so many ids once more, at least 1, for rows that were committed late.
        state: a file that remembers when the last run began, and the highest id that came: only rows that changed since
            or have a higher id are wanted, and all the first time. A run that was stopped is resumed. Then `path` has
            `{time}` in it, or is a database.
        late: with `state`, how much before the last run to read once more; 10 minutes by default.
        moved_from: with `resume` or `state`, an address that the shop had before, as it was given or as the refusal
            names it: what was dumped from there is of this shop.
        report: where the report goes as JSON.
        progress: called after each page.

    Returns:
        What was delivered, what it cost, and how far it can be trusted.

    Raises:
        ValueError: options that do not go together, or something else is where the rows should go.
        FileExistsError: what is there may neither be resumed nor be replaced.
        CheckpointMismatchError: something else was asked for when the checkpoint was made, or it is damaged.
        BlockingIOError: another dump is writing there.
        OSError: the rows could not be written.
        PagerError: the walk cannot go on.
    """
    job = Job(
        spec_of(paginator),
        None if path == "-" else path,
        first=paginator.first,
        last=paginator.last,
        where=tuple(f"{one.field}:{one.operator}:{one.value}" for one in paginator.asked),
        since=paginator.since,
        new_from=paginator.new_from,
        details=_way_of(paginator) is not None,
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
    """Takes pages, one after the other.

    Attributes:
        checkpoint: where to resume; then the one that covers the pages that are safe.
        output: takes the rows, and makes them safe.
        id_field: what rows call the key.
        identity_field: another field that no two rows share, where rows may carry no id.
        layout: the columns and values that are asked for, where the output does not see to that itself.
        received: says how many bytes came from the server so far.
        told: adds to a checkpoint by which ways rows and records in full come.
        torn: True while a page is half taken.
    """

    checkpoint: Checkpoint
    output: Output
    id_field: str
    identity_field: str | None = None
    layout: Layout | None = None
    received: Callable[[], int] = lambda: 0
    told: Callable[[Checkpoint], Checkpoint] = lambda checkpoint: checkpoint
    torn: bool = False
    _began: float = field(init=False)
    _bytes_before: int = field(init=False)

    def __post_init__(self) -> None:
        self._began = time.monotonic() - self.checkpoint.counters.seconds
        self._bytes_before = self.checkpoint.counters.bytes - self.received()

    def add(self, page: Page, known: Container[str] | None = None) -> Checkpoint:
        """Make a page safe, and return the checkpoint that covers it.

        Args:
            page: the next one, or one of ids that were covered before.
            known: for the latter, what the rows in the output are known by, see `known_by`; only others are added.

        Raises:
            OSError: the output did not take it; the checkpoint is the one before it.
        """
        self.torn = True
        misfits: list[Misfit] = []
        rows = page.rows if known is None else [row for row in page.rows if self.known_by(row) not in known]
        shaped = list(self.layout.values(rows, misfits)) if self.layout else rows
        misfits = [*(self.output.write(shaped) or ()), *misfits]
        position = getattr(self.output, "position", 0)  # a user's own output may have none
        found = self.checkpoint.after(page, self.id_field, position, None if known is None else rows)
        received = self._bytes_before + self.received()
        counters = replace(found.counters, bytes=received, seconds=round(time.monotonic() - self._began, 3))
        found = self.told(replace(found.with_misfits(misfits), counters=counters))
        self.output.keep(found)
        self.torn = False
        self.checkpoint = found
        return found

    def known_by(self, row: Row) -> str:
        """Return what no other row of the list has: its id, or its identity where rows carry no id."""
        return row_label(row, self.id_field, self.identity_field)


class Task:
    """A job that is done, step by step, as `dump` and the command line do it.

    Use it as a context: entering it looks at the output, before anything is asked of the shop; leaving it lets go of
    that, and gives the error that stopped it, if any, its `dumped`.

    Attributes:
        path: where the rows go, once that is known; None for standard output.
        since: from when on rows are wanted, once that is known; else None.
        new_from: the first id of rows that are wanted whenever they changed, once that is known; else None.
        begun: True once the output is ours.
    """

    def __init__(self, job: Job) -> None:
        """Refuse what does not go together."""
        self.path = job.file
        self.since = job.since if isinstance(job.since, datetime) else None
        self.new_from = job.new_from
        self.begun = False
        self._job = job
        self._layout = job.layout()
        for one in self._layout.unknown:
            words = f"no {job.spec.name} are known to have the column {one}; it is empty unless this shop sends it"
            warnings.warn(words, stacklevel=2)
        self._resume = job.resume
        self._state: State | None = None
        self._run: Run | None = None
        self._newest: Newest | None = None
        self._last_row: LastRow | None = None
        self._first_of_each: FirstOfEach | None = None
        self._output: Output | None = None
        self._dumping: Dump | None = None
        self._way_now: Callable[[], Mapping[str, str | None]] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            if self._job.state:
                self._state = stack.enter_context(locked_state(self._job.state))
            if not self._named_late:
                self._output = self._opened()
            self._checkpoint = (None if self._output is None else self._output.saved) or self._start("")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        with self._stack:
            if error is not None and getattr(error, "dumped", None) is None:
                self._stopped(error)

    def finished_report(self) -> Report | None:
        """Return the report where nothing is left to be dumped, as far as can be known without a call; else None.

        Raises:
            CheckpointMismatchError: the finished output is of something else.
            OSError: the report cannot be written.
        """
        if self._output is None or not self._output.finished:
            self._write(self._report())
            return None
        known = shop_key(self._checkpoint.url) == shop_key(self._job.url) and self.since == self._job.since
        return self._found_finished(self._output, self._checkpoint.fingerprint.shop) if known else None

    def run(
        self,
        paginator: Paginator,
        progress: Callable[[Progress], None] | None = None,
        hold: Hold = lambda _: nullcontext(),
    ) -> Report:
        """Dump what the paginator brings; it asks for the same as the job.

        Args:
            paginator: of the list.
            progress: called after each page.
            hold: gives the context of each step that must not be cut in two; its argument is True for the last one.

        Raises: see `dump`.
        """
        try:
            shop = getattr(paginator.source, "shop", "")
            output = self._planned(paginator, shop)
            if output.finished:
                return self._found_finished(output, shop)
            self._take_pages(self._asking(paginator), output, shop, progress, hold)
            with hold(True):  # noqa: FBT003  the last step
                return self._finish(output)
        except BaseException as error:
            self._stopped(error)  # at once: to log out may take long, and a second signal may come meanwhile
            raise

    @property
    def _named_late(self) -> bool:
        """True where the output's name, or what is in it already, depends on when the run began."""
        return bool(self._job.state) or TIME in (self._job.file or "")

    def _planned(self, paginator: Paginator, shop: str) -> Output:
        """Find out since when rows are wanted, by the clock of the shop, and return where they go."""
        ours, clock = datetime.now(UTC), _clock(paginator)
        if self._state is None:
            now = shop_time(clock) if self._named_late else ours
            run = Run(
                now, paginator.since, output_path(self.path, now), resumed=self._resume, new_from=paginator.new_from
            )
        else:
            if clock is None:  # ours is good enough, as rows say when they were changed
                warnings.warn(
                    "the shop does not say what time it is there: that of this machine is taken", stacklevel=2
                )
            late = LATE if self._job.late is None else self._job.late
            asked, old = self._asked(shop), self._job.moved_from
            run = self._state.plan(asked, clock or ours, ours=ours, late=late, out=self.path, moved_from=old)
        self._run, self.since, self.new_from = run, run.since, run.new_from
        if self._named_late:
            self.path, self._resume = run.out, run.resumed
        output = self._output = self._opened() if self._output is None else self._output
        self._checkpoint = output.saved or self._checkpoint
        if self._state is not None:
            if not self._checkpoint.counters.pages:  # rows that are there already say nothing more
                self._newest = Newest(run.latest or run.begun, lambda: _clock(paginator), paginator.id_field)
            self._state.begin()
        return output

    def _take_pages(
        self, paginator: Paginator, output: Output, shop: str, progress: Callable[[Progress], None] | None, hold: Hold
    ) -> None:
        self._way_now = _way_of(paginator)
        wire, clock = getattr(paginator.wires or paginator.source, "used", lambda: None), _clock(paginator)
        began = clock.isoformat() if clock else ""
        start = output.begin(replace(self._start(shop, paginator.operation), url=self._job.url, began=began))
        if self._job.moved_from:
            start = replace(start, fingerprint=replace(start.fingerprint, shop=shop), url=self._job.url)
        dumping = self._dumping = Dump(
            start,
            output,
            paginator.id_field,
            paginator.identity_field,
            layout=None if self._job.own is None else self._layout,
            received=lambda: getattr(paginator.source, "bytes_received", 0),
            told=lambda checkpoint: replace(checkpoint.with_wire(wire()), details=self._way()),
        )
        self.begun = True
        if self._state is not None and clock is not None:
            self._state.warn_of_clock(clock)
        before, retries = dumping.checkpoint.counters.rows, 0
        for page, known in self._pages(paginator, dumping):
            if known is None and self._newest is not None:
                self._newest.add(page.rows)
            with hold(False):  # noqa: FBT003  not the last step
                self._checkpoint = dumping.add(page, known)
            retries += page.stats.retries
            if progress is not None:
                at, counters = self._checkpoint.cursor.next_id, self._checkpoint.counters
                fresh = counters.rows - before
                progress(Progress(counters.rows, fresh, counters.calls, retries, page.window, at, page.ahead))
            del page  # or its rows take memory while the next ones come

    def _asking(self, paginator: Paginator) -> Paginator:
        """The paginator of what is wanted since the last run, with the server's text in its rows."""
        stages: tuple[Stage, ...] = tuple(one for one in paginator.stages if not isinstance(one, TypedPages))
        if self._state is not None and paginator.identity_field and (self.since is None or self.new_from is not None):
            self._last_row = LastRow(paginator.key, self.new_from or 0, paginator.last)
            stages = (self._last_row, *stages)
        if self._layout.format == "sqlite" and paginator.identity_field and not self._job.details:
            self._first_of_each = FirstOfEach(paginator.key, paginator.identity_field)
            stages = (*stages, self._first_of_each)
        last_run = self._run.left(self._job.spec) if self._run else None
        return replace(paginator, stages=stages, since=self.since, new_from=self.new_from, last_run=last_run)

    def _pages(self, paginator: Paginator, dumping: Dump) -> Iterator[tuple[Page, set[str] | None]]:
        """The pages: first those of ids to look back on, each with what the output holds of them already."""
        if self._job.lookback and (span := dumping.checkpoint.lookback(self._job.lookback)):
            known = set(map(dumping.known_by, dumping.output.tail(dumping.checkpoint.offset_of(span.first))))
            for page in replace(paginator, first=span.first, last=span.last).pages():
                yield page, known
        name, cursor = paginator.identity_field, dumping.checkpoint.cursor
        if name and dumping.checkpoint.counters.verified == "sampled":  # what came tells a page that comes twice
            if self._first_of_each is not None:
                self._first_of_each.add(str(row[name]) for row in dumping.output.tail(0) if row.get(name))
            came = (str(row[name]) for row in dumping.output.tail(0) if row.get(name))
            pages = paginator.pages(cursor, came)
        else:
            pages = paginator.pages(cursor)
        for page in pages:
            yield page, None
            del page

    def _opened(self) -> Output:
        """Where the rows go, looked at and not yet touched."""
        job, report = self._job, self._job.report and Path(self._job.report).absolute()
        if job.own is not None:
            return self._stack.enter_context(closing(job.own))
        if self.path is None:
            if sys.stdout is None:
                raise ValueError(f"standard output is closed: give {option('out')}")
            return StandardOutput(self._layout)
        # Into the table that a run before this one made; or that somebody else did, if it is there.
        increment = self.since is not None or (self._run is None and job.since is not None)
        adding = self._layout.format == "sqlite" and increment and (bool(job.state) or Path(self.path).exists())
        output = open_output(
            self.path, self._layout, resume=self._resume, overwrite=job.overwrite, into_existing=adding
        )
        if report in {one.absolute() for one in output.names}:
            raise ValueError(f"{option('report')} is the name of a file of the dump: {job.report}")
        return self._stack.enter_context(closing(output))

    def _asked(self, shop: str) -> Fingerprint:
        job, layout, since = self._job, self._layout, iso(self.since) if self.since else ""
        where = tuple(sorted(job.where))
        how = layout.name, layout.columns, layout.has_values, layout.password_hash, layout.details
        saved = self._output.saved if self._output else None
        asked = address_of(shop, saved, job.moved_from), job.spec.name, job.first, job.last, where, *how
        return Fingerprint(*asked, since, self.new_from, job.all_columns)

    def _start(self, shop: str, operation: str = "") -> Checkpoint:
        return Checkpoint(self._asked(shop), Cursor(operation, self._job.first, self._job.last))

    def _found_finished(self, output: Output, shop: str) -> Report:
        """Nothing is left to be dumped, if the same is asked for: report again how it went."""
        advice = f"choose another name, or replace it with {option('overwrite')}"
        refuse_other_query(Path(self.path or ""), self._checkpoint, self._asked(shop), advice)
        return replace(self._finish(output), already=True)

    def _finish(self, output: Output) -> Report:
        """Give the output its name, and write the report."""
        if not output.finished:
            output.publish()
        report = self._report(complete=True)
        self._write(report)
        output.settle()
        if self._state is not None and self._run is not None:
            newest, row = (self._newest.time, self._newest.id) if self._newest else (None, None)
            start = next_start(self._run, self._state.last, rows=self._checkpoint.counters.rows, newest=newest)
            found = self._last_row.id if self._last_row else None
            met = max(self._checkpoint.met, found or -1, self._checkpoint.counters.last_id or -1)
            fresh = self._checkpoint.counters.rows if self.new_from is None else self._checkpoint.counters.new
            self._state.complete(start, sure=newest is not None, met=met, newest=row, fresh=fresh)
            output.forget()  # each run has a name of its own, and nobody asks for it again
        return report

    def _stopped(self, error: BaseException) -> None:
        """Make safe what waits, and write into the report what stopped the dump."""
        output = self._output
        if output is not None:
            if isinstance(error, Exception) or not (self._dumping and self._dumping.torn):
                with suppress(OSError):  # the disk may be what stopped the dump
                    output.flush()
            self._checkpoint = output.saved or self._checkpoint
        report = self._report(error=error_line(error))
        if output is None or self.begun or not output.finished:
            with suppress(OSError):  # what stopped the dump matters more than a report that cannot be had
                self._write(report)
        error.dumped = report  # type: ignore[attr-defined]  # see dump

    def _report(self, *, complete: bool = False, error: str | None = None) -> Report:
        report = Report(self._checkpoint, complete, error, self._way())
        if self._output is None:
            return report
        part = self._output.part if self.begun and self._output.saved else None
        standard = isinstance(self._output, StandardOutput)
        return replace(
            report, path=self._output.path, part=part, published=self._output.finished, to_standard_output=standard
        )

    def _way(self) -> Mapping[str, str | None] | None:
        """The way by which records in full come in this run, or came in the last one."""
        return self._way_now() if self._way_now else self._checkpoint.details

    def _write(self, report: Report) -> None:
        """Put the report where it is wanted; a file has the whole of it or is as it was."""
        if self._job.report:
            path, text = Path(self._job.report), json.dumps(report.as_json(), indent=2) + "\n"
            if path.exists() and not path.is_file():
                path.write_text(text, encoding="utf-8")  # a pipe, or a terminal
            else:
                replace_file(path, text.encode())


def _way_of(paginator: Paginator) -> Callable[[], dict[str, str | None]] | None:
    """What says by which way records in full come, and why it is no faster one; None where rows are none."""
    stages = cast("tuple[Any, ...]", paginator.stages)
    return next((stage.as_json for stage in stages if hasattr(stage, "as_json")), None)


def _clock(paginator: Paginator) -> datetime | None:
    return getattr(paginator.source, "clock", None)
