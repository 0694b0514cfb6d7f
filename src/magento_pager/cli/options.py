"""Options that commands share, in groups: each reaches a command as one frozen value. And what may stand behind one."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magento_pager.walk.names import STRATEGIES, StrategyName
from magento_pager.walk.ranges import LARGEST_NUMBER, MAX_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from magento_pager.lists import ListName
    from magento_pager.pager import Pager
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.windows import Goal

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


def option(spec: str, text: str, default: Any = None, *, choices: Sequence[str] = (), **how: Any) -> Any:
    """Return a field of a group, which is an option of the command line; see `options`.

    Args:
        spec: its name, and what stands for its value, such as "--window N"; where no value follows it is a flag.
        text: what its help says.
        default: of the value; it is shown, but for 0 and "".
        choices: the values there are.
        how: more arguments of `click.option`.
    """
    name, _, metavar = spec.partition(" ")
    kinds = {int: WholeNumber(), float: Number(0)}
    kind = click.Choice(choices) if choices else kinds.get(type(default))
    shown = {"metavar": metavar or None, "help": text, "show_default": bool(default)}
    if not (metavar or choices):
        return field(metadata={"name": name, "is_flag": True, **shown, **how})
    return field(metadata={"name": name, "type": kind, "default": default, **shown, **how})


def options(**groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some groups, in this order; its function takes each group as one value."""

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            values = {
                name: group(**{one.name: given.pop(one.name) for one in fields(group)})
                for name, group in groups.items()
            }
            command(**given, **values)

        for one in reversed([one for group in groups.values() for one in fields(group)]):
            how = dict(one.metadata)
            called = click.option(how.pop("name"), one.name, **how)(called)
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


@dataclass(frozen=True, slots=True)
class Widths:
    """How wide windows are."""

    window: int | None = option(
        "--window N",
        "Ids in each window with rows.  [default: aims at 2,000 rows and 1 s a call]",
        type=WholeNumber(1),
    )
    rows_per_call: int | None = option(
        "--rows-per-call N", "Without --window: aim at so many rows a call.  [default: 2000]", type=WholeNumber(1)
    )
    seconds_per_call: float | None = option(
        "--seconds-per-call SECONDS",
        "Without --window: aim at calls that take no longer.  [default: 1]",
        type=Number(0, min_open=True),
    )

    def goal(self) -> Goal:
        """Return what a call should bring; a ValueError where a width is both fixed and adapted."""
        from magento_pager.walk.windows import Goal

        if self.window and (self.rows_per_call or self.seconds_per_call):
            raise ValueError(
                "--window fixes the width, and --rows-per-call and --seconds-per-call adapt it: give one kind"
            )
        usual = Goal()
        return Goal(self.rows_per_call or usual.rows, self.seconds_per_call or usual.seconds)


@dataclass(frozen=True, slots=True)
class Asking:
    """Which rows are wanted, and by which strategy."""

    strategy: StrategyName = option("--strategy", "How a window is put to the server.", "auto", choices=STRATEGIES)
    first: int = option("--first ID", "The first id, inclusive.", 0, type=WholeNumber(noun="id"), show_default=True)
    last: int | None = option(
        "--last ID", "The last id, inclusive.  [default: the last there can be]", type=WholeNumber(noun="id")
    )
    where: tuple[str, ...] = option(
        "--where FIELD:OP:VALUE",
        "A further condition, such as status:eq:complete; may be repeated, and all must hold.",
        multiple=True,
    )

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last id, inclusive."""
        return self.first, MAX_ID if self.last is None else self.last

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of `--where`; a ValueError where a text is none."""
        from magento_pager.walk.conditions import Condition

        return list(map(Condition.parse, self.where))

    def of(self, pager: Pager, entity: ListName, widths: Widths) -> Callable[..., Paginator]:
        """Return `pager.list`, but for the options that only a dump has."""
        first, last = self.span
        return partial(
            pager.list,
            entity,
            window=widths.window,
            goal=widths.goal(),
            strategy=self.strategy,
            first=first,
            last=last,
            where=self.conditions,
        )


@dataclass(frozen=True, slots=True)
class Times:
    """Which rows are wanted by time, and what is remembered of it from run to run."""

    since: datetime | timedelta | None = option(
        "--since TIME",
        "Only rows changed since: 2024-05-01T10:00:00Z, or how long ago by the shop's clock, 2h or 3d. Rows that "
        "were deleted are invisible to it; verify finds them.",
        callback=_since,
    )
    state: str | None = option(
        "--state FILE",
        "Only rows changed since the last run, which FILE remembers; all rows the first time. A run that was stopped "
        "is resumed. In --out, {time} stands for the time at which the run began.",
        type=InputFile(exists=False),
    )
    late: str | None = option(
        "--late TIME",
        "With --state: how much before the last run to read once more, for what was committed late.  [default: 10m]",
        callback=_late,
    )
