"""How a command ends before its end: by a signal, a mistake or a failure; and the one line that says so."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from magento_pager.errors import CheckpointMismatchError, PagerError, error_line

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class StoppedError(BaseException):
    """Ctrl-C or SIGTERM came. A KeyboardInterrupt would be taken by click, which prints an empty line."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.number = number


class NoReaderError(Exception):
    """Whoever read our output went away; a BrokenPipeError would be taken by click, which exits with 1."""


class RefusedError(click.UsageError):
    """A mistake whose message says what to do; click's own do not, so those point to the help."""


class Stop:
    """What Ctrl-C and SIGTERM do: raise, or wait until a step is done that must not be cut in two."""

    def __init__(self) -> None:
        self._held = False
        self._asked = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        self._asked = number
        if not self._held:
            raise StoppedError(number)

    @contextmanager
    def held(self, *, forget: bool = False) -> Generator[None]:
        """Wait until the block is done; with `forget`, nothing is left to be stopped after that."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked and not forget:
            raise StoppedError(self._asked)


@contextmanager
def stoppable() -> Generator[Stop]:
    """Let Ctrl-C and SIGTERM unwind the stack, so that the session is ended and the report written."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def as_usage_error() -> Generator[None]:
    """What the caller got wrong is one line and exit status 2; what the shop got wrong is one line and 1."""
    try:
        yield
    except Exception as error:
        raise_refusal(error, error_line(error))
        raise


def raise_refusal(error: BaseException, line: str, *, mistake: bool = True) -> None:
    """Raise what click prints as that line, unless the error is a bug; with `mistake` it may be the caller's."""
    if mistake and isinstance(error, ValueError | TypeError | FileExistsError | CheckpointMismatchError):
        raise RefusedError(line, click.get_current_context()) from None
    if isinstance(error, PagerError | OSError):
        raise click.ClickException(line) from None
