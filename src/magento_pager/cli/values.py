"""What may stand behind an option: numbers in plain digits, and files that have an end."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import click

from magento_pager.walk.ranges import LARGEST_NUMBER


class WholeNumber(click.IntRange):
    """A number in plain digits: `int` takes more, such as "3_6", and a slip would ask for something else."""

    noun = "number"

    def __init__(self, *, min: int = 0, max: int | None = None, largest: int | None = LARGEST_NUMBER) -> None:  # noqa: A002  click's names
        super().__init__(min=min, max=max)
        self._largest = largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number as it was typed."""
        number: int = super().convert(value, param, ctx)
        if str(value) != str(number):
            self.fail(f"{value!r} is no {self.noun} in plain digits; do you mean {number}?", param, ctx)
        if self._largest is not None and number > self._largest:
            self.fail(f"{value!r} is too large; the largest {self.noun} is {self._largest}", param, ctx)
        return number


class Id(WholeNumber):
    """An id in plain digits."""

    noun = "id"


class Number(click.FloatRange):
    """A number in plain digits, with a point or an exponent where it has one; never "nan", "inf" or "1_0"."""

    def __init__(self, *, min: float = 0, min_open: bool = False) -> None:  # noqa: A002  click's names
        super().__init__(min=min, min_open=min_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number as it was typed."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number) or not (isinstance(value, float) or plain_number(value)):
            self.fail(f"{value!r} is no number in plain digits, such as 1.5", param, ctx)
        return number


def plain_number(text: str) -> bool:
    """Whether a text is a number in plain digits; `float` takes more.

    >>> plain_number("1.5"), plain_number("1e-3"), plain_number("1_0"), plain_number("nan")
    (True, True, False, False)
    """
    return bool(re.fullmatch(r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?", text))


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
