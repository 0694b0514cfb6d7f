"""`--since`, `--state` and `--late`: which rows are wanted by time, and what is remembered of it from run to run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magento_pager.cli.ending import say
from magento_pager.cli.shops import with_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager.export.checkpoints import Fingerprint
    from magento_pager.export.increments import Run, State
    from magento_pager.export.sinks import Layout
    from magento_pager.pager import Pager

A_DAY = timedelta(days=1)
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
    except ValueError:
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
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="Only rows changed since the last run, which FILE remembers; all rows the first time. A run that was "
            "stopped is gone on with. In --out, {time} stands for the time at which the run began.",
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


@contextmanager
def remembered(options: dict[str, Any], layout: Layout) -> Iterator[State | None]:
    """The state file, for us alone; None where none is asked for.

    Raises:
        ValueError: options that do not go together, or no state file.
        BlockingIOError: another run holds it.
    """
    from magento_pager.export.increments import TIME, held

    if not options["state"]:
        if options["late"] is not None:
            raise ValueError("--late is for --state: give that as well, or an earlier --since")
        yield None
        return
    for name, reason in (("since", "knows since when"), ("resume", "goes on by itself")):
        if options[name]:
            raise ValueError(f"--state {reason}: leave --{name} away")
    out = options["out"] or TIME
    if layout.format != "sqlite" and TIME not in out and not options["overwrite"]:
        raise ValueError(
            f"the next run would find {out}: give each a file of its own, such as --out orders-{TIME}.ndjson, or put "
            "them all into a table, --out shop.sqlite (--overwrite keeps what the last run brought alone)"
        )
    if options["report"] and Path(options["report"]).absolute() == Path(options["state"]).absolute():
        raise ValueError(f"--report is the name of the state: {options['report']}")
    with held(options["state"]) as state:
        yield state


def named_late(options: dict[str, Any]) -> bool:
    """True where the output's name, or what is in it already, depends on when the run began."""
    from magento_pager.export.increments import TIME

    return bool(options["state"]) or TIME in (options["out"] or "")


def begun(options: dict[str, Any], state: State | None, asked: Fingerprint, pager: Pager) -> Run:
    """The run: since when, and where its rows go, by the clock of the shop at its login.

    Raises:
        ValueError: the shop does not say what time it is there.
        CheckpointMismatchError: the state is of something else.
    """
    from magento_pager.export.increments import LATE, Run, earlier, named

    since: datetime | timedelta | None = options["since"]
    ours = datetime.now(UTC)
    by_clock = named_late(options) or isinstance(since, timedelta)
    now = server_time(pager.connection.server_date) if by_clock else ours
    if state is not None:
        late = duration(options["late"]) if options["late"] else None
        return state.plan(asked, now, ours=ours, late=LATE if late is None else late, out=options["out"])
    since = earlier(now, since) if isinstance(since, timedelta) else since
    return Run(now, since, named(options["out"], now), again=options["resume"])


def warn_of_clocks(options: dict[str, Any], state: State | None, pager: Pager) -> None:
    """Say so where the shop's clock, by which rows are asked for, is certainly wrong, or ours is."""
    from magento_pager.export.increments import iso

    if state is None and not isinstance(options["since"], timedelta):
        return
    now, ours = server_time(pager.connection.server_date), datetime.now(UTC)
    if state is not None and state.went_back:
        say(f"warning: the shop's clock is back at {iso(now)}, before the last run: all that changed is read again")
    elif abs(now - ours) > A_DAY:
        say(f"warning: the shop's clock says {iso(now)}, and that of this machine {iso(ours)}: set the wrong one right")


def server_time(date: str | None) -> datetime:
    """The time that a `Date` header says.

    Raises:
        ValueError: there is none.

    >>> server_time("Wed, 01 May 2024 10:00:00 GMT").isoformat()
    '2024-05-01T10:00:00+00:00'
    """
    from magento_pager.shop.transport import http_time

    said = http_time(date)
    if said is None:
        raise ValueError(
            "the shop does not say what time it is there (no Date header): give --since a time, such as "
            "2024-05-01T10:00:00Z, and --out a name without one"
        )
    return said
