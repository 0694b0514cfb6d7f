"""A list in memory whose server lies now and then, as caches, replicas and overloaded servers do.

Whether a call is answered honestly depends on the seed, on the query, and on how often this very query was asked, but
not on the order of calls: a walk that asks ahead, in threads, is lied to in the same way each time.
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
"""Of a lie, for each call."""
MOST_CALLS = 1_000
"""Calls of one walk that are answered by a server that lies."""

Catchable: TypeAlias = Literal[
    "empty", "half", "previous page", "older page", "row twice", "row of another page", "503, then another page"
]
"""Lies that a client can find out: most of a reply is missing, or something is in it that was never asked for.

A page is the reply to a query for lower ids, the previous one that for the ids right below. A half is the first or the
last half of the rows.
"""
Unseen: TypeAlias = Literal["row dropped", "replica behind once", "replica behind"]
"""Lies that no client can see for sure: one row of several, or the newest rows in one call, or in all that follow."""
Kind: TypeAlias = Catchable | Unseen
CATCHABLE: tuple[Catchable, ...] = get_args(Catchable)
UNSEEN: tuple[Unseen, ...] = get_args(Unseen)


class EndlessError(Exception):
    """A walk made so many calls that it would probably never end."""


@dataclass(frozen=True, slots=True)
class Lie:
    """A reply that was not the truth.

    Attributes:
        query: what was asked.
        hidden: ids of the rows that were left out.
        added: ids of the rows that did not belong there, or came twice.
    """

    query: Query
    hidden: frozenset[int]
    added: frozenset[int]


@dataclass
class LyingList:
    """The rows of a list, as a `Source`.

    Attributes:
        spec: the list; its rows carry no ids where it has another field that no two rows share.
        ids: of the rows, in order.
        kind: how the server lies; None if it never does.
        seed: of the lies.
        reading: how conditions are read.
        calls: how many were made.
        lies: that were told. A lie that equals the truth is none.
    """

    spec: ListSpec
    ids: tuple[int, ...]
    kind: Kind | None = None
    seed: int = 0
    reading: Reading = honest
    calls: int = 0
    lies: list[Lie] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _times: Counter[str] = field(default_factory=Counter)  # that a query was asked
    _pages: dict[IdRange, tuple[int, ...]] = field(default_factory=dict)  # replies with rows
    _failed: set[str] = field(default_factory=set)  # queries that were answered with 503, to be answered wrongly
    _newest: int | None = None  # the newest row of the replica that answers from now on

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, highest id first: a server keeps no order."""
        with self._lock:
            self.calls += 1
            if self.kind and self.calls > MOST_CALLS:
                raise EndlessError(f"after {self.calls} calls it asks for {query}")
            truth = _truth(self.reading, query.conditions, self.ids)
            told = self._told(query, truth)
            if told != truth:
                hidden, added = Counter(truth) - Counter(told), Counter(told) - Counter(truth)
                self.lies.append(Lie(query, frozenset(hidden), frozenset(added)))
        for number in reversed(told):
            yield self._row(number)

    def number(self, row: Row) -> int:
        """Return the id of a row, whether it carries that or not."""
        return int(row["increment_id"]) - 100_000_000

    def _row(self, number: int) -> Row:
        row = {"increment_id": f"{100_000_000 + number}"}
        return row if self.spec.identity else {self.spec.key: str(number), **row}

    def _told(self, query: Query, truth: tuple[int, ...]) -> tuple[int, ...]:
        """Return what is answered instead of the truth, which it mostly is."""
        text = str(query)
        self._times[text] += 1
        chance = Random(f"{self.seed} {self._times[text]} {text}")  # noqa: S311  no secret
        pages = sorted((span.last, rows) for span, rows in self._pages.items() if span.last < query.span.first)
        if truth:
            self._pages.setdefault(query.span, truth)
        if text in self._failed:
            self._failed.remove(text)
            return chance.choice(pages)[1] if pages else truth
        if not self.kind or chance.random() >= CHANCE:
            return self._behind(truth)
        if self.kind == "503, then another page":
            self._failed.add(text)
            raise TransportError("HTTP 503", remedy="retry", status=503)
        if self.kind == "replica behind":
            self._newest = min(chance.choice(self._newer), self._newest or MAX_ID)
            return self._behind(truth)
        return self._lie(truth, [rows for _, rows in pages], chance)

    def _lie(self, truth: tuple[int, ...], pages: list[tuple[int, ...]], chance: Random) -> tuple[int, ...]:
        """Return a lie, or the truth where there is none of this kind."""
        half = len(truth) // 2
        match self.kind:
            case "empty":
                return ()
            case "half":
                return truth[:half] if chance.random() < 1 / 2 else truth[len(truth) - half :]
            case "previous page":
                return pages[-1] if pages else truth
            case "older page":
                return chance.choice(pages[:-1]) if pages[:-1] else truth
            case "row twice":
                return tuple(sorted((*truth, chance.choice(truth)))) if truth else truth
            case "row of another page":
                others = sorted(set(self.ids).difference(truth))
                return tuple(sorted((*truth, chance.choice(others)))) if others else truth
            case "row dropped":
                dropped = chance.choice(truth) if half else None
                return tuple(number for number in truth if number != dropped)
        newest = chance.choice(self._newer)
        return tuple(number for number in truth if number <= newest)

    @property
    def _newer(self) -> tuple[int, ...]:
        """The rows of which one is the newest of a replica that is behind."""
        return self.ids[-len(self.ids) // 3 :]

    def _behind(self, truth: tuple[int, ...]) -> tuple[int, ...]:
        """Return what is known to the server that answers now."""
        newest = self._newest
        return truth if newest is None else tuple(number for number in truth if number <= newest)


@lru_cache(maxsize=20_000)  # walks over the same list ask much the same
def _truth(reading: Reading, conditions: tuple[Condition, ...], ids: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(reading(conditions, list(ids)))
