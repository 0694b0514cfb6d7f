"""Dumps: the pages of a list to an output, a checkpoint that covers them, and the report.

What lives here: in what order things are looked at, begun, made safe and told. What an output is called and how it is
made safe is known to `outputs`; where pages come from, to the paginator.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast, runtime_checkable

from magento_pager.errors import words_of
from magento_pager.export.checkpoints import Checkpoint, Fingerprint, refuse_another
from magento_pager.export.files import replace_file
from magento_pager.export.formats import format_of
from magento_pager.export.increments import (
    LATE,
    TIME,
    Newest,
    Run,
    clock_said,
    held,
    iso,
    named,
    next_start,
    warn_of_clock,
)
from magento_pager.export.outputs import open_output
from magento_pager.export.report import Report
from magento_pager.export.sinks import Layout, Output, StandardOutput
from magento_pager.export.values import TypedPages, without_secrets
from magento_pager.lists import ListSpec
from magento_pager.walk.changes import usual
from magento_pager.walk.conditions import checked_where
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import row_label
from magento_pager.walk.strategies import KEY
from magento_pager.walk.walking import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import timedelta
    from types import TracebackType

    from magento_pager.export.formats import Format
    from magento_pager.export.increments import State
    from magento_pager.lists import ListName
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Misfit, Page


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dump is, once a page was taken.

    Attributes:
        rows: in the output, of all runs.
        fresh: those of this run.
        calls: that were made for them, in all runs.
        retries: calls of this run that were made again.
        window: the ids of the page, inclusive.
        next_id: every id below is covered.
    """

    rows: int
    fresh: int
    calls: int
    retries: int
    window: IdRange
    next_id: int


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
        state: a file that remembers when the last run began: only rows that changed since are wanted, and all the first
            time. A run that was stopped is resumed. Then `path` has `{time}` in it, or is a database.
        late: with `state`, how much before the last run to read once more; 10 minutes by default.
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
    task = Task(
        _spec_of(paginator),
        None if path == "-" else path,
        first=paginator.first,
        last=paginator.last,
        where=_texts(paginator.asked),
        since=paginator.since,
        details=_in_full(paginator) is not None,
        password_hash=without_secrets not in paginator.stages,
        url=getattr(paginator.source, "url", ""),
        format=format,
        gzip=gzip,
        columns=columns,
        typed=typed or any(isinstance(stage, TypedPages) for stage in paginator.stages),
        resume=resume,
        overwrite=overwrite,
        lookback=lookback,
        state=state,
        late=late,
        report=report,
    )
    with task:
        return task.look() or task.run(paginator, progress)


