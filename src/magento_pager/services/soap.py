"""Lists of other SOAP services: an operation of zeep as a source for a `Paginator`.

What lives here: how the requests of a walk become arguments of an operation. Magento's own lists are read by `shop`,
which decodes replies as they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.services.bounds_check import Evidence, check_bounds
from magento_pager.services.calling import Rows, Service
from magento_pager.services.keys import Key, Numbers, Texts
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.strategies import Range

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from magento_pager.errors import Remedy
    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Row
    from magento_pager.walk.ranges import IdRange

Arguments: TypeAlias = Callable[[tuple[Condition, ...]], Mapping[str, Any]]

NO_FIELD = "(number)"
"""The name of the id of rows whose key is not a number."""
UNNAMED = Numbers("")
"""The key of a source whose paginator has the name of the column."""
_BLOCK = re.compile("([0-9]*)(_*)")
_BOUNDS = {"gteq": "from", "lteq": "to"}


def as_bounds(conditions: Iterable[Condition], unknown: Callable[[Condition], bool]) -> Iterator[Condition]:
    """Yield conditions with `from` and `to` for every condition that means a block of numbers.

    Args:
        conditions: all of which must hold.
        unknown: True for a condition that the service cannot evaluate.

    Raises:
        RemoteError: a condition is `unknown`, or is a sample, which bounds cannot express.

    >>> [str(one) for one in as_bounds([Condition("No", "like", "12__")], lambda _: False)]
    ["No from '1200'", "No to '1299'"]
    """
    for condition in conditions:
        block = _BLOCK.fullmatch(condition.value) if condition.operator == "like" else None
        if block:
            head, free = block[1], len(block[2])
            first = head + "0" * free if head else "1" + "0" * (free - 1) if free > 1 else "0"
            yield replace(condition, operator="from", value=first)
            yield replace(condition, operator="to", value=head + "9" * free)
        elif condition.operator in {"like", "regexp"} or unknown(condition):
            raise RemoteError(f"a service that only has bounds cannot evaluate {condition}", remedy="split")
        else:
            yield replace(condition, operator=_BOUNDS.get(condition.operator, condition.operator))


@dataclass(frozen=True, slots=True)
class StartsWith:
    """A strategy for texts: one call for each beginning of a text, for services without bounds on it."""

    key: Texts
    name: str = "starts-with"
    widest: int = MAX_ID + 1
    decimal: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  no bound can be dropped
        """Yield one query for each beginning."""
        for operator, value in self.key.beginnings(window.first, window.last):
            yield Query((Condition(self.key.field, operator, value),), window)


@dataclass(frozen=True, slots=True)
class SoapSource(Service):
    """A list of any SOAP service: an operation that takes bounds and returns rows. `paginator` walks it.

    The walk sends the conditions `from` and `to` on the key, both inclusive, and for the rows after a gap only one of
    them. For a block of ids such as 1200 to 1299, where it would send `like`, the source sends both bounds instead.
    Samples of the ids, which need wildcards, are omitted unless `wildcards` is True.

    Rows contain text: numbers, dates, true and false as XML writes them; lists and records keep their form.

    Attributes:
        operation: of zeep, such as `client.service.ListDocuments`, or a function that calls one. Its client should have
            a time limit: `zeep.Transport(operation_timeout=60)`.
        arguments: makes the arguments of the operation, by name, from the conditions; rows must satisfy all of them.
        key: the column that windows are ranges of: `Numbers`, `PaddedNumbers`, `Times`, or `Texts`, whose operators are
            `starts with` and `eq`. Not needed if you build the `Paginator` yourself, over numbers of 32 bits.
        rows: finds the rows in the operation's result; None if the result is a list, or contains exactly one.
        wildcards: the server has `like` on the key, with `_` for any one digit, so that gaps take fewer calls. For
            `Numbers` of 32 bits.
        remedies: for a part of a fault's text (in any case), its remedy: "retry", "split", "isolate" or "stop". A fault
            that contains none of the parts ends the walk.
        url: of the service, for checkpoints: a dump can only be resumed from the same one.

    Raises:
        ValueError: wildcards on a key that is not a number.

    >>> from magento_pager import Numbers
    >>> source = SoapSource(lambda **_: [{"No": "7"}], lambda conditions: {}, Numbers("No"))
    >>> list(source.paginator("documents", first=7, last=7))
    [{'No': '7'}]
    """

    operation: Callable[..., Any]
    arguments: Arguments
    key: Key = UNNAMED
    rows: Rows | None = None
    wildcards: bool = False
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        if self.wildcards and not self._plain:
            raise ValueError(f"wildcards need a key of Numbers of 32 bits, not {self.key}")

    def paginator(self, name: str, **options: Any) -> Paginator:
        """Return a paginator for the list.

        Args:
            name: of the list, for messages, cursors and tables.
            options: of `Paginator`, such as `window` and `nice`; `first` and `last` are keys. If one number stands for
                several keys, the rows of all of them are included.

        Raises:
            ValueError: the source has no `key`, or a bound is not a key.
        """
        if not self.key.field:
            raise ValueError("the source has no key. Set one, such as Numbers('DocNo'), or build a Paginator yourself")
        for bound in {"first", "last"} & options.keys():
            if isinstance(options[bound], str) or isinstance(self.key, Numbers):
                options[bound] = self.key.number(str(options[bound]))
        identity = None if self._plain else self.key.identity
        options = {"last": self.key.highest, "identity_field": identity, **options}
        id_field = self.key.field if self._plain else NO_FIELD
        strategy = StartsWith(self.key) if isinstance(self.key, Texts) else Range(self.key.field)
        return Paginator(self, strategy, id_field, operation=name, key=self.key.field, **options)

    @property
    def place(self) -> Callable[[Row], int] | None:
        """The function that returns a row's number; None if the key itself is a number, or several rows share one."""
        return self.number_of if self.key.alone and not self._plain else None

    @property
    def shares(self) -> bool:
        """True if several rows may have the same number."""
        return not self.key.alone

    @property
    def _plain(self) -> bool:
        return isinstance(self.key, Numbers) and self.key.plain

    def examine(self, **options: Any) -> Evidence:
        """Test on the first rows which bounds the service honours, and return the evidence; `print` it.

        Args:
            options: of `paginator`, such as `first` if the first key is far from zero.
        """
        return check_bounds(self.paginator(self.name, **options), self)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call.

        Raises:
            FaultError: the server answered with a fault.
            TransportError: there was no answer.
            MalformedReplyError: the answer is not what the WSDL promises, or its rows cannot be found.
            FilterIgnoredError: the service returned a row with a key that was not requested.
        """
        for row in self.read(query):
            if not self.key.alone and self.number_of(row) not in query.span:
                first, last = self.key.text(query.span.first), self.key.text(query.span.last, upper=True)
                raise FilterIgnoredError(
                    f"{self.name}: {self.key.field} from {first} to {last} was requested, and the server also sent "
                    f"{row[self.key.field]}. It dropped a bound, or does not compare as {self.key} does",
                    span=query.span,
                )
            yield row

    def read(self, query: Query) -> Iterator[Row]:
        """Yield the rows of one call without checking their keys; otherwise like `fetch`."""
        conditions = query.conditions if self.wildcards else tuple(as_bounds(query.conditions, self._unknown))
        if any(bound.operator == "from" and self._number(bound) > self.key.highest for bound in conditions):
            return  # there are no higher keys
        if isinstance(self.key, Texts):
            for call_conditions in self._beginnings(conditions, self.key):
                yield from self._rows_of(call_conditions)
        else:
            yield from self._rows_of(conditions if self.wildcards else tuple(map(self.as_sent, conditions)))

    def _rows_of(self, conditions: tuple[Condition, ...]) -> Iterator[Row]:
        """Yield the rows of one call with these conditions, in the form of the service."""
        yield from self._call.answer(self.arguments(conditions))[1]

    def number_of(self, row: Row) -> int:
        """Return the number for the key of a row."""
        text = row.get(self.key.field)
        try:
            return self.key.number(text if isinstance(text, str) else "")
        except ValueError as error:
            reason = error if text else f"a row has no {self.key.field}"
            raise MalformedReplyError(f"{self.name}: {reason}", remedy="isolate") from None

    def columns(self, known: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the declared columns of rows, see `Call.columns`; `known` is one of them."""
        return self._call.columns(self.key.field or known)

    def _unknown(self, condition: Condition) -> bool:
        """Return True for a condition on a row's identity, for which only `Texts` have an operator."""
        return (condition.field, condition.operator) == (self.key.identity, "eq") and not isinstance(self.key, Texts)

    def as_sent(self, condition: Condition) -> Condition:
        """Return a condition with the key as the service writes it."""
        if condition.field != self.key.field:
            return condition
        number = min(int(condition.value), self.key.highest)
        return replace(condition, value=self.key.text(number, upper=condition.operator == "to"))

    def _beginnings(self, conditions: tuple[Condition, ...], key: Texts) -> Iterator[tuple[Condition, ...]]:
        """Yield the conditions of each call for bounds on a text: a beginning instead of the bounds, and the others."""
        on_key = [condition for condition in conditions if condition.field == key.field]
        others = [condition for condition in conditions if condition.field != key.field]
        bounds = {bound.operator: int(bound.value) for bound in on_key if bound.operator in {"from", "to"}}
        if not bounds:
            yield conditions
            return
        for operator, value in key.beginnings(bounds.get("from", 0), bounds.get("to", key.highest)):
            yield (Condition(key.field, operator, value), *others)

    def _number(self, condition: Condition) -> int:
        """Return the number that a condition compares the key with; -1 for another column."""
        is_bound = condition.field == self.key.field and condition.operator in {"from", "to"}
        return int(condition.value) if is_bound else -1
