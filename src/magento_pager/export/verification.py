"""Verification: does an output hold what the shop holds? Row by row, through other queries than those it came by.

What lives here: the index of an output, the choice of what to ask, and the differences. It is told how the shop is
asked (a `Paginator`) and never how that works.

An output is indexed first: for each row its id and a digest of 16 bytes, in a temporary SQLite database on disk, so
neither its order nor its size matters (rows that came late stand at its end). Then the pages of the shop come, and each
is held against the index:

- *missing*: the shop has the row, the output has not.
- *extra*: the output has it, the shop has not, or no longer: nobody can tell a deleted row from one that never was.
- *changed*: both have it, with different content.
- *repeated*: the output has it more than once.

Typed outputs are compared as values: what the shop sends is typed as they are. Columns are compared if the output has
them and a list brings them; the others are named. Where the dump left a row out and said so, it is not missing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import orjson

from magento_pager.export.digests import Digest
from magento_pager.export.values import typed_row
from magento_pager.walk.changes import text_of
from magento_pager.walk.ranges import IdRange, read_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from magento_pager.lists import ListSpec
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.probing import ProbeReport
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Page

Kind: TypeAlias = Literal["missing", "extra", "changed", "repeated"]
Key: TypeAlias = int | str
"""What a row is known by: its id, or its identity in lists whose rows carry no id."""

TWO_BOUNDS = ("range", "alias", "mapped")
"""Strategies that say the same thing in different words: to the server they are one."""
PREFERRED = ("in-list", *TWO_BOUNDS, "prefix", "regexp")
WIDTHS = (10_000, 1_000, 100, 10)  # ids in a window of a sample
ENOUGH_WINDOWS = 50  # with rows, to draw a sample from
FEWEST_EMPTY = 3  # windows without rows in a sample
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A row in which the output and the shop differ.

    Attributes:
        kind: in what way.
        key: its id, or its identity where rows carry no id.
        at: for a missing row when it was created, for a changed one when it was updated, as the server says it; None
            where it does not.
        since: True where that was after the dump began: then the dump could not know.

    >>> print(Difference("changed", 17, "2026-11-22 03:00:00", since=True))
    changed   17  updated 2026-11-22 03:00:00, since the dump
    """

    kind: Kind
    key: Key
    at: str | None = None
    since: bool = False

    def __str__(self) -> str:
        match self.kind:
            case "extra":
                words = "not in the shop; deleted meanwhile?"
            case "repeated":
                words = "more than once in the output"
            case _ if self.at:
                words = f"{'created' if self.kind == 'missing' else 'updated'} {self.at}"
                words += ", since the dump" if self.since else ""
            case _:
                words = ""
        return f"{self.kind:<8}  {self.key}  {words}".rstrip()


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of the dump that made an output.

    Attributes:
        strategies: the names of those that carried its rows; none where that is unknown.
        began: when it began, by the server's clock; None where that is unknown.
        left_out: ids of rows that it could not read, and named.
        repaired: True where characters were taken out of some rows.
        digests: of its blocks of a million ids, by the first id of each; None for rows that carry no id.
        asked: what it was asked for, as in a `Fingerprint`; nothing where that is unknown.
        complete: False where the report says that it is not.
    """

    strategies: frozenset[str] = frozenset()
    began: datetime | None = None
    left_out: frozenset[int] = frozenset()
    repaired: bool = False
    digests: Mapping[int | None, str] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True

    @classmethod
    def told(cls, report: Mapping[str, Any]) -> Origin:
        """What the report of a dump says.

        Raises:
            ValueError: it is no such report.

        >>> sorted(Origin.told({"strategy": "range + prefix", "digests": [], "quarantined": []}).strategies)
        ['prefix', 'range']
        """
        try:
            began = report.get("began")
            return cls(
                frozenset(report["strategy"].split(" + ")) - {""},
                datetime.fromisoformat(began) if began else None,
                frozenset(read_id(one["id"]) for one in report["quarantined"]),
                bool(report.get("repaired")),
                {one["first"]: str(one["digest"]) for one in report["digests"]},
                report.get("asked") or {},
                bool(report.get("complete", True)),
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError("that is no report of a dump") from None


@dataclass(slots=True)
class Tally:
    """What a verification came to, while it goes on and at its end.

    Attributes:
        rows: of the shop that were compared.
        calls: requests answered.
        found: differences of each kind.
        since: those of them that came about after the dump began.
        left_out: rows that the dump left out, and said so.
        unread: rows of the shop that could not be read.
        not_compared: columns that only the shop's rows have.
        digest: of the shop's rows.
    """

    rows: int = 0
    calls: int = 0
    found: Counter[Kind] = field(default_factory=Counter)
    since: Counter[Kind] = field(default_factory=Counter)
    left_out: int = 0
    unread: int = 0
    not_compared: set[str] = field(default_factory=set)
    digest: Digest = field(default_factory=Digest)

    @property
    def unexplained(self) -> int:
        """Differences that are neither later than the dump nor, perhaps, a deletion."""
        return self.found.total() - self.since.total() - self.found["extra"]


class Index:
    """What an output holds, on disk: the key and a digest of each row. A context manager; leaving it forgets all.

    Attributes:
        rows: of the output.
        by_ids: True where they are known by ids.
        columns: those that any row has.
    """

    def __init__(self, rows: Iterable[Row], schema: ListSpec, *, typed: bool) -> None:
        """Read an output once.

        Args:
            rows: of the output, in any order.
            schema: of their list.
            typed: whether they are values rather than texts.

        Raises:
            ValueError: they have neither an id nor an identity.
        """
        self.rows = 0
        self.by_ids = True
        self.columns: set[str] = set()
        self._schema = schema
        self._typed = typed
        # SQLite's own temporary file: it has no name, and is gone when it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        try:
            self._read(rows)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def first(self) -> Key | None:
        """The lowest key; None where there is no row."""
        return self._one("SELECT min(key) FROM output")

    @property
    def last(self) -> Key | None:
        """The highest key; None where there is no row."""
        return self._one("SELECT max(key) FROM output")

    def key_of(self, row: Row) -> Key:
        """What a row is known by: as the output's are, where it can be.

        Raises:
            ValueError: it has neither an id nor an identity, or an id that is none.
        """
        key, identity = self._schema.key, self._schema.identity
        if key in row and (self.by_ids or identity not in row):
            return read_id(row[key])
        if identity is None or identity not in row:
            raise ValueError(f"a row of {self._schema.name} has no column {key}: without it nobody knows which it is")
        return str(row[identity])

    def digest_of(self, row: Row) -> bytes:
        """The digest of a row of the output, of what can be compared."""
        content = {name: value for name, value in row.items() if value is not None and self._comparable(name)}
        return blake2b(orjson.dumps(content, _decimal, orjson.OPT_SORT_KEYS), digest_size=16).digest()

    def digest_of_sent(self, row: Row) -> bytes:
        """The digest of a row as the server sent it, of the columns that the output has."""
        if self._typed:
            row, _ = typed_row(self._schema, row)
        return self.digest_of({name: row[name] for name in row.keys() & self.columns})

    def not_compared(self, row: Row) -> set[str]:
        """The columns of the server's row that the output does not have."""
        return row.keys() - self.columns

    @property
    def alone(self) -> list[str]:
        """Columns of the output that are not compared, since a list does not bring them."""
        return sorted(name for name in self.columns if not self._comparable(name))

    def lookup(self, window: IdRange, keys: Iterable[Key]) -> dict[Key, bytes]:
        """The digests of the output's rows in a window; of rows without ids those with the given keys."""
        if self.by_ids:
            within = "SELECT key, digest FROM output WHERE key BETWEEN ? AND ?"
            return dict(self._database.execute(within, (window.first, window.last)))
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((key,) for key in keys))
        found = "SELECT key, digest FROM output WHERE key = ?"
        return dict(pair for key in keys for pair in self._database.execute(found, (key,)))

    def unseen(self) -> Iterator[Key]:
        """The keys without ids that were never looked up."""
        if not self.by_ids:
            for (key,) in self._database.execute("SELECT key FROM output EXCEPT SELECT key FROM seen"):
                yield key

    def repeated(self) -> Iterator[Key]:
        """The keys that the output has more than once."""
        for (key,) in self._database.execute("SELECT DISTINCT key FROM again ORDER BY key"):
            yield key

    def populated(self, width: int) -> list[int]:
        """The numbers of the windows of that width that hold rows of the output, in order."""
        counted = "SELECT DISTINCT key / ? FROM output ORDER BY 1"
        return [number for (number,) in self._database.execute(counted, (width,))]

    def _read(self, rows: Iterable[Row]) -> None:
        batch: list[tuple[Key, bytes]] = []
        for row in rows:
            if not self.rows:
                self.by_ids = self._schema.key in row
                kind = "INTEGER" if self.by_ids else "TEXT"
                self._begin(kind)
            self.rows += 1
            self.columns.update(row)
            batch.append((self.key_of(row), self.digest_of(row)))
            if len(batch) == BATCH:
                self._add(batch)
        if not self.rows:
            self._begin("INTEGER")
        self._add(batch)

    def _begin(self, kind: str) -> None:
        self._database.execute("PRAGMA journal_mode = OFF")
        for table in (f"output (key {kind} PRIMARY KEY, digest BLOB)", "again (key)", "seen (key TEXT PRIMARY KEY)"):
            self._database.execute(f"CREATE TABLE {table}")

    def _add(self, batch: list[tuple[Key, bytes]]) -> None:
        self._database.execute("BEGIN")
        for pair in batch:
            if not self._database.execute("INSERT OR IGNORE INTO output VALUES (?, ?)", pair).rowcount:
                self._database.execute("INSERT INTO again VALUES (?)", pair[:1])
        self._database.execute("COMMIT")
        batch.clear()

    def _comparable(self, name: str) -> bool:
        return name not in self._schema.details

    def _one(self, query: str) -> Key | None:
        found: tuple[Key | None] = self._database.execute(query).fetchone()
        return found[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """Which ids to ask about, of all.

    Attributes:
        ranges: the ids, inclusive, in order.
        populated: windows among them in which the output has rows, and how many there are in all.
        empty: windows among them in which it has none.
        width: of the windows, in ids.
        end: the first id of the last range, from which on everything is asked for.
    """

    ranges: tuple[IdRange, ...]
    populated: tuple[int, int]
    empty: int
    width: int
    end: int

    def __str__(self) -> str:
        some, of = self.populated
        return (
            f"{some} of {of} windows of {self.width:,} ids that hold rows, {self.empty} of those that hold none, and "
            f"all from id {self.end} on"
        )


def sampled(index: Index, share: float, span: IdRange, seed: int) -> Sample:
    """Draw windows of ids: a share of those in which the output has rows, and some in which it has none.

    What is behind the output's last row is always asked for: that is where new rows come.

    Args:
        index: of the output.
        share: more than 0, at most 1.
        span: the ids that the dump covered, inclusive.
        seed: the same one draws the same windows.

    Raises:
        ValueError: the rows carry no id.
    """
    if not index.by_ids:
        raise ValueError("these rows carry no id, so none can be drawn from their ids: compare all, without a sample")
    for width in WIDTHS:
        windows = index.populated(width)
        if len(windows) >= ENOUGH_WINDOWS:
            break
    random = Random(seed)  # noqa: S311  no secret: an even spread
    chosen = set(random.sample(windows, min(len(windows), ceil(share * len(windows)))))
    populated = set(windows)
    top = max(int(index.last) if index.last is not None else -1, span.first - 1)
    first, beyond = span.first // width, max(windows, default=span.first // width - 1) + 1
    blank = (beyond - first) - len(windows)
    wanted = min(blank, max(FEWEST_EMPTY, ceil(share * len(windows) / 2)))
    empty: set[int] = set()
    while len(empty) < wanted:
        number = random.randrange(first, beyond)
        if number not in populated:
            empty.add(number)
    ranges = [IdRange(number * width, min(number * width + width - 1, top)) for number in sorted(chosen | empty)]
    if top < span.last:
        ranges.append(IdRange(top + 1, span.last))
    within = tuple(shared for one in ranges if (shared := one.intersection(span)))
    return Sample(within, (len(chosen), len(windows)), len(empty), width, top + 1)


def other_strategy(probed: ProbeReport, used: frozenset[str]) -> str:
    """The name of a strategy that holds and differs from those a dump used, as far as this server allows.

    Args:
        probed: the evidence about all strategies.
        used: the names of those that the dump used.

    >>> from magento_pager.walk.probing import ProbeReport, Trial
    >>> trials = [Trial(name, "", 3, 3, (), None, 0.1, "holds") for name in ("range", "alias", "in-list")]
    >>> probed = ProbeReport("salesOrderList", "range", 3, 5, tuple(trials))
    >>> other_strategy(probed, frozenset({"range"})), other_strategy(probed, frozenset({"in-list", "prefix"}))
    ('in-list', 'range')
    """
    holding = {trial.strategy for trial in probed.trials if trial.verdict == "holds"} | {"prefix"}
    alike = used | set(TWO_BOUNDS) if used & set(TWO_BOUNDS) else used
    for avoided in (alike, used):
        if (name := next((one for one in PREFERRED if one in holding and one not in avoided), None)) is not None:
            return name
    return "single-filter"


def differences(
    paginator: Paginator, index: Index, origin: Origin, tally: Tally, sample: Sample | None = None
) -> Iterator[Difference]:
    """What the shop and an output differ in, as it is found.

    Args:
        paginator: asks the shop for what the dump was asked for.
        index: of the output.
        origin: what is known of the dump.
        tally: takes the counts.
        sample: the ids to ask about; None for all.

    Raises:
        PagerError: the shop could not be asked to the end.
    """
    for found in _differences(paginator, index, origin, tally, sample):
        tally.found[found.kind] += 1
        tally.since[found.kind] += found.since
        yield found


def agreeing(origin: Origin, digest: Digest) -> int | None:
    """How many blocks of a million ids have the digest that the dump's report has for them; None where one differs.

    Args:
        origin: what is known of the dump.
        digest: of all of the shop's rows.
    """
    blocks = {one["first"]: one["digest"] for one in digest.as_json()}
    return len(blocks) if blocks == dict(origin.digests) else None


def _differences(
    paginator: Paginator, index: Index, origin: Origin, tally: Tally, sample: Sample | None
) -> Iterator[Difference]:
    began = text_of(origin.began) if origin.began else None
    for key in index.repeated():
        yield Difference("repeated", key)
    for page in paginator.pages() if sample is None else paginator.parts(sample.ranges):
        tally.rows += len(page.rows)
        tally.calls += page.stats.calls
        tally.unread += len(page.quarantined)
        if sample is None:
            tally.digest = tally.digest.plus(page.rows, paginator.id_field)
        yield from sorted(
            _on_page(page, index, origin, tally, began), key=lambda one: (isinstance(one.key, str), one.key)
        )
    if sample is None:
        for key in index.unseen():
            yield Difference("extra", key)


def _on_page(page: Page, index: Index, origin: Origin, tally: Tally, began: str | None) -> Iterator[Difference]:
    rows = {index.key_of(row): row for row in page.rows}
    held = index.lookup(page.window, rows)
    for key, row in rows.items():
        if key not in held:
            if key in origin.left_out:
                tally.left_out += 1
                continue
            yield _dated("missing", key, row.get("created_at"), began)
            continue
        tally.not_compared |= index.not_compared(row)
        if held[key] != index.digest_of_sent(row):
            yield _dated("changed", key, row.get("updated_at"), began)
    if index.by_ids:
        unread = {one.id for one in page.quarantined}
        for key in held.keys() - rows.keys() - unread:
            yield Difference("extra", key)


def _dated(kind: Kind, key: Key, at: str | None, began: str | None) -> Difference:
    """A difference, and whether it is later than the dump; times are the server's texts, which sort as they are."""
    return Difference(kind, key, at, since=bool(at and began and at >= began))


def _decimal(value: object) -> str:
    """A decimal without what only looks different: zeros at its end."""
    if isinstance(value, Decimal):
        return str(value.normalize())
    raise TypeError(f"{value!r} cannot be compared")
