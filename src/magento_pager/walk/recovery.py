"""Recovery: the action to take when a request for some ids failed. One table, one function."""

from __future__ import annotations

from typing import Literal, TypeAlias

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError, TransportError

Action: TypeAlias = Literal["stop", "narrow", "isolate"]
"""Actions for ids whose request failed, after retries did not help.

- `stop`: end the walk.
- `narrow`: request them in parts, and request less from now on: the reply was too large, or took too long.
- `isolate`: request them in parts, to find the row that breaks its replies.
"""

NARROW_ON = frozenset({502, 504, 524})
"""HTTP statuses that a gateway sends when the server is down, and also when a window is too much for it."""

CALLERS_FAULTS = frozenset({"2", "3", "4", "5", "6"})
"""Fault codes unrelated to the filter: login, rights, session, parameters."""
PHP_GAVE_UP = 500
FEW_ATTEMPTS = 2  # where a row may break the reply, though waiting may help as well


def action(error: RemoteError, *, narrowed: bool) -> Action:
    """Return the action for a failure.

    Args:
        error: the failure, after retries did not help.
        narrowed: True where the ids are already part of a window that failed. A gateway that fails even then has no
            working server behind it.

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
    """Return whether a failed call shows that the filter cannot be used.

    PHP 5 answers a name it cannot resolve with HTTP 500 or an empty body, others with a numbered fault.
    """
    if isinstance(error, RemoteError) and error.remedy != "stop":
        return error.remedy != "retry"  # a reply that is too large or broken: the filter was not honoured
    if isinstance(error, FaultError):
        return error.code not in CALLERS_FAULTS
    if isinstance(error, TransportError):
        return error.status == PHP_GAVE_UP
    return isinstance(error, MalformedReplyError)
