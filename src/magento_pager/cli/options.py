"""Options that commands share: dataclasses, each of which knows what its options lead to."""

from __future__ import annotations

import re
import shlex
import stat
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from click.core import ParameterSource

from magento_pager.cli.parameters import (
    ID,
    InputFile,
    Number,
    WholeNumber,
    connection_option,
    embedded_option,
    increments_option,
    load_option,
    rows_option,
    shop_option,
    strategy_option,
)
from magento_pager.cli.terminal import doing, warn
from magento_pager.lists import WireName
from magento_pager.walk.conditions import Condition
from magento_pager.walk.names import STRATEGIES, StrategyName
from magento_pager.walk.ranges import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager.fake.declarations import Flavour
    from magento_pager.lists import ColumnSet, ListName
    from magento_pager.pager import Pager
    from magento_pager.shop.transport import HttpOptions
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.windows import Goal

VARIABLES = {"url": "MAGENTO_URL", "user": "MAGENTO_API_USER", "key": "MAGENTO_API_KEY"}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta | None:
    """Return the length of time that a text stands for; None if it stands for none.

    >>> duration("10m"), duration("1h30"), duration("1w")
    (datetime.timedelta(seconds=600), None, datetime.timedelta(days=7))
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    return timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None


def _since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """Read a time, or how long ago it is."""
    ago = duration(value or "")
    if value is None or ago is not None:
        return ago
    try:
        time = datetime.fromisoformat(value)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is not a time. Use the form 2024-05-01T10:00:00Z, or a period such as 2h or 3d."
        ) from None
    if time.utcoffset() is None:
        text = time.isoformat()
        raise click.BadParameter(f"{value!r} has no time zone. Write {text}Z for UTC, or an offset: {text}+02:00.")
    return time


def _late(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a length of time, and return it as it was given: the command to resume with repeats it."""
    if value is not None and duration(value) is None:
        raise click.BadParameter(f"{value!r} is not a length of time, such as 90s, 10m, 2h, 3d or 1w.")
    return value


