"""`dump`: the pages of a list to a file or to standard output, and what is said of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import NoReaderError, StoppedError, said, say, stoppable, warnings_said
from magento_pager.cli.increments import duration, time_options
from magento_pager.cli.lists import asked, asking_options, width_options, widths
from magento_pager.cli.progress import progress
from magento_pager.cli.shops import connected, shop_options
from magento_pager.cli.values import Number, WholeNumber
from magento_pager.export.formats import FORMATS
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.export.dumping import Task
    from magento_pager.export.report import Report
    from magento_pager.lists import ListName
    from magento_pager.pager import Pager
    from magento_pager.walk.paginator import Paginator

QUARANTINED = 3
SECRET = {"key", "basic_auth", "headers"}  # options that are never repeated


def _parallel(_: click.Context, __: click.Parameter, value: str) -> int | str:
    """A number of calls, or auto."""
    if value == "auto":
        return value
    if not re.fullmatch("[1-9][0-9]{0,8}", value):
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
    type=Number(),
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
    type=WholeNumber(min=1),
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
    task: Task | None = None
    try:
        with stoppable() as stop, warnings_said(), _task(entity, options) as task:
            report = task.look()
            if report is None:
                with connected(options) as pager:
                    pager.connection.alias = _demo(options)
                    paginator = _paginator(pager, entity, options)
                    with progress(entity, paginator) as shown:
                        report = task.run(paginator, shown, lambda last: stop.held(forget=last))
    except BaseException as error:
        _tell(error, task)
        raise
    _say(report, entity)
    if report.left_out:
        click.get_current_context().exit(QUARANTINED)


def _task(entity: ListName, options: dict[str, Any]) -> Task:
    """What is asked for, before the shop is asked for anything."""
    from magento_pager.export.dumping import Job, Task
    from magento_pager.shop.transport import bare
    from magento_pager.walk.ranges import MAX_ID

    job = Job(
        LISTS[entity],
        options["out"],
        first=options["first"],
        last=MAX_ID if options["last"] is None else options["last"],
        where=tuple(options["where"]),
        since=options["since"],
        details=options["details"],
        password_hash=options["password_hash"],
        url=_demo(options) or bare(options["url"] or ""),
        format=options["format"],
        gzip=options["gzip"],
        columns=tuple(one.strip() for one in options["columns"].split(",")) if options["columns"] else (),
        typed=options["typed"],
        resume=options["resume"],
        overwrite=options["overwrite"],
        lookback=options["lookback"],
        state=options["state"],
        late=duration(options["late"]) if options["late"] else None,
        report=options["report"],
    )
    return Task(job)


def _demo(options: dict[str, Any]) -> str:
    """What checkpoints call the embedded shop, which is at another port each time; empty for a real one."""
    return f"the demo {options['profile'] or ''} {options['flavour'] or ''}".strip() if options["demo"] else ""


def _paginator(pager: Pager, entity: ListName, options: dict[str, Any]) -> Paginator:
    more = {
        "repair": options["repair"] is not None,
        "details": options["details"],
        "updated_since": options["since"],
        "password_hash": options["password_hash"],
        "parallel": options["parallel"],
        "nice": options["nice"],
    }
    return pager.list(entity, **(widths(options) | asked(options) | more))


def _say(report: Report, entity: str) -> None:
    """Say how it went."""
    checkpoint, counters = report.checkpoint, report.checkpoint.counters
    if report.already:
        say(f"{report.path} is complete already; nothing to do (--overwrite dumps anew)")
    for one in report.left_out:
        say(f"left out: id {one.id} of {entity}: {' '.join(one.reason.split())}")
    if checkpoint.repaired:
        say(f"repaired, characters that XML forbids taken out: ids {', '.join(map(str, checkpoint.repaired))}")
    for misfits in checkpoint.misfits:
        say(f"did not fit, null in the output: {misfits}")
    say(
        f"{counters.rows} {entity} in {counters.calls} calls ({counters.empty_calls} empty), "
        f"{counters.seconds:.1f} s; complete: every id from {checkpoint.fingerprint.first} to "
        f"{checkpoint.fingerprint.last} was covered (verified: {counters.verified})"
        + (f", but {len(report.left_out)} left out, see above" if report.left_out else "")
        + (f"; {checkpoint.changes}" if checkpoint.changes else "")
    )


def _tell(error: BaseException, task: Task | None) -> None:
    """Say what stopped the dump, as one line that says how to go on, by an error that click understands."""
    from magento_pager.errors import CheckpointMismatchError, PagerError

    report: Report | None = getattr(error, "dumped", None)
    if task is not None and report is not None:
        if isinstance(error, BrokenPipeError) and report.path is None and task.path is None:
            raise NoReaderError from None
        line = f"{said(error).rstrip('.')}{_way_on(report, task)}"
    else:
        line = said(error)
    wrong = (ValueError, TypeError, FileExistsError, CheckpointMismatchError)
    if isinstance(error, StoppedError):
        if report is not None:
            say(line)
    elif isinstance(error, click.UsageError) or (isinstance(error, wrong) and not (task and task.begun)):
        raise click.UsageError(line, click.get_current_context()) from None
    elif isinstance(error, click.ClickException | PagerError | OSError):
        raise click.ClickException(line) from None


def _way_on(report: Report, task: Task) -> str:
    """What is safe, and the command that goes on from there; nothing where there is nothing to go on with."""
    rows = f"{report.rows} {report.checkpoint.fingerprint.entity}"
    if report.part is None:
        return f"; {rows} were written; with --out a dump can be resumed" if task.path is None and report.rows else ""
    if report.published:
        return f"; {report.path} is complete all the same, the rest is done by: {_resuming_command(task)}"
    return f"; {rows} are safe in {report.part}, go on with: {_resuming_command(task)}"


def _resuming_command(task: Task) -> str:
    """The command line again, with --resume where it is needed, and without what nobody may read."""
    import shlex

    from magento_pager.export.increments import iso

    context = click.get_current_context()
    by_itself = context.params.get("state") is not None
    given_now = context.params
    if not by_itself:  # whoever goes on must ask for the same, whatever time it is then
        given_now = given_now | {"since": iso(task.since) if task.since else None, "out": task.path}
    words = ["magento-pager", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or (name in {"overwrite", "resume"} and not by_itself):
            continue
        value = given_now[name]
        for one in value if parameter.multiple else [value]:
            secret = name in SECRET or (name in {"url", "proxy"} and "@" in str(one))
            words += [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [] if one is True else ["..." if secret else str(one)]
    return shlex.join(words if by_itself else [*words, "--resume"])
