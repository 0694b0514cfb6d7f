"""The command line: arguments to library calls, and errors to one line and an exit status. No logic of its own.

Exit status: 0 done; 1 failed; 2 usage; 3 complete but with quarantined ids; 130 and 143 interrupted by Ctrl-C and
SIGTERM; 141 the reader of our output went away.

What a command needs is imported by that command, so that `--help` costs little more than Python itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from magento_pager.shop.operations import OPERATIONS  # plain data, quick to import

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType

    from magento_pager.export.sinks import Sink
    from magento_pager.pager import Pager
    from magento_pager.shop.transport import HttpOptions
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.walking import Page

STRATEGY_NAMES = ("auto", "range", "alias", "mapped", "in-list", "prefix", "regexp", "single-filter")
INTERRUPTED, NO_READER = 130, 141
VARIABLES = {"url": "MAGENTO_URL", "user": "MAGENTO_API_USER", "key": "MAGENTO_API_KEY"}
PROGRESS_EVERY = 10.0  # seconds between two plain lines of progress


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit status."""
    try:
        ended = cli.main(arguments, prog_name="magento-pager", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context and isinstance(error, click.UsageError) else ""
        _say(f"magento-pager: {error.format_message().rstrip('.')}{hint}")
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except _StoppedError as stopped:
        return 128 + stopped.number
    except _NoReaderError:
        # Whoever read our output has enough; Python must not complain of it again as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    return ended if isinstance(ended, int) else 0  # a status where the command ended by Context.exit


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="magento-pager")
def cli() -> None:
    """Every row of a Magento 1.x or OpenMage shop, exactly once, through a SOAP API that has no paging."""


