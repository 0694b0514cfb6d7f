"""`dump`: the pages of a list to a file or to standard output, and what is said of it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import NoReaderError, StoppedError, as_usage_error, said, say, stoppable
from magento_pager.cli.shops import connected, shop_options
from magento_pager.shop.operations import OPERATIONS  # plain data, quick to import

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.dumping import Dump
    from magento_pager.export.outputs import FileOutput
    from magento_pager.pager import Pager
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.walking import Page

STRATEGY_NAMES = ("auto", "range", "alias", "mapped", "in-list", "prefix", "regexp", "single-filter")
QUARANTINED = 3
SECRET = {"key", "basic_auth", "headers"}  # options that are never repeated
PROGRESS_EVERY = 10.0  # seconds between two plain lines of progress


@click.command()
@click.argument("entity", type=click.Choice(list(OPERATIONS)), default="orders")
@shop_options
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ids in each window with rows.  [default: aims at 2,000 rows and 1 s a call]",
)
@click.option(
    "--rows-per-call",
    type=click.IntRange(min=1),
    metavar="N",
    help="Without --window: aim at so many rows a call.  [default: 2000]",
)
@click.option(
    "--seconds-per-call",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Without --window: aim at calls that take no longer.  [default: 1]",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGY_NAMES),
    default="auto",
    show_default=True,
    help="How a window is put to the server.",
)
@click.option(
    "--first", type=click.IntRange(min=0), default=0, show_default=True, metavar="ID", help="The first id, inclusive."
)
@click.option(
    "--last", type=click.IntRange(min=0), metavar="ID", help="The last id, inclusive.  [default: the last there can be]"
)
@click.option(
    "--where",
    multiple=True,
    metavar="FIELD:OP:VALUE",
    help="A further condition, such as status:eq:complete; may be repeated, and all must hold.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False), metavar="FILE", help="Where the rows go.  [default: standard output]"
)
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
@click.option("--report", type=click.Path(dir_okay=False), metavar="FILE", help="Where a JSON report goes.")
def dump(entity: str, **options: Any) -> None:
    """Write every row of a list as NDJSON, in order of id.

    The walk covers every id there can be, so it needs no first or last, and it ends by proof: nothing was left unasked.

    With --out, the rows go to FILE.part until all are there, and FILE.checkpoint says how many are safe. Exit status 3
    if every id was covered but some rows had to be left out; each is named.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stoppable())
        with as_usage_error():
            output = stack.enter_context(_output(options))
        account = _Account(entity, output, options)
        if output is not None and output.finished:
            account.found_finished()
            return
        with account.told():
            with as_usage_error():
                account.write_report()
                pager = stack.enter_context(connected(options))
                paginator = _paginator(pager, entity, options)
                dumping = _dumping(pager, paginator, account.begun(pager, paginator), output)
                late = _late(paginator, dumping, output, options["lookback"])
            with _progress(entity, dumping) as shown:
                for page, known in late:
                    with stop.held():
                        account.checkpoint = dumping.add_late(page, known)
                    shown(page)
                for page in paginator.pages(dumping.checkpoint.cursor):
                    with stop.held():
                        account.checkpoint = dumping.add(page)
                    shown(page)
            with stop.held(forget=True):
                account.finish()


def _paginator(pager: Pager, entity: str, options: dict[str, Any]) -> Paginator:
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.ranges import MAX_ID
    from magento_pager.walk.windows import Goal

    goals = {"rows": options["rows_per_call"], "seconds": options["seconds_per_call"]}
    goals = {name: value for name, value in goals.items() if value is not None}
    if options["window"] and goals:
        raise ValueError("--window fixes the width, and --rows-per-call and --seconds-per-call adapt it: give one kind")
    return pager.list(
        entity,
        window=options["window"],
        goal=Goal(**goals),
        strategy=options["strategy"],
        first=options["first"],
        last=MAX_ID if options["last"] is None else options["last"],
        where=[Condition.parse(text) for text in options["where"]],
        repair=options["repair"] is not None,
    )


@contextmanager
def _output(options: dict[str, Any]) -> Iterator[FileOutput | None]:
    """The files of a dump, looked at and not yet touched; None for standard output."""
    from pathlib import Path

    from magento_pager.export.outputs import FileOutput

    for name, needed in (("overwrite", "out"), ("resume", "out"), ("lookback", "resume")):
        if options[name] and not options[needed]:
            raise ValueError(f"--{name} is for --{needed}: give that as well")
    if not options["out"]:
        if sys.stdout is None:
            raise ValueError("standard output is closed: give --out")
        yield None
        return
    output = FileOutput(options["out"], resume=options["resume"], overwrite=options["overwrite"])
    if options["report"] and Path(options["report"]).absolute() in {
        one.absolute() for one in (output.path, output.part, output.mark)
    }:
        raise ValueError(f"--report is the name of a file of the dump: {options['report']}")
    with closing(output):
        yield output


