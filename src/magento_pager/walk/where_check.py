"""Where checked: is it the user's own condition that the server fails at, and no row?

What lives here: the proof, at the first failure of a walk with a `where`. A field that the list does not have, or a
value that the server refuses, fails each call in the words of one bad row, or as a lack of memory or a shop that is
down (PHP 5 answers HTTP 500, old error handlers 503). Without this, rows would be sought and skipped one by one.
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

WIDE = 10_000  # ids: so many at most are asked for without the conditions
ATTEMPTS = 5  # with the condition, where waiting may help
REFUSED = 403  # a firewall may take the condition for an attack


class WhereCheck:
    """Goes along with flows until a row came with the conditions, and ends them where the conditions are at fault."""

    def __init__(self, where: tuple[Condition, ...], key: str, operation: str) -> None:
        """Begin with nothing known.

        Args:
            where: the user's own conditions, as they are sent.
            key: what filters call the key.
            operation: the name of the list, for messages.
        """
        self._where = where
        self._key = key
        self._operation = operation
        self._sound = not where
        self._error: RemoteError | None = None

    def through(self, flow: Flow[T]) -> Flow[T]:
        """Go on with a flow.

        Raises:
            RemoteError: as the flow, or the server fails at the conditions alone.
        """
        return (yield from flow) if self._sound else (yield from relayed(flow, self._relay))

    def _relay(self, item: Item) -> Flow[Reply]:
        if self._error is not None:
            raise self._error
        if self._sound or not isinstance(item, WindowRequest) or item.any_row:
            return (yield item)
        answer = yield from attempt(replace(item, attempts=1))
        if not isinstance(answer, RemoteError):
            self._sound = bool(answer.rows)  # a call that brings none may not have looked at the value
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
        """Return what ends the walk, where a call fails with the conditions and does not without them; else None.

        Without them a wide window may hold all rows of the list, so a block of a thousand ids takes its place.
        Of the rows that come without them, one is asked for by itself: a reply of one row at most is neither too large
        nor too slow, and that row is sound.
        """
        plain = replace(item, tokens_only=True, following=None, check=True)
        if len(item.window) > WIDE or isinstance(item.strategy, SingleFilter):
            plain = replace(plain, strategy=Prefix(self._key), window=_thousand(item.window.first))
        without = yield from attempt(replace(plain, where=(), any_row=True, attempts=1))
        if isinstance(without, RemoteError):
            return None
        one = without.ids[0] if without.ids else None
        request = plain
        if one is not None:
            request = WindowRequest(Prefix(self._key), IdRange(one, one), tokens_only=True, check=True)
        failed = yield from self._failure(request, self._where)
        if failed is None:
            self._sound = one is not None
            return None
        culprits = list(self._where)
        for condition in self._where if len(self._where) > 1 else ():
            if (yield from self._failure(request, (condition,))) is None:
                culprits.remove(condition)
        again = yield from attempt(replace(request, where=(), any_row=True, attempts=1))
        return None if isinstance(again, RemoteError) else self._fault_of(culprits or list(self._where), error)

    def _failure(self, request: WindowRequest, where: tuple[Condition, ...]) -> Flow[RemoteError | None]:
        """Send the request with some conditions, more than once; None where an answer comes."""
        answer = yield from attempt(replace(request, where=where, any_row=True, insist=1, attempts=ATTEMPTS))
        return answer if isinstance(answer, RemoteError) else None

    def _fault_of(self, culprits: list[Condition], error: RemoteError) -> RemoteError:
        said = " and ".join(map(str, culprits))
        return RemoteError(
            f"{self._operation}: the server answers without where {said}, and fails with it: {self._words(error)}; "
            f"{self._advice(culprits)}{error.where_saved}"
        )

    def _words(self, error: RemoteError) -> str:
        """What the server says, without advice for a row or for too many of them."""
        if isinstance(error, FaultError):
            line = " ".join(error.text.split())
            return f"fault {error.code}, {line if len(line) <= QUOTED else f'{line[:QUOTED]}...'!r}"
        text = str(error.args[0]).removeprefix(f"{self._operation}: ").replace(f". {SMALLER}", "")
        if isinstance(error, TransportError) and error.status is not None:
            said = text.partition(" It said: ")[2]
            return f"HTTP {error.status}{f', {said!r}' if said else ''}"
        return text

    def _advice(self, culprits: list[Condition]) -> str:
        spec = list_of(self._operation)
        for condition in culprits:
            name = condition.field.rpartition(".")[2]
            if spec and not spec.has(name):
                likes = " or ".join(map(repr, spec.similar(name)))
                hint = f"did you mean {likes}?" if likes else "is it an attribute of this shop?"
                return f"{spec.name} have no {name!r} of Magento's own ({hint})"
        return "does the list have this field, and does it take this value?"


def _thousand(number: int) -> IdRange:
    """Return the block of a thousand ids around one."""
    first = number - number % 1_000
    return IdRange(first, min(first + 999, MAX_ID))
