"""`dump`: the pages of a list to a file or to standard output, and what is said of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import click
from click.core import ParameterSource

from magento_pager.cli.ending import NoReaderError, StoppedError, raise_refusal, stoppable
from magento_pager.cli.options import (
    QUIET,
    VERBOSE,
    Asking,
    ShopOptions,
    Times,
    WholeNumber,
    Widths,
    duration,
    option,
    options,
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

SECRET = {"key", "basic_auth", "header"}  # options that are never repeated


def _parallel(_: click.Context, __: click.Parameter, value: str) -> int | str:
    if not re.fullmatch("auto|[1-9][0-9]{0,8}", value):
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 on")
    return value if value == "auto" else int(value)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of the shop at once."""

    parallel: int | Literal["auto"] = option(
        "Calls under way at once; auto finds out how many bring the most rows, by XML-RPC or with --wsdl-cache.",
        "N|auto",
        "1",
        callback=_parallel,
    )
    wsdl_cache: bool = option(
        "The shop's WSDL cache is on (System, Configuration, Magento Core API): SOAP calls at once do not block it."
    )
    nice: float = option("After each call, leave the shop alone for R times as long as it took.", "R", 0.0)
    check: Check = option("Ask for each window by two strategies, with full.", default="usual", choices=get_args(Check))


@dataclass(frozen=True, slots=True)
class Out:
    """What rows hold, and where they go."""

    path: str | None = option(
        "Where the rows go: a file, a folder of Parquet, a database.  [default: standard output]",
        "FILE",
        type=click.Path(),
        name="--out",
    )
    format: Format | None = option(
        "How rows are written.  [default: what FILE ends with, .csv, .parquet, .sqlite or .db; else ndjson]",
        choices=FORMATS,
    )
    gzip: bool = option("Pack text by gzip, as where FILE ends with .gz.")
    columns: str | None = option("The columns to write, in this order.  [default: all that are declared]", "NAME,NAME")
    typed: bool = option("Numbers and moments instead of the server's text, as Parquet and SQLite have always.")
    password_hash: bool = option("Keep this column of customers, which else is dropped.")
    resume: bool = option("Go on where the last dump to FILE was stopped; begin where there was none.")
    overwrite: bool = option("Replace FILE, and an unfinished dump of it. With --resume only a finished one.")
    lookback: int | None = option(
        "With --resume: read the last N ids once more, for rows that were committed late.", "N", type=WholeNumber(1)
    )
    moved_from: str | None = option(
        "With --resume or --state: an address that the shop had; go on with what was dumped from there.",
        "URL",
    )
    repair: str | None = option(
        "Read rows that no XML can hold, without the characters that XML forbids.", choices=["control-characters"]
    )
    details: bool = option("Rows in full: the items of orders, addresses, payment, history, and so on.")
    report: str | None = option("Where a JSON report goes.", "FILE", type=click.Path(dir_okay=False))


@click.command()
@click.argument("entity", type=click.Choice(list(LISTS)), default="orders")
@options(shop=ShopOptions, widths=Widths, load=Load, asking=Asking, times=Times, out=Out, quiet=QUIET, verbose=VERBOSE)
def dump(
    *, entity: ListName, shop: ShopOptions, widths: Widths, load: Load, asking: Asking, times: Times, out: Out
) -> None:
    """Write every row of a list, in order of id: as NDJSON, CSV, Parquet or into a table of SQLite.

    The walk needs no first or last: it ends when every id there can be was covered by an answered query.

    With --out, the rows go to FILE.part until all are there, and FILE.checkpoint says how many are safe, and stays to
    say of which dump FILE is; SQLite keeps both in the database. Exit status 3 if every id was covered but some rows
    had to be left out; each is named.
    """
    task: Task | None = None
    try:
        with stoppable() as stop, messages(), _task(entity, shop, asking, times, out) as task:
            report = task.finished_report()
            if report is None:
                with shop.connected() as pager:
                    paginator = asking.of(pager, entity, widths)(
                        updated_since=times.since,
                        repair=out.repair is not None,
                        details=out.details,
                        password_hash=out.password_hash,
                        parallel=load.parallel,
                        wsdl_cache=load.wsdl_cache,
                        nice=load.nice,
                        check=load.check,
                    )
                    with progress(entity) as shown:
                        report = task.run(paginator, shown, lambda last: stop.held(forget=last))
    except BaseException as error:
        _tell(error, task)
        raise
    if not quiet():
        say(str(report))
    if verbose():
        say(report.cost)
    if report.left_out:
        click.get_current_context().exit(3)


def _task(entity: ListName, shop: ShopOptions, asking: Asking, times: Times, out: Out) -> Task:
    """What is asked for, before the shop is asked for anything."""
    from magento_pager.export.dumping import Task
    from magento_pager.export.jobs import Job
    from magento_pager.shop.origins import canonical_url, redacted_url

    first, last = asking.span
    job = Job(
        LISTS[entity],
        out.path,
        first=first,
        last=last,
        where=asking.where,
        since=times.since,
        details=out.details,
        password_hash=out.password_hash,
        url=shop.alias or (redacted_url(canonical_url(shop.url)) if shop.url else ""),
        format=out.format,
        gzip=out.gzip,
        columns=tuple(one.strip() for one in out.columns.split(",")) if out.columns else (),
        typed=out.typed,
        resume=out.resume,
        overwrite=out.overwrite,
        lookback=out.lookback,
        state=times.state,
        late=duration(times.late) if times.late else None,
        report=out.report,
        moved_from=out.moved_from,
        all_columns=wire_and_columns(asking.wire, asking.column_set)[1],
    )
    return Task(job)


def _tell(error: BaseException, task: Task | None) -> None:
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
    """What is safe, and the command that resumes from there; empty if there is nothing to resume."""
    from magento_pager.export.report import shown

    one = report.rows == 1
    if report.part is None:
        if task.path is not None or not report.rows:
            return ""
        were = "was" if one else "were"
        return f"{report.counted} {were} written to standard output, which cannot be resumed; use --out."
    if report.published:
        return f"{shown(report.path)} is complete, but not its last step. Finish with: {_resuming_command(task)}"
    are = "is" if one else "are"
    return f"{report.counted} {are} safe in {shown(report.part)}. Resume with: {_resuming_command(task)}"


def _resuming_command(task: Task) -> str:
    """The command line again, with --resume where it is needed, and without what nobody may read."""
    from magento_pager.export.increments import iso

    context = click.get_current_context()
    by_itself = context.params.get("state") is not None
    # Else whoever goes on must ask for the same, whatever time it is then.
    now = {} if by_itself else {"since": iso(task.since) if task.since else None, "path": task.path}
    words = ["magento-pager", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or (name in {"overwrite", "resume"} and not by_itself):
            continue
        value = (context.params | now)[name]
        for one in value if parameter.multiple else [value]:
            secret = name in SECRET or (name in {"url", "proxy"} and "@" in str(one))
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [] if one is True else ["..." if secret else str(one)]
    return shlex.join(words if by_itself else [*words, "--resume"])
