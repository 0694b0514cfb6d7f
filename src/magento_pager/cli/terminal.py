"""What a command prints on standard error: messages, warnings, log records, and a line that shows what it is doing.

`--quiet` leaves only errors, `--verbose` adds the log records of the library. The changing line is drawn on a terminal
only; every message is printed above it.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

import click

from magento_pager.errors import for_command_line, printable

if TYPE_CHECKING:
    from collections.abc import Generator

WIDEST, NARROWEST = 80, 20
"""Columns that the changing line may take, at most and at least."""

_LEVEL = "magento_pager.level"
_LOCK = RLock()  # calls in parallel warn from threads


class Status:
    """The last line of a terminal, which changes."""

    def __init__(self) -> None:
        self._text = ""
        self._drawn = False

    def show(self, text: str) -> None:
        """Draw another text, which must fit on the line."""
        self.wipe()
        self._text = text
        self.draw()

    def draw(self) -> None:
        """Draw the text again, below what was printed meanwhile."""
        if self._text:
            _write(self._text)
            self._drawn = True

    def wipe(self) -> None:
        """Leave the line empty."""
        if self._drawn:
            _write("\r\x1b[2K")
            self._drawn = False


_status: Status | None = None


def level() -> int:
    """Return the level of `logging` from which on messages are printed, as the options of the command say."""
    context = click.get_current_context(silent=True)
    given: int = context.meta.get(_LEVEL, logging.WARNING) if context else logging.WARNING
    return given


def set_level(context: click.Context, parameter: click.Parameter, given: Any) -> None:
    """Take `--quiet` or `--verbose`.

    Raises:
        click.BadParameter: both are given.
    """
    if given:
        if _LEVEL in context.meta:
            raise click.BadParameter("use either --quiet or --verbose, not both", context, parameter)
        context.meta[_LEVEL] = logging.ERROR if parameter.name == "quiet" else logging.DEBUG


def verbose() -> bool:
    """Return whether the command was given `--verbose`."""
    return level() <= logging.DEBUG


def quiet() -> bool:
    """Return whether the command was given `--quiet`."""
    return level() >= logging.ERROR


def say(text: str) -> None:
    """Print a message on standard error; a closed standard error does not stop the command."""
    with _LOCK, suppress(OSError):
        _above(for_command_line(text), err=True)


def output(text: object) -> None:
    """Print a result on standard output."""
    with _LOCK:
        _above(text, err=False)


def warn(text: object) -> None:
    """Print a warning, unless the command was given `--quiet`."""
    if not quiet():
        say(f"warning: {text}")


def doing(text: str) -> None:
    """Show what the command is doing: on a terminal in the line that changes, else as a line with `--verbose`."""
    columns = line_columns()
    if columns is not None:
        draw(shortened(text, columns))
    elif verbose():
        say(text)


def line_columns() -> int | None:
    """Return how many characters the line that changes can hold; None if there is none."""
    return None if _status is None else terminal_columns()


def draw(text: str) -> None:
    """Draw the line that changes, if there is one; the text must fit."""
    with _LOCK, suppress(OSError):
        if _status is not None:
            _status.show(text)


def shortened(text: str, columns: int) -> str:
    """Return a text cut to a number of columns.

    >>> shortened("Sampling orders", 80), shortened("Sampling orders", 10)
    ('Sampling orders', 'Samplin...')
    """
    text = printable(text)
    return text if len(text) <= columns else f"{text[: max(0, columns - 3)]}..."


def terminal_columns() -> int:
    """Return how many characters fit on one line of standard error without wrapping."""
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = WIDEST
    return max(NARROWEST, min(columns, WIDEST) - len("^C") - 1)  # a terminal echoes Ctrl-C, and may wrap after the end


def on_terminal() -> bool:
    """Return whether standard error is a terminal on which a line can change."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def messages(*, line: bool = True) -> Generator[None]:
    """Print the warnings and log records of the library; without `line`, never draw the line that changes."""
    global _status  # noqa: PLW0603  there is one terminal
    shown = level()
    handler = _Records(shown)
    logger = logging.getLogger("magento_pager")
    before, status = logger.level, _status
    logger.addHandler(handler)
    logger.setLevel(shown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet() else "always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: warn(message)
        _status = Status() if line and on_terminal() and not quiet() else None
        try:
            yield
        finally:
            with _LOCK:
                if _status is not None:
                    _status.wipe()
                _status = status
            logger.removeHandler(handler)
            logger.setLevel(before)


class _Records(logging.Handler):
    """Prints log records, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        text = printable(record.getMessage())
        (warn if record.levelno >= logging.WARNING else say)(text)


def _above(text: object, *, err: bool) -> None:
    """Print a text above the line that changes."""
    if _status is not None:
        _status.wipe()
    try:
        click.echo(text, err=err)
    finally:
        if _status is not None:
            _status.draw()


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
