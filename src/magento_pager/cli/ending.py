"""How a command ends early: by a signal, a mistake of the user or a failure, each reported in one line."""

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
    """Ctrl-C or SIGTERM was received. click would catch a KeyboardInterrupt, and print an empty line."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.number = number


class NoReaderError(Exception):
    """The program that read our output closed it. click would catch a BrokenPipeError, and exit with status 1."""


class RefusedError(click.UsageError):
    """A usage error whose message says what to do; errors of click itself do not, and refer to the help."""


class SignalHandler:
    """Raises `StoppedError` for a signal, at once or after a step that must not be interrupted."""

    def __init__(self) -> None:
        self._deferring = False
        self._received = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        self._received = number
        if not self._deferring:
            raise StoppedError(number)

    @contextmanager
    def deferred(self, *, discard: bool = False) -> Generator[None]:
        """Defer signals until the end of the block; with `discard`, drop them then, because nothing is left to stop."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._received and not discard:
            raise StoppedError(self._received)


@contextmanager
def stoppable() -> Generator[SignalHandler]:
    """Let Ctrl-C and SIGTERM unwind the stack, so that the session is ended and the report written."""
    handler = SignalHandler()
    former = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handler
    finally:
        for number, former_handler in former.items():
            signal.signal(number, former_handler)


@contextmanager
def as_usage_error() -> Generator[None]:
    """Turn mistakes of the user into exit status 2, and failures of the shop into 1, each with one line."""
    try:
        yield
    except Exception as error:
        raise_refusal(error, error_line(error))
        raise


def raise_refusal(error: BaseException, line: str, *, mistake: bool = True) -> None:
    """Raise an error of click with that message, unless the error is a bug.

    Args:
        error: the error.
        line: its message.
        mistake: True if it may be a mistake of the user.
    """
    if mistake and isinstance(error, ValueError | TypeError | FileExistsError | CheckpointMismatchError):
        raise RefusedError(line, click.get_current_context()) from None
    if isinstance(error, PagerError | OSError):
        raise click.ClickException(line) from None
