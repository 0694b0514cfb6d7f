"""The errors of the package, and nothing else.

Every error is a `PagerError`, except for a caller's mistake, which is a plain `ValueError` or `TypeError`. A message
says what happened, in which operation and window, and what to do next. It never contains a key, a password hash or a
session id.

Modules that raise errors import this one, so it imports only modules that raise none.
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

- `retry`: the same call, a little later. The server or the network is failing.
- `split`: the same rows in smaller parts. The reply was too large, or took too long.
- `isolate`: the same rows except one. A row breaks every reply that contains it.
- `stop`: nothing that a walk can do.
"""

QUOTED = 200  # characters of the server's text in a message
SMALLER = "Use a smaller --window"

OPTIONS = {
    "insecure-http": "insecure_http=True",
    "moved-from": "moved_from",
    "out": "path",
    "overwrite": "overwrite=True",
    "password-hash": "password_hash=True",
    "resume": "resume=True",
    "since": "updated_since",
} | {name: name for name in ("columns", "late", "lookback", "report", "state")}
"""Options of the command line that messages name, with their form in Python."""


class PagerError(Exception):
    """The base class of all errors that stop a walk or a dump.

    Attributes:
        cursor: where to resume, a `Cursor` for `pages(resume=error.cursor)`; None if the walk had not begun.
        dumped: the `Report` of the rows that are safely written, if a dump was stopped; otherwise None.

    >>> PagerError("the walk was stopped").cursor is None
    True
    """

    cursor: Cursor | None = None
    dumped: Any = None


class RemoteError(PagerError):
    """A call failed because of the server, or because of something on the way to it.

    Attributes:
        remedy: what a walk does about it: "retry", "split", "isolate" or "stop".
        pause: seconds to wait before that, at least 0: as long as the server asked for, or may still be busy.
        reply_file: the file with the request and the reply, if they were saved; the message names it.

    >>> RemoteError("the server is busy", remedy="retry", pause=2.5).pause
    2.5
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
        """The part of the message that names `reply_file`; empty if the reply was not saved."""
        return f" (request and reply: {self.reply_file})" if self.reply_file else ""


class FaultError(RemoteError):
    """The server answered with a SOAP fault.

    Attributes:
        code: the fault code as the server sent it: a number such as "5", or a code of PHP such as "SOAP-ENV:Server".
        text: the server's whole text.
        operation: the SOAP operation that was called.

    >>> FaultError("access denied", code="2", text="Access denied.", operation="login").code
    '2'
    """

    def __init__(
        self, message: str, *, code: str, text: str, operation: str, remedy: Remedy = "stop", pause: float = 0.0
    ) -> None:
        super().__init__(message, remedy=remedy, pause=pause)
        self.code = code
        self.text = text
        self.operation = operation


class TransportError(RemoteError):
    """No usable answer arrived: a failed connection, TLS, an HTTP status, a timeout, a body cut short.

    Attributes:
        status: the HTTP status, or None if none arrived.

    >>> TransportError("HTTP 503", remedy="retry", status=503).status
    503
    """

    def __init__(self, message: str, *, remedy: Remedy = "stop", status: int | None = None, pause: float = 0.0) -> None:
        super().__init__(message, remedy=remedy, pause=pause)
        self.status = status

    @property
    def retryable(self) -> bool:
        """True if the same call may succeed a little later."""
        return self.remedy == "retry"


class MalformedReplyError(RemoteError):
    """A reply is not what the WSDL promises: it is not XML, is cut short, or has an unknown field or a row twice.

    >>> MalformedReplyError("the reply is cut short", remedy="split").remedy
    'split'
    """


class FilterIgnoredError(RemoteError):
    """The server did not honour a filter: it returned other rows than requested, or omitted a row that exists.

    Attributes:
        span: the requested ids.
        stray: ids from outside the span that were returned (the first one ends the call, so there is rarely another).
        missing_canary: the id of a row that exists and was requested, but not returned.

    >>> from magento_pager import IdRange
    >>> FilterIgnoredError("row 7 was not requested", span=IdRange(1, 5), stray=[7]).stray
    (7,)
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
    """The server honours no strategy, or not the requested one, or every reply with rows fails.

    Attributes:
        report: the `ProbeReport`, with the evidence for each strategy that was tried.

    >>> from magento_pager import ProbeReport
    >>> NoStrategyError("no strategy is honoured", report=ProbeReport("salesOrderList", None, 3, 12, ())).report.calls
    12
    """

    def __init__(self, message: str, *, report: ProbeReport) -> None:
        super().__init__(message)
        self.report = report


class CheckpointMismatchError(PagerError):
    """A dump cannot be resumed: its checkpoint or its output is damaged, or belongs to something else.

    Attributes:
        differences: one text for each option that differs between the checkpoint and this dump.

    >>> CheckpointMismatchError("another query", differences=["last was 500 and is now 900"]).differences
    ('last was 500 and is now 900',)
    """

    def __init__(self, message: str, *, differences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.differences = tuple(differences)


def option(name: str) -> str:
    """Return an option as Python has it and, in brackets, as the command line has it.

    >>> option("overwrite"), option("out")
    ('overwrite=True (--overwrite)', 'path (--out)')
    """
    return f"{OPTIONS[name]} (--{name})"


def for_command_line(text: str) -> str:
    """Return a message with the options of the command line alone.

    >>> for_command_line(f"replace it with {option('overwrite')}")
    'replace it with --overwrite'
    """
    for name in OPTIONS:
        text = text.replace(option(name), f"--{name}")
    return text


def error_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename or 'the output could not be written'}: {error.strerror}")
    return str(error) or type(error).__name__


def printable(text: str) -> str:
    r"""Return a text that is safe on one line of a terminal, because names of files may contain anything.

    >>> printable("two\nlines"), printable("Größe \x1b[31m")
    ('two\\nlines', 'Größe \\x1b[31m')
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
