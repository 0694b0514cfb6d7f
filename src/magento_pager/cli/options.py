"""Options, in groups that commands share: each group is one frozen value, which knows what its options lead to.

And what may stand behind an option: numbers in plain digits, files that have an end, and times.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from magento_pager.cli.terminal import set_level, warn
from magento_pager.lists import WireName
from magento_pager.walk.conditions import Condition
from magento_pager.walk.names import STRATEGIES, StrategyName
from magento_pager.walk.ranges import LARGEST_NUMBER, MAX_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from magento_pager.fake.declarations import Flavour
    from magento_pager.lists import ColumnSet, ListName
    from magento_pager.pager import Pager
    from magento_pager.shop.transport import HttpOptions
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.windows import Goal

VARIABLES = {"url": "MAGENTO_URL", "user": "MAGENTO_API_USER", "key": "MAGENTO_API_KEY"}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class WholeNumber(click.IntRange):
    """A number in plain digits: `int` takes more, such as "3_6", and a slip would ask for something else."""

    def __init__(
        self, lowest: int = 0, highest: int | None = None, *, noun: str = "number", largest: float = LARGEST_NUMBER
    ) -> None:
        super().__init__(lowest, highest)
        self._noun, self._largest = noun, largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number as it was typed."""
        number: int = super().convert(value, param, ctx)
        if str(value) != str(number):
            self.fail(f"{value!r} is no {self._noun} in plain digits; do you mean {number}?", param, ctx)
        if number > self._largest:
            self.fail(f"{value!r} is too large; the largest {self._noun} is {self._largest}", param, ctx)
        return number


ID = WholeNumber(noun="id")


class Number(click.FloatRange):
    """A number in plain digits, with a point or an exponent where it has one; never "nan", "inf" or "1_0"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number as it was typed."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number) or not (isinstance(value, float) or plain_number(value)):
            self.fail(f"{value!r} is no number in plain digits, such as 1.5", param, ctx)
        return number


class InputFile(click.Path):
    """A file to be read, or a pipe. A device is refused: some never end, and their bytes would be held in memory."""

    def __init__(self, *, exists: bool = True, dir_okay: bool = False) -> None:
        super().__init__(exists=exists, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look at the file."""
        found = super().convert(value, param, ctx)
        with suppress(OSError):  # it is not there, or cannot be: whoever opens it says so
            mode = Path(os.fsdecode(found)).stat().st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                self.fail(f"{value!r} is a device, not a file", param, ctx)
        return found


