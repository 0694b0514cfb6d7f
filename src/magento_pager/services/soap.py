"""Lists of other SOAP services: an operation of zeep as a source for a `Paginator`.

What lives here: how what a walk asks for becomes the arguments of an operation. Magento's own lists are read by `shop`,
which decodes replies as they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.services.bounds_check import Evidence, tried_on
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
"""What rows call a number that they do not have."""
UNNAMED = Numbers("")
"""The key of a source whose paginator alone knows the column."""
_BLOCK = re.compile("([0-9]*)(_*)")
_BOUNDS = {"gteq": "from", "lteq": "to"}


def as_bounds(conditions: Iterable[Condition], unknown: Callable[[Condition], bool]) -> Iterator[Condition]:
    """Yield conditions with `from` and `to` for all that says as much of a block of numbers.

    Raises:
        RemoteError: a sample is wanted, which bounds cannot say, or what is `unknown`.

    >>> [str(one) for one in as_bounds([Condition("No", "like", "12__")], lambda _: False)]
    ["No from '1200'", "No to '1299'"]
    """
    for one in conditions:
        block = _BLOCK.fullmatch(one.value) if one.operator == "like" else None
        if block:
            head, free = block[1], len(block[2])
            first = head + "0" * free if head else "1" + "0" * (free - 1) if free > 1 else "0"
            yield replace(one, operator="from", value=first)
            yield replace(one, operator="to", value=head + "9" * free)
        elif one.operator in {"like", "regexp"} or unknown(one):
            raise RemoteError(f"no sample can be had where a service has bounds alone ({one})", remedy="split")
        else:
            yield replace(one, operator=_BOUNDS.get(one.operator, one.operator))


@dataclass(frozen=True, slots=True)
class StartsWith:
    """How a text begins, one call for each beginning: for services that know no bounds on it."""

    key: Texts
    name: str = "starts-with"
    widest: int = MAX_ID + 1
    decimal: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  nothing can be dropped
        """One call for each beginning."""
        for operator, value in self.key.beginnings(window.first, window.last):
            yield Query((Condition(self.key.field, operator, value),), window)


@dataclass(frozen=True, slots=True)
class SoapSource(Service):
    """A list of any SOAP service: an operation that takes bounds and returns rows. `paginator` walks it.

    The walk asks with `from` and `to` on the key, both inclusive; for the rows behind a gap with one of them alone.
    Where it would ask with `like`, for a block of ids such as 1200 to 1299, the source asks with both bounds instead;
    samples of the ids, for which a server needs wildcards, are left out, unless `wildcards` says that it has them.

    Rows come as texts: numbers, dates and true or false as XML writes them; lists and records keep their form.

    Attributes:
        operation: of zeep, such as `client.service.ListDocuments`; or a function that calls one. Its client should have
            a time limit: `zeep.Transport(operation_timeout=60)`.
        arguments: makes the arguments of the operation, by name, from the conditions, all of which must hold.
        key: what the list is cut by: `Numbers`, `PaddedNumbers`, `Times`, or `Texts`, for which the operators are
            `starts with` and `eq`. None is needed where you build the `Paginator` yourself, over numbers of 32 bits.
        rows: finds the rows in what the operation returns; None where that is a list, or holds a single one.
        wildcards: the server has `like` on the key, with `_` for any one digit: gaps are then crossed in fewer calls.
            For `Numbers` of 32 bits.
        remedies: for words of a fault (their case does not matter), what may help: "retry", "split", "isolate" or
            "stop"; a fault with none of them ends the walk.
        url: of the service, for checkpoints: a dump is resumed from the same one only.

    Raises:
        ValueError: wildcards on a key that is no number.
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
            raise ValueError(f"wildcards are for Numbers of 32 bits: a pattern of digits finds none of {self.key}")

    def paginator(self, name: str, **options: Any) -> Paginator:
        """Return what walks the list.

        Args:
            name: what messages, cursors and tables call the list.
            options: those of `Paginator`, such as `window` and `nice`; `first` and `last` are keys. Where one number
                stands for several keys, all of these come.

        Raises:
            ValueError: the source has no `key`, or a bound is none.
        """
        if not self.key.field:
            raise ValueError("give the source a key, such as Numbers('DocNo'), or build a Paginator yourself")
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
        """Says which number stands for a row, where its key is no number itself and belongs to it alone."""
        return self.number_of if self.key.alone and not self._plain else None

    @property
    def shares(self) -> bool:
        """True where several rows may have one number."""
        return not self.key.alone

    @property
    def _plain(self) -> bool:
        return isinstance(self.key, Numbers) and self.key.plain

    def examine(self, **options: Any) -> Evidence:
        """Try on the first rows which bounds the service honours, and return the evidence; `print` it.

        Args:
            options: those of `paginator`: `first`, where the first key is far from zero.
        """
        return tried_on(self.paginator(self.name, **options), self)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call.

        Raises:
            FaultError: the server answered with a fault.
            TransportError: no answer came.
            MalformedReplyError: the answer is not what the WSDL promises, or its rows are not found.
            FilterIgnoredError: a row came whose key was not asked for.
        """
        for row in self.read(query):
            if not self.key.alone and self.number_of(row) not in query.span:
                first, last = self.key.text(query.span.first), self.key.text(query.span.last, upper=True)
                raise FilterIgnoredError(
                    f"{self.name}: asked for {self.key.field} from {first} to {last}, the server also sent "
                    f"{row[self.key.field]}: it dropped a bound, or compares in another way than {self.key}",
                    span=query.span,
                )
            yield row

    def read(self, query: Query) -> Iterator[Row]:
        """The rows of one call, whatever their keys are; for the rest as `fetch`."""
        conditions = query.conditions if self.wildcards else tuple(as_bounds(query.conditions, self._unknown))
        if any(one.operator == "from" and self._number(one) > self.key.highest for one in conditions):
            return  # no key is so high
        if isinstance(self.key, Texts):
            for said in self._beginning(conditions, self.key):
                yield from self._rows_of(said)
        else:
            yield from self._rows_of(conditions if self.wildcards else tuple(map(self.said, conditions)))

    def _rows_of(self, conditions: tuple[Condition, ...]) -> Iterator[Row]:
        """The rows of one call with these conditions, as the service writes them."""
        yield from self._call.answer(self.arguments(conditions))[1]

    def number_of(self, row: Row) -> int:
        """Return the number that stands for the key of a row."""
        text = row.get(self.key.field)
        try:
            return self.key.number(text if isinstance(text, str) else "")
        except ValueError as error:
            said = error if text else f"a row came without {self.key.field}"
            raise MalformedReplyError(f"{self.name}: {said}", remedy="isolate") from None

    def columns(self, known: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the columns of rows as the WSDL declares them, see `Call.columns`; `known` is one of them."""
        return self._call.columns(self.key.field or known)

    def _unknown(self, one: Condition) -> bool:
        """True where one row is asked for by what it is known by, for which only `Texts` have an operator."""
        return (one.field, one.operator) == (self.key.identity, "eq") and not isinstance(self.key, Texts)

    def said(self, one: Condition) -> Condition:
        """Return a condition with the key as the service writes it."""
        if one.field != self.key.field:
            return one
        number = min(int(one.value), self.key.highest)
        return replace(one, value=self.key.text(number, upper=one.operator == "to"))

    def _beginning(self, conditions: tuple[Condition, ...], key: Texts) -> Iterator[tuple[Condition, ...]]:
        """Yield the conditions of each call that bounds on a text take: all but the bounds, and how it begins."""
        on_key = [one for one in conditions if one.field == key.field]
        others = [one for one in conditions if one.field != key.field]
        bounds = {one.operator: int(one.value) for one in on_key if one.operator in {"from", "to"}}
        if not bounds:
            yield conditions
            return
        for operator, value in key.beginnings(bounds.get("from", 0), bounds.get("to", key.highest)):
            yield (Condition(key.field, operator, value), *others)

    def _number(self, one: Condition) -> int:
        """Return the number that a condition compares the key with; -1 where it is on another column."""
        return int(one.value) if one.field == self.key.field and one.operator in {"from", "to"} else -1