def _dumping(pager: Pager, paginator: Paginator, start: Checkpoint, output: FileOutput | None) -> Dump:
    """What takes the pages: a file, from where its checkpoint stands, or standard output."""
    from magento_pager.export.dumping import Dump
    from magento_pager.export.sinks import NdjsonSink

    checkpoint, sink = output.begin(start) if output else (start, NdjsonSink(sys.stdout.fileno()))
    return Dump(
        checkpoint,
        sink,
        keep=output.keep if output else lambda _: None,
        id_field=paginator.id_field,
        identity_field=paginator.identity_field,
        received=lambda: pager.connection.bytes_received,
    )


def _late(
    paginator: Paginator, dumping: Dump, output: FileOutput | None, lookback: int | None
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

    def __init__(self, entity: str, output: FileOutput | None, options: dict[str, Any]) -> None:
        self._entity = entity
        self._output = output
        self._options = options
        self.checkpoint = (output and output.saved) or self._start("", "", *self._bounds)

    def begun(self, pager: Pager, paginator: Paginator) -> Checkpoint:
        """The checkpoint of a dump that begins."""
        from magento_pager.shop.transport import bare

        demo = f"the demo {self._options['profile'] or ''} {self._options['flavour'] or ''}"
        shop = demo.strip() if self._options["demo"] else bare(pager.connection.address)
        return self._start(shop, paginator.operation, paginator.first, paginator.last)

    def _start(self, shop: str, operation: str, first: int, last: int) -> Checkpoint:
        from magento_pager.export.checkpoints import Checkpoint, Fingerprint
        from magento_pager.walk.walking import Cursor

        where = tuple(sorted(self._options["where"]))
        return Checkpoint(Fingerprint(shop, self._entity, first, last, where), Cursor(operation, first, last))

    @property
    def _bounds(self) -> tuple[int, int]:
        from magento_pager.walk.ranges import MAX_ID

        return self._options["first"], MAX_ID if self._options["last"] is None else self._options["last"]

    def write_report(self, *, complete: bool = False, error: str | None = None) -> None:
        """Put the report where it is wanted; a file has the whole of it or is as it was."""
        import json
        from pathlib import Path

        from magento_pager.export.checkpoints import replace_file
        from magento_pager.export.report import Report

        if self._options["report"]:
            path = Path(self._options["report"])
            text = json.dumps(Report(self.checkpoint, complete=complete, error=error).as_json(), indent=2) + "\n"
            if path.exists() and not path.is_file():
                path.write_text(text, encoding="utf-8")  # a pipe, or a terminal
            else:
                replace_file(path, text.encode())

    def found_finished(self) -> None:
        """Nothing is left to be dumped; after a kill behind the renaming, the rest of what follows it."""
        say(f"{self._options['out']} is complete already; nothing to do (--overwrite dumps anew)")
        if self._output is not None and self._output.saved:
            self.finish()

    def finish(self) -> None:
        """Give the file its name, write the report, and say how it went; exit status 3 if rows are left out."""
        with as_usage_error():
            if self._output is not None and not self._output.finished:
                self._output.publish()
            self.write_report(complete=True)
            if self._output is not None:
                self._output.settle()
        counters, left_out = self.checkpoint.counters, self.checkpoint.quarantined
        for one in left_out:
            say(f"left out: id {one.id} of {self._entity}: {' '.join(one.reason.split())}")
        if self.checkpoint.repaired:
            say(f"repaired, characters that XML forbids taken out: ids {', '.join(map(str, self.checkpoint.repaired))}")
        say(
            f"{counters.rows} {self._entity} in {counters.calls} calls ({counters.empty_calls} empty), "
            f"{counters.seconds:.1f} s; complete: every id from {self.checkpoint.fingerprint.first} to "
            f"{self.checkpoint.fingerprint.last} was covered (verified: {counters.verified})"
            + (f", but {len(left_out)} left out, see above" if left_out else "")
        )
        if left_out:
            click.get_current_context().exit(QUARANTINED)

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


def _resuming_command() -> str:
    """The command line again, with --resume, and without what nobody may read."""
    import shlex

    context = click.get_current_context()
    words = ["magento-pager", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in {"overwrite", "resume"}:
            continue
        value = context.params[name]
        for one in value if parameter.multiple else [value]:
            secret = name in SECRET or (name in {"url", "proxy"} and "@" in str(one))
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [] if one is True else ["..." if secret else str(one)]
    return shlex.join([*words, "--resume"])


@contextmanager
def _progress(entity: str, dumping: Dump) -> Generator[Callable[[Page], None]]:
    """A live line on a terminal; else a plain one every so often."""
    if not sys.stderr.isatty():
        said = time.monotonic()

        def plainly(page: Page) -> None:
            nonlocal said
            if time.monotonic() - said >= PROGRESS_EVERY:
                said = time.monotonic()
                counters = dumping.checkpoint.counters
                say(f"{counters.rows} {entity}, {counters.calls} calls, at id {page.cursor.next_id}")

        yield plainly
        return

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{entity} ...")

        def lively(page: Page) -> None:
            counters = dumping.checkpoint.counters
            rate = counters.rows / counters.seconds if counters.seconds else 0
            text = f"{counters.rows:,} {entity}  {rate:,.0f}/s  {counters.calls} calls  at id {page.cursor.next_id:,}"
            progress.update(task, description=text)

        yield lively
