"""`dump`: the pages of a list to a file or to standard output, and what is said of it."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import NoReaderError, StoppedError, as_usage_error, said, say, stoppable
from magento_pager.cli.increments import begun, named_late, remembered, server_time, time_options, warn_of_clocks
from magento_pager.cli.lists import asked, asking_options, width_options, widths
from magento_pager.cli.progress import progress
from magento_pager.cli.shops import connected, shop_options
from magento_pager.export.formats import FORMATS, format_of
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from datetime import datetime, timedelta

    from magento_pager.export.checkpoints import Checkpoint, Fingerprint
    from magento_pager.export.dumping import Dump
    from magento_pager.export.increments import Newest, Run, State
    from magento_pager.export.outputs import Output
    from magento_pager.export.sinks import Layout
    from magento_pager.lists import ListName
    from magento_pager.pager import Pager
    from magento_pager.shop.details import Details
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.walking import Page

QUARANTINED = 3
SECRET = {"key", "basic_auth", "headers"}  # options that are never repeated


def _parallel(_: click.Context, __: click.Parameter, value: str) -> int | str:
    """A number of calls, or auto."""
    if value == "auto":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 on")
    return int(value)


@click.command()
@click.argument("entity", type=click.Choice(list(LISTS)), default="orders")
@shop_options
@width_options
@click.option(
    "--parallel",
    callback=_parallel,
    default="1",
    show_default=True,
    metavar="N|auto",
    help="Calls under way at once; auto finds out how many bring the most rows.",
)
@click.option(
    "--nice",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="R",
    help="After each call, leave the shop alone for R times as long as it took.",
)
@asking_options
@time_options
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE",
    help="Where the rows go: a file, a folder of Parquet, a database.  [default: standard output]",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="How rows are written.  [default: what FILE ends with, .csv, .parquet, .sqlite or .db; else ndjson]",
)
@click.option("--gzip", is_flag=True, help="Pack text by gzip, as where FILE ends with .gz.")
@click.option(
    "--columns", metavar="NAME,NAME", help="The columns to write, in this order.  [default: all that are declared]"
)
@click.option(
    "--typed", is_flag=True, help="Numbers and moments instead of the server's text, as Parquet and SQLite have always."
)
@click.option("--password-hash", is_flag=True, help="Keep this column of customers, which else is dropped.")
@click.option(
    "--resume", is_flag=True, help="Go on where the last dump to FILE was stopped; begin where there was none."
)
@click.option(
    "--overwrite", is_flag=True, help="Replace FILE, and an unfinished dump of it. With --resume only a finished one."
)
@click.option(
    "--lookback",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --resume: read the last N ids once more, for rows that were committed late.",
)
@click.option(
    "--repair",
    type=click.Choice(["control-characters"]),
    help="Read rows that no XML can hold, without the characters that XML forbids.",
)
@click.option(
    "--details", is_flag=True, help="Rows in full: the items of orders, addresses, payment, history, and so on."
)
@click.option("--report", type=click.Path(dir_okay=False), metavar="FILE", help="Where a JSON report goes.")
def dump(entity: ListName, **options: Any) -> None:
    """Write every row of a list, in order of id: as NDJSON, CSV, Parquet or into a table of SQLite.

    The walk needs no first or last: it ends when every id there can be was covered by an answered query.

    With --out, the rows go to FILE.part until all are there, and FILE.checkpoint says how many are safe, and stays to
    say of which dump FILE is; SQLite keeps both in the database. Exit status 3 if every id was covered but some rows
    had to be left out; each is named.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stoppable())
        with as_usage_error():
            layout = _layout(entity, options)
            state = stack.enter_context(remembered(options, layout))
            output = None if named_late(options) else stack.enter_context(_output(layout, options))
        account = _Account(layout, output, options)
        with as_usage_error():
            if output is not None and output.finished and account.knows_all_that_was_asked:
                account.found_finished(account.asked())
                return
        with account.told():
            with as_usage_error():
                if output is None or not output.finished:
                    account.write_report()
                pager = stack.enter_context(connected(options))
                run = begun(options, state, account.asked(account.shop(pager)), pager)
                if named_late(options):
                    output = stack.enter_context(_output(layout, options, run))
                account.takes(run, output, state, pager)
                if output is not None and output.finished:
                    account.found_finished(account.asked(account.shop(pager)))
                    return
                paginator = _paginator(pager, entity, options, run.since)
                dumping = _dumping(pager, paginator, account, output, layout)
                late = _late(paginator, dumping, output, options["lookback"])
                warn_of_clocks(options, state, pager)
            with progress(entity, dumping, paginator) as shown:
                for page, known in late:
                    with stop.held():
                        account.checkpoint = dumping.add_late(page, known)
                    shown(page)
                for page in paginator.pages(dumping.checkpoint.cursor):
                    account.receives(page)
                    with stop.held():
                        account.checkpoint = dumping.add(page)
                    shown(page)
                    del page  # or its rows take memory while the next ones come
            with stop.held(forget=True):
                account.finish()