def _shop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which shop, and how it is reached."""
    options = [
        click.option(
            "--url",
            envvar="MAGENTO_URL",
            show_envvar=True,
            metavar="URL",
            help="The shop's base address, its SOAP endpoint, or the address of its WSDL.",
        ),
        click.option("--user", envvar="MAGENTO_API_USER", show_envvar=True, metavar="NAME", help="The API user."),
        click.option(
            "--key",
            envvar="MAGENTO_API_KEY",
            show_envvar=True,
            metavar="KEY",
            help="The API key. Others on this machine can read it on a command line: prefer the environment.",
        ),
        click.option("--demo", is_flag=True, help="Use an embedded shop of 2,000 orders instead."),
        click.option("--profile", metavar="VERSION", help="The embedded shop's version.  [default: 20.0.20]"),
        click.option(
            "--flavour", type=click.Choice(["rpc", "wsi"]), help="The embedded shop's flavour.  [default: rpc]"
        ),
        click.option(
            "--timeout",
            type=float,
            default=120.0,
            show_default=True,
            metavar="SECONDS",
            help="What one call may take in all.",
        ),
        click.option(
            "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with every call; may be repeated."
        ),
        click.option("--basic-auth", metavar="USER:PASSWORD", help="For the web server's own protection."),
        click.option("--ca-bundle", type=click.Path(exists=True), metavar="FILE", help="The certificates to trust."),
        click.option("--proxy", metavar="URL", help="An HTTP proxy."),
        click.option("--legacy-tls", is_flag=True, help="Also accept TLS 1.0 and the ciphers of its time."),
        click.option("--insecure-http", is_flag=True, help="Send the key over plain http to another machine."),
        click.option(
            "--allow-host",
            "allow_hosts",
            multiple=True,
            metavar="HOST",
            help="Another host that the WSDL may send calls to; may be repeated.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.argument("entity", type=click.Choice(list(OPERATIONS)), default="orders")
@_shop_options
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ids in each window with rows.  [default: aims at 2,000 rows and 1 s a call]",
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
@click.option("--overwrite", is_flag=True, help="Replace FILE if there is one.")
@click.option("--report", type=click.Path(dir_okay=False), metavar="FILE", help="Where a JSON report goes.")
def dump(entity: str, **options: Any) -> None:
    """Write every row of a list as NDJSON, in order of id.

    The walk covers every id there can be, so it needs no first or last, and it ends by proof: nothing was left unasked.
    """
    from magento_pager.errors import PagerError
    from magento_pager.export.report import Report

    with ExitStack() as stack:
        with _as_usage_error():
            pager = stack.enter_context(_connected(options))
            paginator = _paginator(pager, entity, options)
            sink = _sink(options)
        report = Report(entity)
        stack.callback(_write_report, report, options["report"])
        try:
            with _stoppable(), _progress(entity, report) as shown:
                for page in paginator.pages():
                    sink.write(page.rows)
                    report.add(page, paginator.id_field, pager.connection.bytes_received)
                    shown(page)
        except BaseException as error:
            report.complete = False
            report.error = str(error) or type(error).__name__
            _close_quietly(sink)
            if isinstance(error, PagerError):
                raise click.ClickException(str(error)) from None
            if isinstance(error, BrokenPipeError):
                raise _NoReaderError from None
            if isinstance(error, OSError):
                raise click.ClickException(f"the output could not be written: {error}") from None
            if isinstance(error, _StoppedError):
                _say(f"interrupted after {report.rows} {entity}")
            raise
        sink.close(complete=True)
    _say(
        f"{report.rows} {entity} in {report.calls} calls ({report.empty_calls} empty), {report.seconds:.1f} s; "
        f"complete: every id from {paginator.first} to {paginator.last} was covered (verified: {report.verified})"
    )


@cli.command()
@_shop_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(*, as_json: bool, **options: Any) -> None:
    """Say whether this shop can be paged, by which strategies, and what to do where not.

    Exit status 1 if a list that the shop has cannot be paged.
    """
    from magento_pager.doctor import examine

    with _as_usage_error(), _stoppable(), _shop(options) as where:
        diagnosis = examine(*where)
    click.echo(json.dumps(diagnosis.as_json(), indent=2) if as_json else str(diagnosis))
    if not diagnosis.healthy:
        click.get_current_context().exit(1)


@cli.command()
@click.argument("first", type=click.IntRange(min=0))
@click.argument("last", type=click.IntRange(min=0))
@click.option("--strict", is_flag=True, help="Use [0-9] instead of . and [^...], for text columns.")
@click.option("--explain", "explained", is_flag=True, help="Print the tree of digits and how it becomes the pattern.")
def regexp(first: int, last: int, *, strict: bool, explained: bool) -> None:
    """Print the shortest portable regexp that matches the ids from FIRST to LAST, inclusive."""
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.regexps import explain, range_regexp

    with _as_usage_error():
        IdRange(first, last)
        click.echo(explain(first, last) if explained else range_regexp(first, last, strict=strict))


@cli.command()
@click.option("--profile", default="20.0.20", show_default=True, metavar="VERSION", help="The version the shop plays.")
@click.option(
    "--flavour", type=click.Choice(["rpc", "wsi"]), default="rpc", show_default=True, help="The SOAP flavour."
)
@click.option(
    "--orders",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    metavar="N",
    help="How many orders to make up; the other lists follow.",
)
@click.option(
    "--rows", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Rows to serve instead, as JSON."
)
@click.option(
    "--database",
    default="",
    metavar="URL",
    help="Keep the tables in a MariaDB, as mysql://USER:PASSWORD@HOST:PORT/NAME; NAME must be empty or not exist.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, metavar="N", help="0 takes a free one."
)
@click.option("--user", default="demo", show_default=True, metavar="NAME", help="The API user.")
@click.option("--key", default="demo-key", show_default=True, metavar="KEY", help="The API key.")
@click.option("--php5", is_flag=True, help="Play an old version as one on PHP 5.")
@click.option("--broken-wsi", is_flag=True, help="Let 1.6.2.0 speak WS-I, in which it breaks every filter.")
@click.option("--latency", type=float, default=0.0, metavar="SECONDS", help="What each call takes at least.")
@click.option("--latency-per-row", type=float, default=0.0, metavar="SECONDS", help="What each row adds to that.")
@click.option(
    "--memory-limit-rows", type=int, default=0, metavar="N", help="A list with more rows exhausts PHP's memory."
)
@click.option(
    "--memory-failure",
    type=click.Choice(["fault", "empty"]),
    default="fault",
    show_default=True,
    help="What that looks like.",
)
@click.option(
    "--max-execution-time", type=float, default=0.0, metavar="SECONDS", help="PHP gives a call up after so long."
)
@click.option("--workers", type=int, default=0, metavar="N", help="PHP workers; 0: as many as needed.")
@click.option("--wsdl-cache", is_flag=True, help="PHP keeps the WSDL; without, each call needs a second worker.")
@click.option(
    "--socket-timeout",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="A call waits so long for its own WSDL.",
)
@click.option(
    "--session-timeout",
    type=float,
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="A session expires after so long without a call.",
)
@click.option(
    "--body-limit", type=int, default=1_048_576, show_default=True, metavar="BYTES", help="A longer request is refused."
)
@click.option("--gzip", is_flag=True, help="Compress replies for clients that accept it.")
@click.option(
    "--outage",
    type=click.Choice(["maintenance", "database", "wsdl", "schema", "firewall", "redirect"]),
    default=None,
    help="What is wrong with the whole shop.",
)
@click.option(
    "--denied",
    multiple=True,
    type=click.Choice(list(OPERATIONS)),
    help="A list the API user has no right to; may be repeated.",
)
@click.option(
    "--duplicate-address",
    multiple=True,
    type=int,
    metavar="ID",
    help="An order with two billing addresses: lists with it fault.",
)
@click.option("--invalid-utf8", multiple=True, type=int, metavar="ID", help="An order with a name that is not UTF-8.")
@click.option(
    "--control-characters", multiple=True, type=int, metavar="ID", help="An order with a control character in a name."
)
@click.option("--base-url", default="", metavar="URL", help="The address the shop believes it has.")
@click.option("--control", is_flag=True, help="Read commands from standard input, a JSON object on each line.")
def serve(*, control: bool, **options: Any) -> None:
    """Run an embedded shop until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is ready: url, user and key. `url` takes the calls; url + "?wsdl=1" is the WSDL.
    With --control it can be changed while it runs: {"profile": "1.7.0.2"}, {"knobs": {"latency": 0.5}}, {"insert":
    ["orders", {"entity_id": 5}]}, {"update": ["orders", 5, {"status": "closed"}]}, {"delete": ["orders", 5]}, {"log":
    true}; each line is answered with one.
    """
    from magento_pager.fake import Shop
    from magento_pager.fake.control import obey

    options["outage"] = options["outage"] or ""
    with _as_usage_error():
        shop = Shop(**options)
    try:
        with _stoppable(), shop:
            click.echo(json.dumps({"url": shop.url, "user": shop.user, "key": shop.key}))
            for line in sys.stdin if control else ():
                click.echo(json.dumps(obey(shop, line)))
            while True:
                time.sleep(3600)
    except _StoppedError:
        return
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the shop cannot start: {error}") from None


class _StoppedError(BaseException):
    """Ctrl-C or SIGTERM came. A KeyboardInterrupt would be taken by click, which prints an empty line."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _NoReaderError(Exception):
    """Whoever read our output went away; a BrokenPipeError would be taken by click, which exits with 1."""


