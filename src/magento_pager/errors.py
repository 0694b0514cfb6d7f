"""What can go wrong, and nothing else.

Every error of this package that is not a caller's mistake is a `PagerError`; a caller's mistake is a plain
`ValueError` or `TypeError`. A message says what happened, on which operation and window, and what to do next. None
ever holds a key, a password hash or a session id.

Whatever raises an error imports this module, so it imports none of them, but for values that raise none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from magento_pager.walk.evidence import ProbeReport
    from magento_pager.walk.pages import Cursor
    from magento_pager.walk.ranges import IdRange

Remedy: TypeAlias = Literal["retry", "split", "isolate", "stop"]
"""What may help after a failed call.

- `retry`: the same call, a little later. The server, or the way to it, is unwell.
- `split`: the same rows in smaller parts. The reply was too large, or took too long.
- `isolate`: the same rows but one. A row breaks every reply it is in.
- `stop`: nothing that a walk can do.
"""

QUOTED = 200  # characters of the server's words in a message
SMALLER = "Use a smaller --window"

OPTIONS = {
    "moved-from": "moved_from",
    "out": "path",
    "overwrite": "overwrite=True",
    "password-hash": "password_hash=True",
    "resume": "resume=True",
    "since": "updated_since",
} | {name: name for name in ("columns", "late", "lookback", "report", "state")}
"""Options of the command line that messages name, and how they are given in Python."""


class PagerError(Exception):
    """Something stopped the walk.

    Attributes:
        cursor: where to resume, a `Cursor` for `pages(resume=error.cursor)`; None where the walk had not begun.
        dumped: the `Report` of what is safe, where a dump was stopped; else None.
    """

    cursor: Cursor | None = None
    dumped: Any = None


class RemoteError(PagerError):
    """The other side, or the way to it, is the culprit.

    Attributes:
        remedy: what a walk does about it.
        pause: seconds to wait before that, at least 0: what the server asked for, or what it may still be busy.
        reply_file: where the request and the reply are, if they were saved; the message names it.
    """

    remedy: Remedy = "stop"
    pause: float = 0.0
    reply_file: Path | None = None

    def __init__(self, message: str, *, remedy: Remedy = "stop", pause: float = 0.0) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.pause = pause

    def __str__(self) -> str:
        return f"{super().__str__()}{self.where_saved}"

    @property
    def where_saved(self) -> str:
        """In words, where the request and the reply are; empty where they were not saved."""
        return f" (request and reply: {self.reply_file})" if self.reply_file else ""


class FaultError(RemoteError):
    """The server answered with a SOAP fault.

    Attributes:
        code: the fault code as the server sent it: a number such as "5", or PHP's own such as "SOAP-ENV:Server".
        text: the server's words, whole.
        operation: the SOAP operation that was called.
    """

    def __init__(
        self, message: str, *, code: str, text: str, operation: str, remedy: Remedy = "stop", pause: float = 0.0
    ) -> None:
        super().__init__(message, remedy=remedy, pause=pause)
        self.code = code
        self.text = text
        self.operation = operation


class TransportError(RemoteError):
    """No usable answer arrived: connection, TLS, HTTP status, timeout, a body cut short.

    Attributes:
        status: the HTTP status, or None where none arrived.
    """

    def __init__(self, message: str, *, remedy: Remedy = "stop", status: int | None = None, pause: float = 0.0) -> None:
        super().__init__(message, remedy=remedy, pause=pause)
        self.status = status

    @property
    def retryable(self) -> bool:
        """True where the same call may well succeed a little later."""
        return self.remedy == "retry"


class MalformedReplyError(RemoteError):
    """An answer arrived that is not what the WSDL promises: not XML, cut short, an unknown field, a row twice."""


class FilterIgnoredError(RemoteError):
    """The server did not honour a filter: rows came that were not asked for, or a row that must be there is not.

    Attributes:
        span: the ids that were asked for.
        stray: ids that came back from outside the span (the first one ends the call, so there is seldom another).
        missing_canary: the id known to exist that the query asked for and the server left out.
    """

    def __init__(
        self,
        message: str,
        *,
        span: IdRange,
        stray: Sequence[int] = (),
        missing_canary: int | None = None,
    ) -> None:
        super().__init__(message)
        self.span = span
        self.stray = tuple(stray)
        self.missing_canary = missing_canary


class NoStrategyError(RemoteError):
    """The server honours none of the strategies, or not the one that was asked for, or breaks each reply with rows.

    Attributes:
        report: the `ProbeReport`, with the evidence for each strategy that was tried.
    """

    def __init__(self, message: str, *, report: ProbeReport) -> None:
        super().__init__(message)
        self.report = report


class CheckpointMismatchError(PagerError):
    """A dump cannot be resumed: its checkpoint or its output is damaged, or belongs to something else.

    Attributes:
        differences: what the checkpoint says and what was asked, for each part in which they differ.
    """

    def __init__(self, message: str, *, differences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.differences = tuple(differences)


def option(name: str) -> str:
    """Return how an option of the command line is given in Python and, in brackets, there.

    >>> option("overwrite"), option("out")
    ('overwrite=True (--overwrite)', 'path (--out)')
    """
    return f"{OPTIONS[name]} (--{name})"


def for_command_line(text: str) -> str:
    """Return a message as the command line says it.

    >>> for_command_line(f"replace it with {option('overwrite')}")
    'replace it with --overwrite'
    """
    for name in OPTIONS:
        text = text.replace(option(name), f"--{name}")
    return text


def error_line(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or 'the output could not be written'}: {error.strerror}")
    return str(error) or type(error).__name__


def printable(text: str) -> str:
    r"""Return a text for one line of a terminal: names of files may hold anything.

    >>> printable("two\nlines"), printable("Größe \x1b[31m")
    ('two\\nlines', 'Größe \\x1b[31m')
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