class Dump:
    """Takes pages, one after the other.

    Attributes:
        checkpoint: what was kept; replaced when a page is.
        torn: True while a page is half taken.
    """

    def __init__(
        self,
        start: Checkpoint,
        output: Output,
        *,
        id_field: str,
        identity_field: str | None = None,
        received: Callable[[], int] = lambda: 0,
        details: Callable[[], Mapping[str, str | None] | None] = lambda: None,
    ) -> None:
        """Go on from a checkpoint.

        Args:
            start: where to go on.
            output: takes the rows, and makes them safe.
            id_field: what rows call the key.
            identity_field: another field that no two rows share, where rows may carry no id.
            received: says how many bytes came from the server so far.
            details: says by which way records in full come.
        """
        self.checkpoint = start
        self.torn = False
        self._output = output
        self._id_field = id_field
        self._identity_field = identity_field
        self._received = received
        self._details = details
        self._began = time.monotonic() - start.counters.seconds
        self._bytes_before = start.counters.bytes - received()

    def add(self, page: Page) -> Checkpoint:
        """Make a page safe.

        Returns:
            The checkpoint that covers it.

        Raises:
            OSError: the output did not take it; the checkpoint is the one before it.
        """
        misfits = self._written(page.rows)
        return self._made(self.checkpoint.after(page, self._id_field, self._output.position), misfits)

    def add_late(self, page: Page, known: Container[str]) -> Checkpoint:
        """Make safe what is new on a page below the cursor.

        Args:
            page: a page of ids that were covered before.
            known: what the rows in the output are known by, see `known_by`.

        Raises:
            OSError: see `add`.
        """
        rows = [row for row in page.rows if self.known_by(row) not in known]
        misfits = self._written(rows)
        return self._made(self.checkpoint.after_late(page, rows, self._id_field, self._output.position), misfits)

    def known_by(self, row: Row) -> str:
        """What no other row of the list has: its id, or its identity where rows carry no id."""
        return row_label(row, self._id_field, self._identity_field)

    def _written(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        self.torn = True
        return self._output.write(rows) or ()

    def _made(self, checkpoint: Checkpoint, misfits: Iterable[Misfit]) -> Checkpoint:
        counters = replace(
            checkpoint.counters,
            bytes=self._bytes_before + self._received(),
            seconds=round(time.monotonic() - self._began, 3),
        )
        checkpoint = replace(checkpoint.with_misfits(misfits), counters=counters, details=self._details())
        self._output.keep(checkpoint)
        self.torn = False
        self.checkpoint = checkpoint
        return checkpoint


class Task:
    """A dump that is asked for, before anything is asked of the shop; `dump` takes it through all its steps.

    Use it as a context: entering it looks at the output, and leaving it lets go of that and tells what stopped it.

    Attributes:
        path: where the rows go, once that is known; None for standard output.
        since: from when on rows are wanted, once that is known; else None.
        named_late: True where the output's name, or what is in it already, depends on when the run began.
        begun: True once the output is ours.
    """

    def __init__(
        self,
        spec: ListSpec,
        path: str | Path | Output | None,
        *,
        first: int = 0,
        last: int = MAX_ID,
        where: Sequence[str] = (),
        since: datetime | timedelta | None = None,
        details: bool = False,
        password_hash: bool = False,
        url: str = "",
        format: Format | None = None,  # noqa: A002  see dump
        gzip: bool = False,
        columns: Sequence[str] = (),
        typed: bool = False,
        resume: bool = False,
        overwrite: bool = False,
        lookback: int | None = None,
        state: str | Path | None = None,
        late: timedelta | None = None,
        report: str | Path | None = None,
    ) -> None:
        """Refuse what does not go together.

        What is wanted is what the paginator of `run` will bring: the list `spec`, its ids from `first` to `last`,
        `where` as FIELD:OP:VALUE, `since` or how long ago that is, `details` and `password_hash`, of the shop whose
        `url` was given as such. The other arguments are those of `dump`.
        """
        self._own = None if path is None or isinstance(path, str | Path) else path
        self.path = None if path is None or self._own else str(path)
        ending, packed = format_of(self.path or "")
        self._layout = Layout(
            spec,
            format or ending,
            packed=gzip or packed,
            columns=tuple(columns),
            typed=typed,
            details=details,
            secret=password_hash,
        )
        self.since = since if isinstance(since, datetime) else None
        self.named_late = bool(state) or TIME in (self.path or "")
        self.begun = False
        self._span = first, last
        self._where = tuple(sorted(where))
        self._asked_since = since
        self._url = url
        self._resume, self._overwrite, self._lookback = resume, overwrite, lookback
        self._state_path, self._late = state and Path(state), late
        self._report_path = report and Path(report)
        self._stack = ExitStack()
        self._output: Output | None = None
        self._state: State | None = None
        self._run: Run | None = None
        self._newest: Newest | None = None
        self._dumping: Dump | None = None
        self._details: InFull | None = None
        self._check()

    def _check(self) -> None:
        layout, out = self._layout, self.path or TIME
        if layout.format in {"parquet", "sqlite"} and not self.path:
            raise ValueError(f"{layout.format} is no text that could go to standard output: give --out")
        if layout.columns and self._lookback and layout.schema.key not in layout.columns:
            raise ValueError(f"--lookback tells rows apart by {layout.schema.key}: name it in --columns")
        for one in layout.unknown:
            words = f"no {layout.schema.name} are known to have the column {one}; it is empty unless this shop sends it"
            warnings.warn(words, stacklevel=3)
        if not self._state_path:
            if self._late is not None:
                raise ValueError("--late is for --state: give that as well, or an earlier --since")
            return
        for given, name, reason in (
            (self._asked_since, "since", "knows since when"),
            (self._resume, "resume", "goes on by itself"),
        ):
            if given:
                raise ValueError(f"--state {reason}: leave --{name} away")
        if layout.format != "sqlite" and TIME not in out and not self._overwrite and not self._own:
            raise ValueError(
                f"the next run would find {out}: give each a file of its own, such as --out orders-{TIME}.ndjson, or "
                "put them all into a table, --out shop.sqlite (--overwrite keeps what the last run brought alone)"
            )
        if self._report_path and self._report_path.absolute() == self._state_path.absolute():
            raise ValueError(f"--report is the name of the state: {self._report_path}")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._state_path:
                self._state = stack.enter_context(held(self._state_path))
            if not self.named_late:
                self._output = self._opened(stack)
            self.checkpoint = (self._output and self._output.saved) or self._start("")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        with self._stack:
            if error is not None and getattr(error, "dumped", None) is None:
                self._stopped(error)

    def look(self) -> Report | None:
        """The report where nothing is left to be dumped, as far as can be known without a call; else None.

        Raises:
            CheckpointMismatchError: the finished output is of something else.
            OSError: the report cannot be written.
        """
        finished = self._output is not None and self._output.finished
        known = self.checkpoint.url == self._url and not (self._asked_since and self.since is None)
        if finished and known:
            return self._found_finished(self._asked(self.checkpoint.fingerprint.shop))
        if not finished:
            self._write(self._told())
        return None

    def run(
        self,
        paginator: Paginator,
        progress: Callable[[Progress], None] | None = None,
        hold: Callable[[bool], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> Report:
        """Dump what the paginator brings; it asks for the same as this task.

        Args:
            paginator: of the list.
            progress: called after each page.
            hold: gives the context of each step that must not be cut in two; it is told whether that is the last one.

        Raises: see `dump`.
        """
        try:
            return self._ran(paginator, progress, hold)
        except BaseException as error:
            self._stopped(error)
            raise

    def _ran(
        self,
        paginator: Paginator,
        progress: Callable[[Progress], None] | None,
        hold: Callable[[bool], AbstractContextManager[None]],
    ) -> Report:
        source, layout = paginator.source, self._layout
        shop = getattr(source, "shop", "")
        run = self._run = self._planned(paginator, self._asked(shop))
        output = self._output = self._output or self._opened(self._stack)
        self.checkpoint = output.saved or self.checkpoint
        if self._state is not None:
            if not self.checkpoint.counters.pages:  # rows that are there already say nothing more
                self._newest = Newest(run.latest or run.begun, lambda: _clock(paginator))
            self._state.begin()
        if output.finished:
            return self._found_finished(self._asked(shop))
        paginator = self._asking(paginator)
        self._details = _in_full(paginator)
        began = _clock(paginator)
        start = replace(self._start(shop, paginator.operation), url=self._url, began=began.isoformat() if began else "")
        dumping = self._dumping = Dump(
            output.begin(start),
            output if self._own is None else _Shaped(output, layout),
            id_field=paginator.id_field,
            identity_field=paginator.identity_field,
            received=lambda: getattr(source, "bytes_received", 0),
            details=self._way,
        )
        self.begun = True
        self._warn_of_clocks(began)
        before, retries = dumping.checkpoint.counters.rows, 0
        for page, known in self._pages(paginator, dumping):
            if known is None and self._newest is not None:
                self._newest.add(page.rows)
            with hold(False):  # noqa: FBT003  not the last step
                self.checkpoint = dumping.add(page) if known is None else dumping.add_late(page, known)
            retries += page.stats.retries
            if progress is not None:
                at, counters = self.checkpoint.cursor.next_id, self.checkpoint.counters
                progress(Progress(counters.rows, counters.rows - before, counters.calls, retries, page.window, at))
            del page  # or its rows take memory while the next ones come
        with hold(True):  # noqa: FBT003  the last step
            return self._finish()

    def _planned(self, paginator: Paginator, asked: Fingerprint) -> Run:
        """Since when rows are wanted, and where they go, by the clock of the shop."""
        ours = datetime.now(UTC)
        clock = _clock(paginator)
        if clock is None and self._state is not None:
            warnings.warn("the shop does not say what time it is there: that of this machine is taken", stacklevel=2)
            clock = ours  # good enough, as rows say when they were changed
        now = clock_said(clock) if self.named_late else ours
        if self._state is not None:
            late = LATE if self._late is None else self._late
            run = self._state.plan(asked, now, ours=ours, late=late, out=self.path)
        else:
            run = Run(now, paginator.since, named(self.path, now), again=self._resume)
        self.since = run.since
        if self.named_late:
            self.path, self._resume = run.out, run.again
        return run

    def _asking(self, paginator: Paginator) -> Paginator:
        """The paginator of what is wanted since the last run, with the server's text in its rows."""
        stages = tuple(one for one in paginator.stages if not isinstance(one, TypedPages))
        if self._state is not None and self.since is not None:
            schema = self._layout.schema  # refuses a condition on what the walk needs for that
            checked_where((*paginator.asked, usual(self.since)), (KEY, schema.key), schema.dates)
        return replace(paginator, stages=stages, since=self.since)

    def _pages(self, paginator: Paginator, dumping: Dump) -> Iterator[tuple[Page, set[str] | None]]:
        """The pages: first those of ids to look back on, each with what the output holds of them already."""
        span = dumping.checkpoint.lookback(self._lookback) if self._lookback else None
        if span is not None and self._output is not None:
            known = set(map(dumping.known_by, self._output.tail(dumping.checkpoint.offset_of(span.first))))
            for page in replace(paginator, first=span.first, last=span.last).pages():
                yield page, known
        for page in paginator.pages(dumping.checkpoint.cursor):
            yield page, None
            del page

    def _opened(self, stack: ExitStack) -> Output:
        """Where the rows go, looked at and not yet touched."""
        for given, name, needed in (
            (self._overwrite and not (self.path or self._own), "overwrite", "out"),
            (self._resume and not (self.path or self._own), "resume", "out"),
            (self._lookback and not self._resume, "lookback", "resume"),
        ):
            if given:
                raise ValueError(f"--{name} is for --{needed}: give that as well")
        if self._own is not None:
            return stack.enter_context(closing(self._own))
        if self.path is None:
            if sys.stdout is None:
                raise ValueError("standard output is closed: give --out")
            return StandardOutput(self._layout)
        # Into the table that a run before this one made; or that somebody else did, if it is there.
        increment = self.since is not None or (self._run is None and self._asked_since is not None)
        adding = self._layout.format == "sqlite" and increment and (bool(self._state) or Path(self.path).exists())
        output = open_output(
            self.path, self._layout, resume=self._resume, overwrite=self._overwrite, into_existing=adding
        )
        if self._report_path and self._report_path.absolute() in {one.absolute() for one in output.names}:
            raise ValueError(f"--report is the name of a file of the dump: {self._report_path}")
        return stack.enter_context(closing(output))

    def _asked(self, shop: str) -> Fingerprint:
        """What is asked for."""
        layout = self._layout
        return Fingerprint(
            shop,
            layout.schema.name,
            *self._span,
            self._where,
            layout.name,
            layout.columns,
            layout.has_values,
            layout.secret,
            details=layout.details,
            since=iso(self.since) if self.since else "",
        )

    def _start(self, shop: str, operation: str = "") -> Checkpoint:
        return Checkpoint(self._asked(shop), Cursor(operation, *self._span))

    def _warn_of_clocks(self, now: datetime | None) -> None:
        if self._state is not None and now is not None:
            if self._state.went_back:
                words = f"the shop's clock is back at {iso(now)}, before the last run: all that changed is read again"
                warnings.warn(words, stacklevel=2)
            else:
                warn_of_clock(now)

    def _found_finished(self, asked: Fingerprint) -> Report:
        """Nothing is left to be dumped, if the same is asked for: say again how it went."""
        advice = "choose another name, or replace it with --overwrite"
        refuse_another(Path(self.path or ""), self.checkpoint, asked, advice)
        return replace(self._finish(), already=True)

    def _finish(self) -> Report:
        """Give the output its name, and write the report."""
        output = self._output
        if output is None:
            raise ValueError("there is nothing to finish")
        if not output.finished:
            output.publish()
        report = self._told(complete=True)
        self._write(report)
        output.settle()
        if self._state is not None and self._run is not None:
            newest = self._newest.time if self._newest else None
            start = next_start(self._run, self._state.last, rows=self.checkpoint.counters.rows, newest=newest)
            self._state.complete(start, sure=newest is not None)
            output.forget()  # each run has a name of its own, and nobody asks for it again
        return report

    def _stopped(self, error: BaseException) -> None:
        """Make safe what waits, and write into the report what stopped the dump."""
        output = self._output
        if output is not None:
            if isinstance(error, Exception) or not (self._dumping and self._dumping.torn):
                with suppress(OSError):  # the disk may be what stopped the dump
                    output.flush()
            self.checkpoint = output.saved or self.checkpoint
        report = self._told(error=words_of(error))
        if output is None or self.begun or not output.finished:
            with suppress(OSError):  # what stopped the dump matters more than a report that cannot be had
                self._write(report)
        error.dumped = report  # type: ignore[attr-defined]  # see dump

    def _told(self, *, complete: bool = False, error: str | None = None) -> Report:
        output = self._output
        kept = output is not None and self.begun and output.saved is not None
        return Report(
            self.checkpoint,
            complete=complete,
            error=error,
            details=self._way(),
            path=output.path if output else None,
            part=output.part if output and kept else None,
            published=output is not None and output.finished,
        )

    def _way(self) -> Mapping[str, str | None] | None:
        """The way by which records in full come in this run, or came in the last one."""
        return self._details.as_json() if self._details else self.checkpoint.details

    def _write(self, report: Report) -> None:
        """Put the report where it is wanted; a file has the whole of it or is as it was."""
        if self._report_path:
            text = json.dumps(report.as_json(), indent=2) + "\n"
            if self._report_path.exists() and not self._report_path.is_file():
                self._report_path.write_text(text, encoding="utf-8")  # a pipe, or a terminal
            else:
                replace_file(self._report_path, text.encode())


class _Shaped(Output):
    """An output of the user's own, which is given the columns and values that are asked for."""

    def __init__(self, output: Output, layout: Layout) -> None:
        self._output = output
        self._layout = layout

    @property
    def position(self) -> int:  # type: ignore[override]  # only read
        """The output's own."""
        return getattr(self._output, "position", 0)

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Take the rows of one page."""
        misfits: list[Misfit] = []
        shaped = list(self._layout.values(rows, misfits))
        return [*(self._output.write(shaped) or ()), *misfits]

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written."""
        self._output.keep(checkpoint)


@runtime_checkable
class InFull(Protocol):
    """The stage of a paginator that puts records in full into rows."""

    def as_json(self) -> dict[str, str | None]:
        """The way by which they come, and why it is no faster one."""


def _in_full(paginator: Paginator) -> InFull | None:
    stages = cast("tuple[object, ...]", paginator.stages)
    return next((stage for stage in stages if isinstance(stage, InFull)), None)


def _spec_of(paginator: Paginator) -> ListSpec:
    """The list; of one that is not Magento's, what the paginator knows."""
    spec: ListSpec | None = getattr(paginator.source, "spec", None)
    name = cast("ListName", paginator.operation or "rows")
    return spec or ListSpec(name, name, paginator.id_field, "", {}, identity=paginator.identity_field)


def _texts(conditions: Iterable[Condition]) -> tuple[str, ...]:
    return tuple(f"{one.field}:{one.operator}:{one.value}" for one in conditions)


def _clock(paginator: Paginator) -> datetime | None:
    return getattr(paginator.source, "clock", None)