@contextmanager
def _stoppable() -> Generator[None]:
    """Let Ctrl-C and SIGTERM unwind the stack, so that the session is ended and the report written."""

    def stop(number: int, _: FrameType | None) -> None:
        raise _StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _as_usage_error() -> Generator[None]:
    """What the caller got wrong is one line and exit status 2; what the shop got wrong is one line and 1."""
    from magento_pager.errors import PagerError

    try:
        yield
    except (ValueError, TypeError, FileExistsError) as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
    except (PagerError, OSError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _shop(options: dict[str, Any]) -> Iterator[tuple[str, str, str, HttpOptions]]:
    """Where the shop is that the options name, or an embedded one, and how it is reached."""
    from magento_pager.shop.transport import HttpOptions

    with ExitStack() as stack:
        where = {name: options[name] for name in ("url", "user", "key")}
        if options["demo"]:
            from magento_pager.fake import Shop

            shop = Shop(profile=options["profile"] or "20.0.20", flavour=options["flavour"] or "rpc")
            stack.enter_context(shop)
            where = {"url": shop.url, "user": shop.user, "key": shop.key}
        elif options["profile"] or options["flavour"]:
            raise ValueError("--profile and --flavour choose the embedded shop's: give --demo as well")
        for name, value in where.items():
            if not value:
                raise ValueError(f"which shop? Give --{name} or {VARIABLES[name]}, or try --demo")
        if click.get_current_context().get_parameter_source("key") is click.core.ParameterSource.COMMANDLINE:
            _say("warning: others on this machine can read --key on the command line; prefer MAGENTO_API_KEY")
        basic_auth = options["basic_auth"]
        yield (
            *where.values(),
            HttpOptions(
                timeout=options["timeout"],
                headers=dict(map(_header, options["headers"])),
                basic_auth=_pair(basic_auth, "--basic-auth is USER:PASSWORD") if basic_auth else None,
                ca_bundle=options["ca_bundle"],
                proxy=options["proxy"],
                legacy_tls=options["legacy_tls"],
                insecure_http=options["insecure_http"],
                allow_hosts=frozenset(options["allow_hosts"]),
            ),
        )


@contextmanager
def _connected(options: dict[str, Any]) -> Iterator[Pager]:
    """The pager of the shop that the options name, logged in."""
    from magento_pager.pager import Pager
    from magento_pager.shop.connection import Connection

    with _shop(options) as where, Pager(Connection(*where)) as pager:
        pager.connection.login()
        yield pager


def _paginator(pager: Pager, entity: str, options: dict[str, Any]) -> Paginator:
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.ranges import MAX_ID

    return pager.list(
        entity,
        window=options["window"],
        strategy=options["strategy"],
        first=options["first"],
        last=MAX_ID if options["last"] is None else options["last"],
        where=[Condition.parse(text) for text in options["where"]],
    )


def _sink(options: dict[str, Any]) -> Sink:
    from magento_pager.export.sinks import NdjsonFile, NdjsonSink

    if options["out"]:
        return NdjsonFile(options["out"], overwrite=options["overwrite"])
    if options["overwrite"]:
        raise ValueError("--overwrite is for --out")
    return NdjsonSink(sys.stdout.buffer)


def _close_quietly(sink: Sink) -> None:
    """Let go of the sink without hiding the error that is on its way."""
    try:
        sink.close(complete=False)
    except BrokenPipeError:
        pass
    except OSError as error:
        _say(f"the output could not be closed: {error}")


def _write_report(report: Any, path: str | None) -> None:
    if path is not None:
        Path(path).write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")


@contextmanager
def _progress(entity: str, report: Any) -> Generator[Callable[[Page], None]]:
    """A live line on a terminal; else a plain one every so often."""
    if not sys.stderr.isatty():
        said = time.monotonic()

        def plainly(page: Page) -> None:
            nonlocal said
            if time.monotonic() - said >= PROGRESS_EVERY:
                said = time.monotonic()
                _say(f"{report.rows} {entity}, {report.calls} calls, at id {page.cursor.next_id}")

        yield plainly
        return

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"{entity} ...")

        def lively(page: Page) -> None:
            rate = report.rows / report.seconds if report.seconds else 0
            text = f"{report.rows:,} {entity}  {rate:,.0f}/s  {report.calls} calls  at id {page.cursor.next_id:,}"
            progress.update(task, description=text)

        yield lively


def _header(text: str) -> tuple[str, str]:
    name, value = _pair(text, "--header is NAME:VALUE")
    return name.strip(), value.strip()


def _pair(text: str, form: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    if not (left and colon):
        raise ValueError(f"{form}, not {left!r}")
    return left, right


def _say(text: str) -> None:
    click.echo(text, err=True)
