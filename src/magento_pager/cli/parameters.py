"""How commands declare options and arguments, and the kinds of values that these accept: numbers, files and lists."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import field, fields
from functools import partial, wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magento_pager.cli.help import OTHER, Argument, Option
from magento_pager.cli.terminal import set_level
from magento_pager.lists import LISTS
from magento_pager.walk.ranges import LARGEST_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class WholeNumber(click.IntRange):
    """A number in plain digits. `int` accepts more, such as "3_6", where a typing error would change the number."""

    def __init__(
        self, lowest: int = 0, highest: int | None = None, *, noun: str = "number", largest: float = LARGEST_NUMBER
    ) -> None:
        super().__init__(lowest, highest)
        self._noun, self._largest = noun, largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number as it was typed."""
        number: int = super().convert(value, param, ctx)
        if str(value) != str(number):
            self.fail(f"{value!r} is not written in plain digits. Did you mean {number}?", param, ctx)
        if number > self._largest:
            self.fail(f"{value!r} is too large; the largest {self._noun} is {self._largest}.", param, ctx)
        return number


ID = WholeNumber(noun="id")


class Number(click.FloatRange):
    """A number in plain digits, with a point or an exponent if it has one; never "nan", "inf" or "1_0"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number as it was typed."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number) or not (isinstance(value, int | float) or plain_number(value)):
            self.fail(f"{value!r} is not a number in plain digits, such as 1.5.", param, ctx)
        return number


class InputFile(click.Path):
    """A file to read, or a pipe. A device is refused: some never end, and their bytes would fill the memory."""

    def __init__(self, *, exists: bool = True, dir_okay: bool = False) -> None:
        super().__init__(exists=exists, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look at the file."""
        path = super().convert(value, param, ctx)
        with suppress(OSError):  # it is missing, or cannot be there: opening it raises the error
            mode = Path(os.fsdecode(path)).stat().st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                self.fail(f"{value!r} is a device, not a file.", param, ctx)
        return path


class ListChoice(click.Choice):  # type: ignore[type-arg]  # it has no parameter in click 8.1
    """The name of a list; a singular gets a hint."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name."""
        if value not in LISTS and (close := closest_list(str(value))):
            self.fail(f"{value!r} is not a list. Did you mean {close!r}?", param, ctx)
        return super().convert(value, param, ctx)


def closest_list(text: str) -> str | None:
    """Return the list whose name a text resembles, or None.

    >>> closest_list("order"), closest_list("credit-memos"), closest_list("quotes")
    ('orders', 'creditmemos', None)
    """
    from difflib import get_close_matches

    return next(iter(get_close_matches(text.lower(), LISTS, 1, 0.8)), None)


def plain_number(text: str) -> bool:
    """Return whether a text is a number in plain digits; `float` accepts more.

    >>> plain_number("1.5"), plain_number("1e-3"), plain_number("1_0"), plain_number("nan")
    (True, True, False, False)
    """
    return bool(re.fullmatch(r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?", text))


def option(
    text: str,
    metavar: str = "",
    default: Any = None,
    *,
    group: str = OTHER,
    name: str = "",
    short: str = "",
    choices: Sequence[str] = (),
    **settings: Any,
) -> Any:
    """Return an option for `options`, or for a field of a group, which gives it its name.

    Args:
        text: its help.
        metavar: the placeholder of its value; without that and `choices` it is a flag.
        default: shown in the help, except 0 and "".
        group: the heading under which the help shows it.
        name: another name than that of the field.
        short: its second name, of one letter.
        choices: the values it accepts.
        settings: more arguments of `click.option`.
    """
    shown = {"name": name, "short": short, "help": text, "group": group, "show_default": bool(default)}
    if not (metavar or choices):
        return field(metadata={"is_flag": True, **shown, "show_default": False, **settings})
    kind = click.Choice(choices) if choices else {int: WholeNumber(), float: Number(0)}.get(type(default))
    if isinstance(default, float) and default.is_integer():
        default = int(default)  # so the help shows "120" instead of "120.0"
    return field(metadata={"metavar": metavar or None, "type": kind, "default": default, **shown, **settings})


def list_argument(text: str, **settings: Any) -> Callable[[Any], Any]:
    """Return the decorator of the argument LIST, which the command receives as `entity`."""
    text = f"{text}: {', '.join(LISTS)}."
    return click.argument("entity", cls=Argument, help=text, metavar="LIST", type=ListChoice(list(LISTS)), **settings)


QUIET = option(
    "Print errors only: no progress, warnings or summary.", short="-q", expose_value=False, callback=set_level
)
VERBOSE = option(
    "Also print each call to the shop and what the command cost.", short="-v", expose_value=False, callback=set_level
)

shop_option, rows_option, output_option = (partial(option, group=group) for group in ("Shop", "Rows", "Output"))
connection_option, embedded_option = (partial(option, group=group) for group in ("Connection", "Embedded shop"))
increments_option, load_option = (
    partial(option, group=group) for group in ("Resuming and increments", "Load on the shop")
)
strategy_option = partial(option, group="Strategy and protocol")
server_option = partial(option, group="Embedded server")


def options(**given: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options: each as an argument of its name, or a dataclass of options as one value."""
    groups = {name: group for name, group in given.items() if isinstance(group, type)}

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            for name, group in groups.items():
                values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
            command(**values)

        for name, entry in reversed(given.items()):
            for each in reversed(fields(entry)) if name in groups else [entry]:
                own, settings = each.name or name, dict(each.metadata)
                names = [settings.pop("name") or f"--{own.replace('_', '-')}", settings.pop("short")]
                called = click.option(*filter(None, names), own, cls=Option, **settings)(called)
        return called

    return with_options