@dataclass(frozen=True, slots=True)
class WidthOptions:
    """How wide windows are."""

    window: int | None = load_option(
        "Number of ids to request with each call. [default: adapts to 2,000 rows and 1 second per call]",
        "N",
        type=WholeNumber(1),
    )
    rows_per_call: int | None = load_option(
        "Number of rows to aim at per call, if --window is not given. [default: 2000]", "N", type=WholeNumber(1)
    )
    seconds_per_call: float | None = load_option(
        "Duration of a call to aim at, in seconds, if --window is not given. [default: 1]",
        "SECONDS",
        type=Number(0, min_open=True),
    )

    def goal(self) -> Goal:
        """Return what a call should bring; a ValueError if a width is both fixed and adapted."""
        from magento_pager.walk.windows import Goal

        if self.window and (self.rows_per_call or self.seconds_per_call):
            raise ValueError(
                "--window fixes the width of windows, and --rows-per-call and --seconds-per-call adapt it. Use either."
            )
        default = Goal()
        return Goal(self.rows_per_call or default.rows, self.seconds_per_call or default.seconds)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows to read, and by which strategy and protocol."""

    first: int = rows_option("First id, inclusive.", "ID", 0, type=ID, show_default=True)
    last: int | None = rows_option("Last id, inclusive. [default: the largest possible, 4294967295]", "ID", type=ID)
    where: tuple[str, ...] = rows_option(
        "Condition on the rows, such as status:eq:complete. May be repeated; all must hold. Two conditions select a "
        "range of dates or numbers: created_at:from:2024-01-01 with created_at:to:2024-02-01 (inclusive) or with "
        "created_at:lt:2024-02-01 (exclusive).",
        "FIELD:OP:VALUE",
        multiple=True,
    )
    all_columns: bool = rows_option(
        "Include the columns of extensions and custom attributes, which only XML-RPC returns. Usual with --wire "
        "xml-rpc."
    )
    declared_columns: bool = rows_option("With --wire xml-rpc: read only the columns that the shop's WSDL declares.")
    strategy: StrategyName = strategy_option(
        f"How ids are selected: {' or '.join((', '.join(STRATEGIES[:-1]), STRATEGIES[-1]))}; auto takes one that the "
        "shop honours.",
        "STRATEGY",
        "auto",
        choices=STRATEGIES,
    )
    wire: WireName | None = strategy_option(
        "Protocol: soap, xml-rpc or auto, which takes XML-RPC if that costs the shop less and returned the same rows "
        "as SOAP. [default: soap; xml-rpc with --all-columns]",
        "PROTOCOL",
        choices=get_args(WireName),
    )

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last id, inclusive."""
        return self.first, MAX_ID if self.last is None else self.last

    @property
    def column_set(self) -> ColumnSet | None:
        """Which columns to read, None for the usual ones; a ValueError if both sets are requested."""
        if self.all_columns and self.declared_columns:
            raise ValueError("Use either --all-columns or --declared-columns, not both.")
        return "all" if self.all_columns else "declared" if self.declared_columns else None

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of `--where`; a ValueError if a text is not one."""
        return list(map(Condition.parse, self.where))

    def paginator(self, pager: Pager, entity: ListName, widths: WidthOptions) -> Callable[..., Paginator]:
        """Return `pager.list` with all arguments except those that only a dump has."""
        first, last = self.span
        make = partial(pager.list, entity, strategy=self.strategy, first=first, last=last, where=self.conditions)
        make = partial(make, wire=self.wire, columns=self.column_set)
        return partial(make, window=widths.window, goal=widths.goal())


@dataclass(frozen=True, slots=True)
class TimeOptions:
    """Which rows to read by the time of their last change, and what is remembered from run to run."""

    since: datetime | timedelta | None = rows_option(
        "Read only rows changed since a time, such as 2024-05-01T10:00:00Z, or within a period by the shop's clock, "
        "such as 2h or 3d. Deleted rows do not show; verify finds them.",
        "TIME",
        callback=_since,
    )
    state: str | None = increments_option(
        "File that remembers the last run: only rows changed since then and rows with new ids are read, and all rows "
        "the first time. A stopped run is resumed. In --out, {time} stands for the time at which the run began.",
        "FILE",
        type=InputFile(exists=False),
    )
    late: str | None = increments_option(
        "With --state: time before the last run that is read again, for rows committed late. [default: 10m]",
        "TIME",
        callback=_late,
    )


@dataclass(frozen=True, slots=True, repr=False)  # it holds the key
class ShopOptions:
    """Which shop, and how it is reached."""

    url: str | None = shop_option(
        "Base address of the shop, or the address of one of its APIs or of its WSDL.", "URL", envvar=VARIABLES["url"]
    )
    user: str | None = shop_option("Name of the API user.", "NAME", envvar=VARIABLES["user"])
    key: str | None = shop_option(
        "API key. Other users of this machine can read it on a command line: use the variable or --key-file instead. "
        "Without any, you are asked for it on a terminal.",
        "KEY",
        envvar=VARIABLES["key"],
    )
    key_file: str | None = shop_option("File whose first line is the API key.", "FILE", type=InputFile())
    demo: bool = embedded_option("Use an embedded shop with 2,000 orders instead of a real one.")
    profile: str | None = embedded_option("Version of the embedded shop. [default: 20.0.20]", "VERSION")
    flavour: Flavour | None = embedded_option(
        "SOAP flavour of the embedded shop. [default: rpc]", choices=["rpc", "wsi"]
    )
    timeout: float = connection_option("Time limit for one call, in seconds.", "SECONDS", 120.0)
    wait: float = connection_option(
        "Time to keep trying to reach the shop and log in, in seconds; for unattended runs.",
        "SECONDS",
        0.0,
        show_default=True,
    )
    header: tuple[str, ...] = connection_option(
        "HTTP header to send with every request. May be repeated.", "NAME:VALUE", multiple=True
    )
    basic_auth: str | None = connection_option("Login for the web server's own password protection.", "USER:PASSWORD")
    ca_bundle: str | None = connection_option(
        "File or folder of certificates to trust.", "FILE", type=InputFile(dir_okay=True)
    )
    proxy: str | None = connection_option("HTTP proxy. [default: HTTP_PROXY, HTTPS_PROXY]", "URL")
    legacy_tls: bool = connection_option("Also accept TLS 1.0 and the ciphers of its time.")
    insecure_http: bool = connection_option("Send the key over plain HTTP, readable on the way, to another machine.")
    allow_host: tuple[str, ...] = connection_option(
        "Other host or port that the WSDL may direct calls to, with the key, and that its documents may come from. "
        "May be repeated.",
        "HOST[:PORT]",
        multiple=True,
    )
    save_replies: str | None = connection_option(
        "Folder for the request and the raw reply of each failed call, to show to the shop's admin. They contain no "
        "credentials, but customers' data.",
        "DIR",
        type=click.Path(),
    )

    @property
    def alias(self) -> str:
        """Name of the embedded shop in checkpoints, because its port changes; empty for a real shop."""
        return f"the demo {self.profile or ''} {self.flavour or ''}".strip() if self.demo else ""

    @contextmanager
    def connected(self) -> Iterator[Pager]:
        """Log in, and give the pager of the shop."""
        from magento_pager.shop.connection import Connection

        with self.opened() as where, closing(Connection(*where)) as connection:
            connection.alias = self.alias
            doing("Logging in...")
            connection.login()
            from magento_pager.pager import Pager  # it imports all of the walk, which the login need not wait for

            yield Pager(connection)

    @contextmanager
    def opened(self) -> Iterator[tuple[str, str, str, HttpOptions]]:
        """Give the address, user, key and connection options of the shop; an embedded one runs until the block ends."""
        from magento_pager.shop.origins import redacted_url
        from magento_pager.shop.saving import ReplyFolder
        from magento_pager.shop.transport import HttpOptions

        with ExitStack() as stack:
            url, user, key = self.url or "", self.user or "", self.key or ""
            shown = click.get_current_context().get_parameter_source("key") is ParameterSource.COMMANDLINE
            if self.key_file and shown:
                raise ValueError("Use either --key or --key-file, not both.")
            if self.key_file:
                key = _key_in(Path(self.key_file))
            if self.demo:
                from magento_pager.fake import Shop

                doing("Starting the embedded shop...")
                shop = stack.enter_context(Shop(profile=self.profile or "20.0.20", flavour=self.flavour or "rpc"))
                url, user, key = shop.url, shop.user, shop.key
            elif self.profile or self.flavour:
                raise ValueError("--profile and --flavour are for the embedded shop. Add --demo, or leave them out.")
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
            headers = [_pair(header, "--header needs the form NAME:VALUE.") for header in self.header]
            login = _pair(self.basic_auth, "--basic-auth needs the form USER:PASSWORD.") if self.basic_auth else None
            reached = HttpOptions(
                timeout=self.timeout,
                patience=self.wait,
                headers={name.strip(): value.strip() for name, value in headers},
                basic_auth=login,
                ca_bundle=self.ca_bundle,
                proxy=self.proxy,
                legacy_tls=self.legacy_tls,
                insecure_http=self.insecure_http,
                allow_hosts=frozenset(self.allow_host),
                save_replies=ReplyFolder(self.save_replies) if self.save_replies else None,
            )
            if not self.demo:
                doing(f"Connecting to {redacted_url(url)}...")
            yield url, user, key, reached


def _key_in(path: Path) -> str:
    """Return the key in the first line of a file."""
    from magento_pager.shop.key_files import read_key

    key, mode = read_key(path), path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"other users of this machine can read {path}; run chmod 600 {shlex.quote(str(path))}")
    return key


def _pair(text: str, form: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    if not (left and colon):
        raise ValueError(form)  # without the text, which may be a secret
    return left, right