def _paginator(pager: Pager, entity: ListName, options: dict[str, Any], since: datetime | None) -> Paginator:
    more = {
        "repair": options["repair"] is not None,
        "details": options["details"],
        "updated_since": since,
        "password_hash": options["password_hash"],
        "parallel": options["parallel"],
        "nice": options["nice"],
    }
    return pager.list(entity, **(widths(options) | asked(options) | more))


def _layout(entity: ListName, options: dict[str, Any]) -> Layout:
    """What is asked of the output."""
    from magento_pager.export.sinks import Layout

    ending, packed = format_of(options["out"] or "")
    layout = Layout(
        LISTS[entity],
        options["format"] or ending,
        packed=options["gzip"] or packed,
        columns=tuple(one.strip() for one in options["columns"].split(",")) if options["columns"] else (),
        typed=options["typed"],
        details=options["details"],
        secret=options["password_hash"],
    )
    if layout.format in {"parquet", "sqlite"} and not options["out"]:
        raise ValueError(f"{layout.format} is no text that could go to standard output: give --out")
    if layout.columns and options["lookback"] and layout.schema.key not in layout.columns:
        raise ValueError(f"--lookback tells rows apart by {layout.schema.key}: name it in --columns")
    for one in layout.unknown:
        say(f"warning: no {entity} are known to have the column {one}; it is empty unless this shop sends it")
    return layout


@contextmanager
def _output(layout: Layout, options: dict[str, Any], run: Run | None = None) -> Iterator[Output | None]:
    """Where the rows go, looked at and not yet touched; None for standard output.

    Args:
        layout: what is asked for.
        options: of the command.
        run: where they go depends on it; None where it does not.
    """
    from pathlib import Path

    from magento_pager.export.outputs import open_output

    for name, needed in (("overwrite", "out"), ("resume", "out"), ("lookback", "resume")):
        if options[name] and not options[needed]:
            raise ValueError(f"--{name} is for --{needed}: give that as well")
    if not options["out"]:
        if sys.stdout is None:
            raise ValueError("standard output is closed: give --out")
        yield None
        return
    path, resume = (run.out or "", run.again) if run else (options["out"], options["resume"])
    since = run.since if run else options["since"]
    # Into the table that a run before this one made; or that somebody else did, if it is there.
    adding = layout.format == "sqlite" and since is not None and (bool(options["state"]) or Path(path).exists())
    output = open_output(path, layout, resume=resume, overwrite=options["overwrite"], into_existing=adding)
    if options["report"] and Path(options["report"]).absolute() in {one.absolute() for one in output.names}:
        raise ValueError(f"--report is the name of a file of the dump: {options['report']}")
    with closing(output):
        yield output


def _dumping(pager: Pager, paginator: Paginator, account: _Account, output: Output | None, layout: Layout) -> Dump:
    """What takes the pages: a file, from where its checkpoint stands, or standard output."""
    from magento_pager.export.dumping import Dump
    from magento_pager.export.sinks import TextSink

    start = account.begun(pager, paginator)
    checkpoint, sink = output.begin(start) if output else (start, TextSink(sys.stdout.fileno(), layout))
    return Dump(
        checkpoint,
        sink,
        keep=output.keep if output else lambda _: None,
        id_field=paginator.id_field,
        identity_field=paginator.identity_field,
        received=lambda: pager.connection.bytes_received,
        details=account.details,
    )


def _late(
    paginator: Paginator, dumping: Dump, output: Output | None, lookback: int | None
) -> Iterator[tuple[Page, set[str]]]:
    """The pages of the ids to look back on, each with what the file holds of them already."""
    from dataclasses import replace

    span = dumping.checkpoint.lookback(lookback) if lookback else None
    if output is not None and span is not None:
        known = set(map(dumping.known_by, output.tail(dumping.checkpoint.offset_of(span.first))))
        for page in replace(paginator, first=span.first, last=span.last).pages():
            yield page, known


