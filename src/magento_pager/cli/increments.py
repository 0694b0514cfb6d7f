"""`--since`, `--state` and `--late`: which rows are wanted by time, and what is remembered of it from run to run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from magento_pager.cli.shops import with_options
from magento_pager.cli.values import InputFile

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta | None:
    """The length of time that a text says; None where it says none.

    >>> duration("10m"), duration("1h30"), duration("1w")
    (datetime.timedelta(seconds=600), None, datetime.timedelta(days=7))
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None


def _since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """A moment, or how long ago it is."""
    if value is None or (ago := duration(value)) is not None:
        return None if value is None else ago
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


def time_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which rows are wanted by time."""
    options = [
        click.option(
            "--since",
            callback=_since,
            metavar="TIME",
            help="Only rows changed since: 2024-05-01T10:00:00Z, or how long ago by the shop's clock, 2h or 3d. Rows "
            "that were deleted are invisible to it; verify finds them.",
        ),
        click.option(
            "--state",
            type=InputFile(exists=False),
            metavar="FILE",
            help="Only rows changed since the last run, which FILE remembers; all rows the first time. A run that was "
            "stopped is resumed. In --out, {time} stands for the time at which the run began.",
        ),
        click.option(
            "--late",
            callback=_late,
            metavar="TIME",
            help="With --state: how much before the last run to read once more, for what was committed late.  "
            "[default: 10m]",
        ),
    ]
    return with_options(options, command)
