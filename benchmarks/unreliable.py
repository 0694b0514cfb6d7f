"""A list in memory whose server sometimes sends wrong replies, as caches, replicas and overloaded servers do.

Whether a reply is wrong depends on the seed, on the query, and on how often this query was sent, but not on the order
of calls: a walk that reads ahead, in threads, gets the same wrong replies each time.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from benchmarks.readings import Reading, honest
from magento_pager import MAX_ID, TransportError

if TYPE_CHECKING:
    from collections.abc import Generator

    from magento_pager import Condition, IdRange, Query
    from magento_pager.lists import ListSpec
    from magento_pager.walk.pages import Row

CHANCE = 1 / 20
"""Of a wrong reply, for each call."""
MOST_CALLS = 1_000
"""Calls of one walk before it is stopped as endless."""

Detectable: TypeAlias = Literal[
    "empty", "half", "previous page", "older page", "row twice", "row of another page", "503, then another page"
]
"""Wrong replies that a client can detect: most rows are missing, or rows are in it that the query does not match.

A page is the reply to a query for lower ids, the previous page that for the ids right below. A half is the first or the
last half of the rows.
"""
Undetectable: TypeAlias = Literal["row dropped", "replica behind once", "replica behind"]
"""Wrong replies that no client can detect for sure: one row is missing, or the newest ones are, once or always."""
Kind: TypeAlias = Detectable | Undetectable
DETECTABLE: tuple[Detectable, ...] = get_args(Detectable)
UNDETECTABLE: tuple[Undetectable, ...] = get_args(Undetectable)


class EndlessError(Exception):
    """The walk made more than `MOST_CALLS` calls, and would probably never end."""


@dataclass(frozen=True, slots=True)
class WrongReply:
    """A wrong reply.

    Attributes:
        query: the query.
        hidden: ids of the matching rows that the reply lacked.
        added: ids of the rows that do not match, or were returned twice.
    """

    query: Query
    hidden: frozenset[int]
    added: frozenset[int]


@dataclass
class UnreliableList:
    """The rows of a list, as a `Source`.

    Attributes:
        spec: the list; its rows carry no ids if it has an `identity`.
        ids: of the rows, in order.
        kind: of wrong replies; None for a server that always replies correctly.
        seed: decides which replies are wrong.
        reading: how conditions are read.
        calls: number of calls so far.
        wrong_replies: all wrong replies so far; those that happen to be correct do not count.
    """

    spec: ListSpec
    ids: tuple[int, ...]
    kind: Kind | None = None
    seed: int = 0
    reading: Reading = honest
    calls: int = 0
    wrong_replies: list[WrongReply] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _times: Counter[str] = field(default_factory=Counter)  # that each query was sent
    _pages: dict[IdRange, tuple[int, ...]] = field(default_factory=dict)  # replies with rows
    _failed: set[str] = field(default_factory=set)  # queries that got a 503, whose next reply is wrong
    _newest: int | None = None  # the newest row of the replica that answers from now on

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the matching rows, highest id first, because a server guarantees no order."""
        with self._lock:
            self.calls += 1
            if self.kind and self.calls > MOST_CALLS:
                raise EndlessError(f"after {self.calls} calls the walk sends {query}")
            matching = _matching(self.reading, query.conditions, self.ids)
            returned = self._returned(query, matching)
            if returned != matching:
                hidden, added = Counter(matching) - Counter(returned), Counter(returned) - Counter(matching)
                self.wrong_replies.append(WrongReply(query, frozenset(hidden), frozenset(added)))
        for number in reversed(returned):
            yield self._row(number)

    def number(self, row: Row) -> int:
        """Return the id of a row, whether or not the row carries it."""
        return int(row["increment_id"]) - 100_000_000

    def _row(self, number: int) -> Row:
        row = {"increment_id": f"{100_000_000 + number}"}
        return row if self.spec.identity else {self.spec.key: str(number), **row}

    def _returned(self, query: Query, matching: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ids to reply with, in most calls the matching ones."""
        text = str(query)
        self._times[text] += 1
        chance = Random(f"{self.seed} {self._times[text]} {text}")  # noqa: S311  no secret
        pages = sorted((span.last, rows) for span, rows in self._pages.items() if span.last < query.span.first)
        if matching:
            self._pages.setdefault(query.span, matching)
        if text in self._failed:
            self._failed.remove(text)
            return chance.choice(pages)[1] if pages else matching
        if not self.kind or chance.random() >= CHANCE:
            return self._on_replica(matching)
        if self.kind == "503, then another page":
            self._failed.add(text)
            raise TransportError("HTTP 503", remedy="retry", status=503)
        if self.kind == "replica behind":
            self._newest = min(chance.choice(self._newer), self._newest or MAX_ID)
            return self._on_replica(matching)
        return self._wrong_reply(matching, [rows for _, rows in pages], chance)

    def _wrong_reply(self, matching: tuple[int, ...], pages: list[tuple[int, ...]], chance: Random) -> tuple[int, ...]:
        """Return a wrong reply, or the matching ids if no reply of this kind is possible."""
        half = len(matching) // 2
        match self.kind:
            case "empty":
                return ()
            case "half":
                return matching[:half] if chance.random() < 1 / 2 else matching[len(matching) - half :]
            case "previous page":
                return pages[-1] if pages else matching
            case "older page":
                return chance.choice(pages[:-1]) if pages[:-1] else matching
            case "row twice":
                return tuple(sorted((*matching, chance.choice(matching)))) if matching else matching
            case "row of another page":
                unmatched = sorted(set(self.ids).difference(matching))
                return tuple(sorted((*matching, chance.choice(unmatched)))) if unmatched else matching
            case "row dropped":
                dropped = chance.choice(matching) if half else None
                return tuple(number for number in matching if number != dropped)
        newest = chance.choice(self._newer)
        return tuple(number for number in matching if number <= newest)

    @property
    def _newer(self) -> tuple[int, ...]:
        """The ids of which one is the newest row of a replica that lags behind."""
        return self.ids[-len(self.ids) // 3 :]

    def _on_replica(self, matching: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ids that the replica in use knows."""
        newest = self._newest
        return matching if newest is None else tuple(number for number in matching if number <= newest)


@lru_cache(maxsize=20_000)  # walks over the same list send much the same queries
def _matching(reading: Reading, conditions: tuple[Condition, ...], ids: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reading(conditions, list(ids)))