class _Account:
    """What a dump says of itself: in its report, and on standard error.

    Attributes:
        checkpoint: what is safe.
    """

    def __init__(self, layout: Layout, output: Output | None, options: dict[str, Any]) -> None:
        self._layout = layout
        self._entity = layout.schema.name
        self._output = output
        self._options = options
        self._state: State | None = None
        self._run: Run | None = None
        self._newest: Newest | None = None
        self._since = _iso(options["since"])
        self._details: Details | None = None
        self.checkpoint = (output and output.saved) or self._start("")

    def takes(self, run: Run, output: Output | None, state: State | None, pager: Pager) -> None:
        """Know since when rows are wanted, where they go, and where they come from."""
        from magento_pager.export.increments import Newest
        from magento_pager.shop.transport import http_time

        self._output = output
        self._state = state
        self._run = run
        self._since = _iso(run.since)
        self.checkpoint = (output and output.saved) or self.checkpoint
        if state is not None:
            if not self.checkpoint.counters.pages:  # rows that are there already say nothing more
                self._newest = Newest(run.latest or run.begun, lambda: http_time(pager.connection.server_date))
            state.begin()
        else:  # whoever goes on must ask for the same, whatever time it is then
            given = click.get_current_context().params
            given |= {"since": self._since or None, "out": run.out if named_late(self._options) else given["out"]}

    def receives(self, page: Page) -> None:
        """Look at the rows of a page when they come."""
        if self._newest is not None:
            self._newest.add(page.rows)

    def details(self) -> Mapping[str, str | None] | None:
        """The way by which records in full come in this run, or came in the last one."""
        return self._details.as_json() if self._details else self.checkpoint.details

    @property
    def knows_all_that_was_asked(self) -> bool:
        """True where a checkpoint can be compared without a call: the shop is given as it was, and so is a time."""
        from datetime import timedelta

        return self.checkpoint.url == self._url and not isinstance(self._options["since"], timedelta)

    def asked(self, shop: str | None = None) -> Fingerprint:
        """What is asked for.

        Args:
            shop: where calls go; None for the shop of the checkpoint.
        """
        from magento_pager.export.checkpoints import Fingerprint

        return Fingerprint(
            self.checkpoint.fingerprint.shop if shop is None else shop,
            self._entity,
            *self._bounds,
            tuple(sorted(self._options["where"])),
            self._layout.name,
            self._layout.columns,
            self._layout.has_values,
            self._layout.secret,
            details=self._layout.details,
            since=self._since,
        )

    def begun(self, pager: Pager, paginator: Paginator) -> Checkpoint:
        """The checkpoint of a dump that begins."""
        from dataclasses import replace

        from magento_pager.shop.details import Details

        self._details = Details.of(paginator.stages)
        start = replace(self._start(self.shop(pager), paginator.operation), url=self._url)
        with suppress(ValueError):  # a shop that does not say what time it is
            return replace(start, began=server_time(pager.connection.server_date).isoformat())
        return start

    def shop(self, pager: Pager) -> str:
        """Where calls go."""
        from magento_pager.shop.transport import bare

        return self._url if self._options["demo"] else bare(pager.connection.address)

    @property
    def _url(self) -> str:
        """The address that is given, without what nobody may read."""
        from magento_pager.shop.transport import bare

        if self._options["demo"]:
            return f"the demo {self._options['profile'] or ''} {self._options['flavour'] or ''}".strip()
        return bare(self._options["url"] or "")

    def _start(self, shop: str, operation: str = "") -> Checkpoint:
        from magento_pager.export.checkpoints import Checkpoint
        from magento_pager.walk.walking import Cursor

        return Checkpoint(self.asked(shop), Cursor(operation, *self._bounds))

    @property
    def _bounds(self) -> tuple[int, int]:
        from magento_pager.walk.ranges import MAX_ID

        return self._options["first"], MAX_ID if self._options["last"] is None else self._options["last"]

    def write_report(self, *, complete: bool = False, error: str | None = None) -> None:
        """Put the report where it is wanted; a file has the whole of it or is as it was."""
        import json
        from pathlib import Path

        from magento_pager.export.files import replace_file
        from magento_pager.export.report import Report

        if self._options["report"]:
            path = Path(self._options["report"])
            report = Report(self.checkpoint, complete=complete, error=error, details=self.details())
            text = json.dumps(report.as_json(), indent=2) + "\n"
            if path.exists() and not path.is_file():
                path.write_text(text, encoding="utf-8")  # a pipe, or a terminal
            else:
                replace_file(path, text.encode())

    def found_finished(self, asked: Fingerprint) -> None:
        """Nothing is left to be dumped, if the same is asked for: say again how it went."""
        from magento_pager.export.checkpoints import refuse_another

        assert self._output is not None  # noqa: S101  that is what was found
        advice = "choose another name, or replace it with --overwrite"
        refuse_another(self._output.path, self.checkpoint, asked, advice)
        say(f"{self._output.path} is complete already; nothing to do (--overwrite dumps anew)")
        self.finish()

    def finish(self) -> None:
        """Give the file its name, write the report, and say how it went; exit status 3 if rows are left out."""
        with as_usage_error():
            if self._output is not None and not self._output.finished:
                self._output.publish()
            self.write_report(complete=True)
            if self._output is not None:
                self._output.settle()
            self._complete()
        counters, left_out = self.checkpoint.counters, self.checkpoint.quarantined
        for one in left_out:
            say(f"left out: id {one.id} of {self._entity}: {' '.join(one.reason.split())}")
        if self.checkpoint.repaired:
            say(f"repaired, characters that XML forbids taken out: ids {', '.join(map(str, self.checkpoint.repaired))}")
        for misfits in self.checkpoint.misfits:
            say(f"did not fit, null in the output: {misfits}")
        say(
            f"{counters.rows} {self._entity} in {counters.calls} calls ({counters.empty_calls} empty), "
            f"{counters.seconds:.1f} s; complete: every id from {self.checkpoint.fingerprint.first} to "
            f"{self.checkpoint.fingerprint.last} was covered (verified: {counters.verified})"
            + (f", but {len(left_out)} left out, see above" if left_out else "")
            + (f"; {self.checkpoint.changes}" if self.checkpoint.changes else "")
        )
        if left_out:
            click.get_current_context().exit(QUARANTINED)

    def _complete(self) -> None:
        """Note in the state that all rows are safe."""
        from magento_pager.export.increments import next_start

        if self._state is not None and self._run is not None:
            newest = self._newest.time if self._newest else None
            start = next_start(self._run, self._state.last, rows=self.checkpoint.counters.rows, newest=newest)
            self._state.complete(start, sure=newest is not None)
            if self._output is not None:
                self._output.forget()  # each run has a name of its own, and nobody asks for it again

    @contextmanager
    def told(self) -> Generator[None]:
        """What stops the dump goes into the report, and on standard error as one line that says how to go on."""
        from magento_pager.errors import PagerError

        try:
            yield
        except click.exceptions.Exit:
            raise
        except BaseException as error:
            words = said(error)
            if self._output is not None:
                with suppress(OSError):  # the disk may be what stopped the dump
                    self._output.flush()
                self.checkpoint = self._output.saved or self.checkpoint
            if self._output is None or self._output.begun or not self._output.finished:
                with suppress(OSError):  # what stopped the dump matters more than a report that cannot be had
                    self.write_report(error=words)
            if isinstance(error, BrokenPipeError) and self._output is None:
                raise NoReaderError from None
            line = f"{words.rstrip('.')}{self._way_on}"
            if isinstance(error, StoppedError):
                say(line)
            elif isinstance(error, click.UsageError):
                raise click.UsageError(line, error.ctx) from None
            elif isinstance(error, click.ClickException | PagerError | OSError):
                raise click.ClickException(line) from None
            raise

    @property
    def _way_on(self) -> str:
        """What is safe, and the command that goes on from there; nothing where there is nothing to go on with."""
        rows = f"{self.checkpoint.counters.rows} {self._entity}"
        if self._output is None:
            return f"; {rows} were written; with --out a dump can be resumed" if self.checkpoint.counters.rows else ""
        if not self._output.begun or self._output.saved is None:
            return ""
        if self._output.finished:
            return f"; {self._output.path} is complete all the same, the rest is done by: {_resuming_command()}"
        return f"; {rows} are safe in {self._output.part}, go on with: {_resuming_command()}"


def _iso(since: datetime | timedelta | None) -> str:
    """The time since when rows are wanted, as in a fingerprint; empty for all rows, and as long as it is not known."""
    from datetime import datetime

    from magento_pager.export.increments import iso

    return iso(since) if isinstance(since, datetime) else ""


def _resuming_command() -> str:
    """The command line again, with --resume where it is needed, and without what nobody may read."""
    import shlex

    context = click.get_current_context()
    by_itself = context.params.get("state") is not None
    words = ["magento-pager", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or (name in {"overwrite", "resume"} and not by_itself):
            continue
        value = context.params[name]
        for one in value if parameter.multiple else [value]:
            secret = name in SECRET or (name in {"url", "proxy"} and "@" in str(one))
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [] if one is True else ["..." if secret else str(one)]
    return shlex.join(words if by_itself else [*words, "--resume"])
