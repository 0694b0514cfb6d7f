"""The check whether the server fails on the user's conditions, and not on a row.

What lives here: the proof, at the first failure of a walk with a `where`. A field that the list does not have, or a
value that the server refuses, makes each call fail as if one row were broken, memory exhausted or the shop down (PHP 5
answers HTTP 500, old error handlers 503). Without this check, rows would be isolated and skipped one by one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from magento_pager.errors import QUOTED, SMALLER, FaultError, RemoteError, TransportError
from magento_pager.lists import list_of
from magento_pager.walk.flows import Flow, WindowRequest, attempt, relayed
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import Prefix, SingleFilter

if TYPE_CHECKING:
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.flows import Item, Reply

T = TypeVar("T")

WIDE = 10_000  # the most ids to request without the conditions
ATTEMPTS = 5  # with the conditions, where waiting may help
REFUSED = 403  # a firewall may take the condition for an attack


class WhereCheck:
    """Watches flows until a request with the conditions returns a row; ends them if the conditions are the cause."""

    def __init__(self, where: tuple[Condition, ...], key: str, operation: str) -> None:
        """Initialize the check.

        Args:
            where: the user's conditions, as they are sent.
            key: what filters call the key.
            operation: the name of the list, for messages.
        """
        self._where = where
        self._key = key
        self._operation = operation
        self._sound = not where
        self._error: RemoteError | None = None

    def through(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow under this check.

        Raises:
            RemoteError: as the flow, or the server fails on the conditions alone.
        """
        return (yield from flow) if self._sound else (yield from relayed(flow, self._relay))

    def _relay(self, item: Item) -> Flow[Reply]:
        if self._error is not None:
            raise self._error
        if self._sound or not isinstance(item, WindowRequest) or item.any_row:
            return (yield item)
        answer = yield from attempt(replace(item, attempts=1))
        if not isinstance(answer, RemoteError):
            self._sound = bool(answer.rows)  # a reply without rows does not prove that the value is accepted
            return answer
        if answer.remedy == "stop" and getattr(answer, "status", None) != REFUSED:
            raise answer
        self._error = yield from self._verdict(item, answer)
        if self._error is not None:
            raise self._error from answer
        if item.attempts == 1 or not (item.insist or answer.remedy == "retry"):
            raise answer
        return (yield replace(item, attempts=max(0, item.attempts - 1)))

    def _verdict(self, item: WindowRequest, error: RemoteError) -> Flow[RemoteError | None]:
        """Return the error that ends the walk if a call fails only with the conditions; else None.

        Without them a wide window may contain all rows of the list, so a block of a thousand ids takes its place. One
        of the rows returned without them is requested alone, with them: a reply of at most one row is neither too large
        nor too slow, and that row is not broken.
        """
        plain = replace(item, tokens_only=True, following=None, check=True)
        if len(item.window) > WIDE or isinstance(item.strategy, SingleFilter):
            plain = replace(plain, strategy=Prefix(self._key), window=_thousand(item.window.first))
        without = yield from attempt(replace(plain, where=(), any_row=True, attempts=1))
        if isinstance(without, RemoteError):
            return None
        row_id = without.ids[0] if without.ids else None
        request = plain
        if row_id is not None:
            request = WindowRequest(Prefix(self._key), IdRange(row_id, row_id), tokens_only=True, check=True)
        failed = yield from self._failure(request, self._where)
        if failed is None:
            self._sound = row_id is not None
            return None
        causes = list(self._where)
        for condition in self._where if len(self._where) > 1 else ():
            if (yield from self._failure(request, (condition,))) is None:
                causes.remove(condition)
        again = yield from attempt(replace(request, where=(), any_row=True, attempts=1))
        return None if isinstance(again, RemoteError) else self._error_of(causes or list(self._where), error)

    def _failure(self, request: WindowRequest, where: tuple[Condition, ...]) -> Flow[RemoteError | None]:
        """Send the request with some conditions, more than once; None if one is answered."""
        answer = yield from attempt(replace(request, where=where, any_row=True, insist=1, attempts=ATTEMPTS))
        return answer if isinstance(answer, RemoteError) else None

    def _error_of(self, causes: list[Condition], error: RemoteError) -> RemoteError:
        conditions = " and ".join(map(str, causes))
        return RemoteError(
            f"{self._operation}: the server answers without where {conditions}, and fails with it: "
            f"{self._text(error)}; {self._advice(causes)}{error.where_saved}"
        )

    def _text(self, error: RemoteError) -> str:
        """Return the server's text, without advice about a broken row or a large reply."""
        if isinstance(error, FaultError):
            line = " ".join(error.text.split())
            return f"fault {error.code}, {line if len(line) <= QUOTED else f'{line[:QUOTED]}...'!r}"
        text = str(error.args[0]).removeprefix(f"{self._operation}: ").replace(f". {SMALLER}", "")
        if isinstance(error, TransportError) and error.status is not None:
            body = text.partition(" It said: ")[2]
            return f"HTTP {error.status}{f', {body!r}' if body else ''}"
        return text

    def _advice(self, causes: list[Condition]) -> str:
        spec = list_of(self._operation)
        for condition in causes:
            name = condition.field.rpartition(".")[2]
            if spec and not spec.has(name):
                likes = " or ".join(map(repr, spec.similar(name)))
                hint = f"did you mean {likes}?" if likes else "is it an attribute of this shop?"
                return f"{spec.name} have no standard field {name!r} ({hint})"
        return "check that the list has this field and accepts this value"


def _thousand(number: int) -> IdRange:
    """Return the block of a thousand ids that contains an id."""
    first = number - number % 1_000
    return IdRange(first, min(first + 999, MAX_ID))
