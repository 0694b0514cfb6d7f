"""`dump`: write the pages of a list to a file or to standard output, and say how that ended."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import click
from click.core import ParameterSource

from magento_pager.cli.ending import NoReaderError, StoppedError, raise_refusal, stoppable
from magento_pager.cli.help import Helped
from magento_pager.cli.options import Selection, ShopOptions, TimeOptions, WidthOptions, duration
from magento_pager.cli.parameters import (
    QUIET,
    VERBOSE,
    WholeNumber,
    increments_option,
    list_argument,
    load_option,
    options,
    output_option,
    rows_option,
    strategy_option,
)
from magento_pager.cli.progress import progress
from magento_pager.cli.terminal import messages, quiet, say, verbose
from magento_pager.errors import error_line
from magento_pager.export.formats import FORMATS, Format
from magento_pager.lists import LISTS, wire_and_columns
from magento_pager.walk.names import Check

if TYPE_CHECKING:
    from magento_pager.export.dumping import Task
    from magento_pager.export.report import Report
    from magento_pager.lists import ListName

SECRET = {"key", "basic_auth", "header"}  # options whose values are never printed


def _parallel(_: click.Context, __: click.Parameter, value: str) -> int | str:
    if not re.fullmatch("auto|[1-9][0-9]{0,8}", value):
        raise click.BadParameter(f"{value!r} is neither auto nor a number of at least 1.")
    return value if value == "auto" else int(value)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How much is requested of the shop at once."""

    parallel: int | Literal["auto"] = load_option(
        "Number of concurrent calls; auto finds the fastest number, with XML-RPC or --wsdl-cache.",
        "N|auto",
        "1",
        callback=_parallel,
    )
    wsdl_cache: bool = load_option(
        "Rely on the shop's WSDL cache (System, Configuration, Magento Core API): with it, concurrent SOAP calls do "
        "not block each other."
    )
    nice: float = load_option(
        "Pause after each call, as a multiple of the time it took: 1 halves the load. [default: 0]",
        "FACTOR",
        0.0,
    )
    check: Check = strategy_option(
        "How replies are checked: full reads each window by two strategies.",
        default="usual",
        choices=get_args(Check),
    )


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What rows hold, and where they go."""

    details: bool = rows_option("Read full records: items of orders, addresses, payment, history and so on.")
    repair: str | None = rows_option(
        "Repair rows that XML cannot represent, by removing the characters that XML forbids.",
        choices=["control-characters"],
    )
    password_hash: bool = rows_option("Keep the password hashes of customers, which are dropped otherwise.")
    path: str | None = output_option(
        "File, folder of Parquet files or SQLite database for the rows. [default: standard output]",
        "FILE",
        type=click.Path(),
        name="--out",
    )
    format: Format | None = output_option(
        "Format of the rows: ndjson, csv, parquet or sqlite. [default: by the ending of FILE, .csv, .parquet, .sqlite "
        "or .db; else ndjson]",
        "FORMAT",
        choices=FORMATS,
    )
    gzip: bool = output_option("Compress text with gzip, as if FILE ended with .gz.")
    columns: str | None = output_option("Columns to write, in this order. [default: all declared columns]", "NAME,NAME")
    typed: bool = output_option(
        "Write numbers and timestamps instead of the server's text, as Parquet and SQLite always do."
    )
    report: str | None = output_option("File for a report in JSON.", "FILE", type=click.Path(dir_okay=False))
    resume: bool = increments_option("Continue an unfinished dump to FILE; start one if there is none.")
    overwrite: bool = increments_option(
        "Replace FILE, and any unfinished dump to it; with --resume only a finished one."
    )
    lookback: int | None = increments_option(
        "With --resume: number of ids to read again, for rows committed late.", "N", type=WholeNumber(1)
    )
    moved_from: str | None = increments_option(
        "With --resume or --state: former address of the shop, to continue its dump.", "URL"
    )


@click.command(
    cls=Helped,
    examples=[
        ("Try it without a shop", "magento-pager dump orders --demo --out orders.ndjson"),
        ("All orders to a file, with a report", "magento-pager dump orders --out orders.ndjson --report orders.json"),
        ("Continue after an interruption", "magento-pager dump orders --out orders.ndjson --resume"),
        ("Every night: only what changed", "magento-pager dump orders --state orders.json --out shop.sqlite"),
        ("Some of the rows", "magento-pager dump orders --where status:eq:complete --since 3d --out new.csv"),
    ],
)
@list_argument("List to export", default="orders")
@options(
    shop=ShopOptions,
    selection=Selection,
    times=TimeOptions,
    output=OutputOptions,
    widths=WidthOptions,
    load=LoadOptions,
    quiet=QUIET,
    verbose=VERBOSE,
)
def dump(
    *,
    entity: ListName,
    shop: ShopOptions,
    output: OutputOptions,
    selection: Selection,
    times: TimeOptions,
    widths: WidthOptions,
    load: LoadOptions,
) -> None:
    """Export every row of a list, in order of id, as NDJSON, CSV, Parquet or SQLite.

    Without --first and --last, the dump ends once an answered call covers every possible id.

    With --out, rows go to FILE.part until all are there, and FILE.checkpoint records what is safe and which dump FILE
    is of; a SQLite database holds both. The exit status is 3 if every id was covered but some rows had to be skipped;
    each is named.
    """
    task: Task | None = None
    try:
        with (
            stoppable() as signals,
            messages(line=_leaves_terminal(output)),
            _task(entity, shop, selection, times, output) as task,
        ):
            report = task.finished_report()
            if report is None:
                with shop.connected() as pager:
                    paginator = selection.paginator(pager, entity, widths)(
                        updated_since=times.since,
                        repair=output.repair is not None,
                        details=output.details,
                        password_hash=output.password_hash,
                        parallel=load.parallel,
                        wsdl_cache=load.wsdl_cache,
                        nice=load.nice,
                        check=load.check,
                    )
                    report = task.run(paginator, progress(entity), lambda last: signals.deferred(discard=last))
    except BaseException as error:
        _raise_failure(error, task)
        raise
    if not quiet():
        say(str(report))
    if verbose():
        say(report.cost)
    if report.left_out:
        click.get_current_context().exit(3)


def _leaves_terminal(output: OutputOptions) -> bool:
    """Return whether no row can reach the terminal, where it would be in the line that changes."""
    if output.path not in {None, "-"}:
        return True
    with suppress(AttributeError, OSError, ValueError):  # standard output is closed, or not a file
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    return False


def _task(entity: ListName, shop: ShopOptions, selection: Selection, times: TimeOptions, out: OutputOptions) -> Task:
    """Return the task of a dump; nothing is requested of the shop yet."""
    from magento_pager.export.dumping import Task
    from magento_pager.export.jobs import Job
    from magento_pager.shop.origins import canonical_url, redacted_url

    first, last = selection.span
    job = Job(
        LISTS[entity],
        out.path,
        first=first,
        last=last,
        where=selection.where,
        since=times.since,
        details=out.details,
        password_hash=out.password_hash,
        url=shop.alias or (redacted_url(canonical_url(shop.url)) if shop.url else ""),
        format=out.format,
        gzip=out.gzip,
        columns=tuple(name.strip() for name in out.columns.split(",")) if out.columns else (),
        typed=out.typed,
        resume=out.resume,
        overwrite=out.overwrite,
        lookback=out.lookback,
        state=times.state,
        late=duration(times.late) if times.late else None,
        report=out.report,
        moved_from=out.moved_from,
        all_columns=wire_and_columns(selection.wire, selection.column_set)[1],
    )
    return Task(job)


def _raise_failure(error: BaseException, task: Task | None) -> None:
    """Say what stopped the dump, what is safe, and how to resume, all on one line."""
    report: Report | None = getattr(error, "dumped", None)
    line = "Interrupted" if isinstance(error, StoppedError) else error_line(error)
    if task is not None and report is not None:
        if isinstance(error, BrokenPipeError) and report.path is None and task.path is None:
            raise NoReaderError from None
        step = _next_step(report, task)
        line = f"{line.rstrip('.')}. {step}" if step else line
        if isinstance(error, StoppedError):
            say(line)
    raise_refusal(error, line, mistake=not (task and task.begun))


def _next_step(report: Report, task: Task) -> str:
    """Return what is safe, and the command that resumes from there; empty if there is nothing to resume."""
    from magento_pager.export.report import shown

    single = report.rows == 1
    if report.part is None:
        if task.path is not None or not report.rows:
            return ""
        were = "was" if single else "were"
        return f"{report.counted} {were} written to standard output, which cannot be resumed; use --out."
    if report.published:
        return f"{shown(report.path)} is complete, but not its last step. Finish with: {_resuming_command(task)}"
    are = "is" if single else "are"
    return f"{report.counted} {are} safe in {shown(report.part)}. Resume with: {_resuming_command(task)}"


def _resuming_command(task: Task) -> str:
    """Return the command line with --resume where that is needed, and without its secrets."""
    from magento_pager.export.increments import iso

    context = click.get_current_context()
    by_itself = context.params.get("state") is not None
    # Otherwise the resumed dump must request the same, at whatever time it runs.
    current = {} if by_itself else {"since": iso(task.since) if task.since else None, "path": task.path}
    words = ["magento-pager", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE and parameter.expose_value
        if not given or (name in {"overwrite", "resume"} and not by_itself):
            continue
        value = (context.params | current)[name]
        for each in value if parameter.multiple else [value]:
            secret = name in SECRET or (name in {"url", "proxy"} and "@" in str(each))
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [] if each is True else ["..." if secret else str(each)]
    return shlex.join(words if by_itself else [*words, "--resume"])