def plain_number(text: str) -> bool:
    """Return whether a text is a number in plain digits; `float` takes more.

    >>> plain_number("1.5"), plain_number("1e-3"), plain_number("1_0"), plain_number("nan")
    (True, True, False, False)
    """
    return bool(re.fullmatch(r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?", text))


def option(
    text: str,
    metavar: str = "",
    default: Any = None,
    *,
    name: str = "",
    short: str = "",
    choices: Sequence[str] = (),
    **how: Any,
) -> Any:
    """Return an option for `options`, or for a field of a group, by whose name it is called.

    Args:
        text: what its help says.
        metavar: what stands for its value; without that and `choices` it is a flag.
        default: shown, but for 0 and "".
        name: what it is called instead.
        short: its second name, of one letter.
        choices: the values there are.
        how: more arguments of `click.option`.
    """
    shown = {"name": name, "short": short, "help": text, "show_default": bool(default), "show_envvar": True}
    if not (metavar or choices):
        return field(metadata={"is_flag": True, **shown, **how})
    kinds = {int: WholeNumber(), float: Number(0)}
    kind = click.Choice(choices) if choices else kinds.get(type(default))
    return field(metadata={"metavar": metavar or None, "type": kind, "default": default, **shown, **how})


QUIET = option("Errors only: no progress, warnings or summary.", short="-q", expose_value=False, callback=set_level)
VERBOSE = option(
    "Also what is requested from the shop, and what it cost.", short="-v", expose_value=False, callback=set_level
)


def options(**given: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options, in this order: each as an argument of its name, or a group of them as one value."""
    groups = {name: one for name, one in given.items() if isinstance(one, type)}

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            for name, group in groups.items():
                values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
            command(**values)

        for name, one in reversed(given.items()):
            for each in reversed(fields(one)) if name in groups else [one]:
                own, how = each.name or name, dict(each.metadata)
                names = [how.pop("name") or f"--{own.replace('_', '-')}", *filter(None, [how.pop("short")])]
                called = click.option(*names, own, **how)(called)
        return called

    return with_options


def duration(text: str) -> timedelta | None:
    """Return the length of time that a text says; None where it says none.

    >>> duration("10m"), duration("1h30"), duration("1w")
    (datetime.timedelta(seconds=600), None, datetime.timedelta(days=7))
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None


def _since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """A time, or how long ago it is."""
    ago = duration(value or "")
    if value is None or ago is not None:
        return ago
    try:
        moment = datetime.fromisoformat(value)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        words = f"{value!r} is no time: write 2024-05-01T10:00:00Z, or how long ago it is, such as 2h or 3d"
        raise click.BadParameter(words) from None
    if moment.utcoffset() is None:
        said = moment.isoformat()
        raise click.BadParameter(f"{value!r} is in no time zone: write {said}Z for UTC, or an offset, {said}+02:00")
    return moment


def _late(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A length of time, as it was given: it may have to be said again."""
    if value is not None and duration(value) is None:
        raise click.BadParameter(f"{value!r} is no length of time, such as 90s, 10m, 2h, 3d or 1w")
    return value


@dataclass(frozen=True, slots=True)
class Widths:
    """How wide windows are."""

    window: int | None = option(
        "Ids in each window with rows.  [default: aims at 2,000 rows and 1 s a call]", "N", type=WholeNumber(1)
    )
    rows_per_call: int | None = option(
        "Without --window: aim at so many rows a call.  [default: 2000]", "N", type=WholeNumber(1)
    )
    seconds_per_call: float | None = option(
        "Without --window: aim at calls that take no longer.  [default: 1]", "SECONDS", type=Number(0, min_open=True)
    )

    def goal(self) -> Goal:
        """Return what a call should bring; a ValueError where a width is both fixed and adapted."""
        from magento_pager.walk.windows import Goal

        if self.window and (self.rows_per_call or self.seconds_per_call):
            words = "--window fixes the width, and --rows-per-call and --seconds-per-call adapt it: give one kind"
            raise ValueError(words)
        usual = Goal()
        return Goal(self.rows_per_call or usual.rows, self.seconds_per_call or usual.seconds)


@dataclass(frozen=True, slots=True)
class Asking:
    """Which rows are wanted, and by which strategy."""

    strategy: StrategyName = option("How a window is put to the server.", default="auto", choices=STRATEGIES)
    wire: WireName | None = option(
        "The protocol: auto takes XML-RPC where it costs the shop less, once it brought the same rows as SOAP.  "
        "[default: soap; xml-rpc with --all-columns]",
        choices=get_args(WireName),
    )
    all_columns: bool = option(
        "Also the columns of extensions and custom attributes, which come by XML-RPC alone; usual with --wire xml-rpc."
    )
    declared_columns: bool = option("With --wire xml-rpc: only the columns that the shop's WSDL declares.")
    first: int = option("The first id, inclusive.", "ID", 0, type=ID, show_default=True)
    last: int | None = option("The last id, inclusive.  [default: the last there can be]", "ID", type=ID)
    where: tuple[str, ...] = option(
        "A further condition, such as status:eq:complete; may be repeated, and all must hold. Two bounds on a column "
        "of dates or numbers are a range: created_at:from:2024-01-01 and created_at:to:2024-02-01, or "
        "created_at:lt:2024-02-01 without the end.",
        "FIELD:OP:VALUE",
        multiple=True,
    )

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last id, inclusive."""
        return self.first, MAX_ID if self.last is None else self.last

    @property
    def column_set(self) -> ColumnSet | None:
        """Which columns rows have, None for those that are usual; a ValueError where both are asked for."""
        if self.all_columns and self.declared_columns:
            raise ValueError("--all-columns and --declared-columns: give one of them")
        return "all" if self.all_columns else "declared" if self.declared_columns else None

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of `--where`; a ValueError where a text is none."""
        return list(map(Condition.parse, self.where))

    def of(self, pager: Pager, entity: ListName, widths: Widths) -> Callable[..., Paginator]:
        """Return `pager.list`, but for the options that only a dump has."""
        first, last = self.span
        asked = partial(pager.list, entity, strategy=self.strategy, first=first, last=last, where=self.conditions)
        asked = partial(asked, wire=self.wire, columns=self.column_set)
        return partial(asked, window=widths.window, goal=widths.goal())


@dataclass(frozen=True, slots=True)
class Times:
    """Which rows are wanted by time, and what is remembered of it from run to run."""

    since: datetime | timedelta | None = option(
        "Only rows changed since: 2024-05-01T10:00:00Z, or how long ago by the shop's clock, 2h or 3d. Rows that "
        "were deleted are invisible to it; verify finds them.",
        "TIME",
        callback=_since,
    )
    state: str | None = option(
        "Only rows that changed since the last run, which FILE remembers, and new ones, whatever their dates; all rows "
        "the first time. A run that was stopped is resumed. In --out, {time} stands for the time at which the run "
        "began.",
        "FILE",
        type=InputFile(exists=False),
    )
    late: str | None = option(
        "With --state: how much before the last run to read once more, for what was committed late.  [default: 10m]",
        "TIME",
        callback=_late,
    )


@dataclass(frozen=True, slots=True, repr=False)  # it holds the key
class ShopOptions:
    """Which shop, and how it is reached."""

    url: str | None = option(
        "The shop's base address, or that of any of its APIs or of its WSDL.", "URL", envvar=VARIABLES["url"]
    )
    user: str | None = option("The API user.", "NAME", envvar=VARIABLES["user"])
    key: str | None = option(
        "The API key. Others on this machine can read it on a command line: prefer the environment or --key-file; a "
        "terminal is asked for it.",
        "KEY",
        envvar=VARIABLES["key"],
    )
    key_file: str | None = option("A file whose first line is the API key.", "FILE", type=InputFile())
    demo: bool = option("Use an embedded shop of 2,000 orders instead.")
    profile: str | None = option("The embedded shop's version.  [default: 20.0.20]", "VERSION")
    flavour: Flavour | None = option("The embedded shop's flavour.  [default: rpc]", choices=["rpc", "wsi"])
    timeout: float = option("What one call may take in all.", "SECONDS", 120.0)
    wait: float = option(
        "Keep trying so long to reach the shop and log in; for runs that nobody watches.",
        "SECONDS",
        0.0,
        show_default=True,
    )
    header: tuple[str, ...] = option(
        "Sent to the shop with every request; may be repeated.", "NAME:VALUE", multiple=True
    )
    basic_auth: str | None = option("For the web server's own protection.", "USER:PASSWORD")
    ca_bundle: str | None = option("The certificates to trust.", "FILE", type=InputFile(dir_okay=True))
    proxy: str | None = option("An HTTP proxy.  [default: HTTP_PROXY, HTTPS_PROXY]", "URL")
    legacy_tls: bool = option("Also accept TLS 1.0 and the ciphers of its time.")
    insecure_http: bool = option("Send the key over plain http to another machine.")
    allow_host: tuple[str, ...] = option(
        "Another host, or another port, that the WSDL may send calls to, with the key, and that its documents may "
        "come from; may be repeated.",
        "HOST[:PORT]",
        multiple=True,
    )
    save_replies: str | None = option(
        "Save the request and the raw reply of each failed call there, for the shop's admin: without credentials, but "
        "with customers' data.",
        "DIR",
        type=click.Path(),
    )

    @property
    def alias(self) -> str:
        """What checkpoints call the embedded shop, which is at another port each time; empty for a real one."""
        return f"the demo {self.profile or ''} {self.flavour or ''}".strip() if self.demo else ""

    @contextmanager
    def connected(self) -> Iterator[Pager]:
        """The pager of the shop, logged in."""
        from magento_pager.shop.connection import Connection

        with self.opened() as where, closing(Connection(*where)) as connection:
            connection.alias = self.alias
            connection.login()
            from magento_pager.pager import Pager  # with all that walks, which the shop need not wait for

            yield Pager(connection)

    @contextmanager
    def opened(self) -> Iterator[tuple[str, str, str, HttpOptions]]:
        """Where the shop is, or an embedded one until the block ends, and how it is reached."""
        from magento_pager.shop.saving import ReplyFolder
        from magento_pager.shop.transport import HttpOptions

        with ExitStack() as stack:
            url, user, key = self.url or "", self.user or "", self.key or ""
            shown = click.get_current_context().get_parameter_source("key") is ParameterSource.COMMANDLINE
            if self.key_file and shown:
                raise ValueError("give --key or --key-file, not both")
            if self.key_file:
                key = _key_in(Path(self.key_file))
            if self.demo:
                from magento_pager.fake import Shop

                shop = stack.enter_context(Shop(profile=self.profile or "20.0.20", flavour=self.flavour or "rpc"))
                url, user, key = shop.url, shop.user, shop.key
            elif self.profile or self.flavour:
                raise ValueError("--profile and --flavour choose the embedded shop's: give --demo as well")
            if url and user and not key and sys.stdin is not None and sys.stdin.isatty():
                key = click.prompt("API key", hide_input=True, err=True)
            for name, value, missing in (
                ("url", url, "No shop given."),
                ("user", user, "No API user given."),
                ("key", key, "No API key given."),
            ):
                if not value:
                    raise ValueError(f"{missing} Set --{name} or {VARIABLES[name]}, or use --demo.")
            if shown:
                warn(
                    "other users of this machine can read --key on the command line; use MAGENTO_API_KEY or --key-file"
                )
            pairs = [_pair(one, "--header is NAME:VALUE") for one in self.header]
            reached = HttpOptions(
                timeout=self.timeout,
                patience=self.wait,
                headers={name.strip(): value.strip() for name, value in pairs},
                basic_auth=_pair(self.basic_auth, "--basic-auth is USER:PASSWORD") if self.basic_auth else None,
                ca_bundle=self.ca_bundle,
                proxy=self.proxy,
                legacy_tls=self.legacy_tls,
                insecure_http=self.insecure_http,
                allow_hosts=frozenset(self.allow_host),
                save_replies=ReplyFolder(self.save_replies) if self.save_replies else None,
            )
            yield url, user, key, reached


def _key_in(path: Path) -> str:
    """The key in the first line of a file."""
    from magento_pager.shop.key_files import read_key

    key, mode = read_key(path), path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"other users of this machine can read {path}; run chmod 600 {shlex.quote(str(path))}")
    return key


def _pair(text: str, form: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    if not (left and colon):
        raise ValueError(form)  # what was given instead may be a secret
    return left, right
