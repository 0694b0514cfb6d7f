"""Recovery: what a failure means for the ids that were asked for. One table, one function."""

from __future__ import annotations

from typing import Literal, TypeAlias

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError, TransportError

Action: TypeAlias = Literal["stop", "narrow", "isolate"]
"""What to do about ids whose reply failed, once waiting did not help.

- `stop`: nothing that a walk can do.
- `narrow`: ask for them in parts, and for less from now on: the reply was too large, or took too long.
- `isolate`: ask for them in parts, to find the row that breaks its replies.
"""

NARROW_ON = frozenset({502, 504, 524})
"""HTTP statuses that a gateway sends when the server is down, and also when a window is too much for it."""

CALLERS_FAULTS = frozenset({"2", "3", "4", "5", "6"})
"""Faults that say nothing of the filter: login, rights, session, parameters."""
PHP_GAVE_UP = 500
FEW_ATTEMPTS = 2  # attempts at what a row may break, where waiting may help as well


def action(error: RemoteError, *, narrowed: bool) -> Action:
    """Return what to do about a failure.

    Args:
        error: the failure; retries did not help.
        narrowed: True where the ids are already part of a window that failed. A gateway that still gives up then has
            nothing behind it.

    >>> action(RemoteError("", remedy="split"), narrowed=True), action(RemoteError(""), narrowed=False)
    ('narrow', 'stop')
    >>> gateway = TransportError("", remedy="retry", status=504)
    >>> action(gateway, narrowed=False), action(gateway, narrowed=True)
    ('narrow', 'stop')
    """
    if error.remedy == "isolate":
        return "isolate"
    if error.remedy == "split" or (getattr(error, "status", None) in NARROW_ON and not narrowed):
        return "narrow"
    return "stop"


def is_verdict(error: Exception) -> bool:
    """True where a failed call is an answer to the question whether the filter can be used.

    PHP 5 answers a name it cannot resolve with HTTP 500 or an empty body, others with a numbered fault.
    """
    if isinstance(error, RemoteError) and error.remedy != "stop":
        return error.remedy != "retry"  # too large a reply, or one that breaks: the filter was not honoured
    if isinstance(error, FaultError):
        return error.code not in CALLERS_FAULTS
    if isinstance(error, TransportError):
        return error.status == PHP_GAVE_UP
    return isinstance(error, MalformedReplyError)
