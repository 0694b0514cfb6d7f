"""`verify`: compare an output with the shop, row by row, with another strategy than the dump's.

The output is indexed first, see `index`; then each page of the shop is compared with it. A row that only the shop has
is *missing*; a row that only the output has is *extra*, because a deleted row cannot be distinguished from one that
never existed. *Changed* rows have different content; *repeated* ones are in the output more than once. Rows that the
dump reported as skipped are not missing.

Typed values are compared where the output is typed, and only columns that both sides have; the others are named.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from magento_pager.errors import option
from magento_pager.export.digests import Digest
from magento_pager.export.index import Index, draw_sample
from magento_pager.export.layout import spec_of
from magento_pager.export.report import Report
from magento_pager.export.stored import Stored, stored
from magento_pager.walk.changes import format_timestamp
from magento_pager.walk.conditions import Condition
from magento_pager.walk.evidence import independent_strategy
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID, IdRange, read_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from magento_pager.export.index import Key, Sample
    from magento_pager.lists import ColumnSet, ListName, WireName
    from magento_pager.pager import Pager
    from magento_pager.walk.bounds import Where
    from magento_pager.walk.names import StrategyName
    from magento_pager.walk.pages import Page
    from magento_pager.walk.strategies import Strategy

Kind: TypeAlias = Literal["missing", "extra", "changed", "repeated"]

KEPT = 1_000
"""Differences that a `Verification` keeps: without a limit, its size would grow with the list."""
MAX_NAMED = 5  # columns named in a line


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs between the output and the shop.

    Attributes:
        kind: "missing", "extra", "changed" or "repeated".
        key: its id, or its identity where rows carry no id.
        at: for a missing row the server's time of creation, for a changed row that of its update; None if unknown.
        since: True where that was after the start of the dump, which could not have the change.

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
                text = "not in the shop; possibly deleted since the dump"
            case "repeated":
                text = "more than once in the output"
            case _ if self.at:
                text = f"{'created' if self.kind == 'missing' else 'updated'} {self.at}"
                text += ", since the dump" if self.since else ""
            case _:
                text = ""
        return f"{self.kind:<8}  {self.key}  {text}".rstrip()


@dataclass(frozen=True, slots=True)
class Origin:
    """Facts about the dump that made an output.

    Attributes:
        strategies: names of the strategies that returned its rows; empty if unknown.
        began: time at which the dump began, by the server's clock; None if unknown.
        skipped: ids of the rows that it skipped.
        repaired: True where characters were removed from some rows.
        digests: digest of each block of a million ids, by first id, which is None for rows that carry no id.
        query: its query, as in a `Fingerprint`; empty if unknown.
        reported: True where all this comes from a report.
    """

    strategies: frozenset[str] = frozenset()
    began: datetime | None = None
    skipped: frozenset[int] = frozenset()
    repaired: bool = False
    digests: Mapping[int | None, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    reported: bool = False

    @classmethod
    def of(cls, report: str | Path | Report | Mapping[str, Any] | None, path: Path) -> Origin:
        """Return the facts in the report of a dump; without a report, only the time of the output.

        Raises:
            ValueError: it is not a report, or its dump is incomplete or has only changes.
        """
        if report is None:
            return cls(began=datetime.fromtimestamp(path.stat().st_mtime, UTC))
        content: Any = report.as_json() if isinstance(report, Report) else report
        name = "The report"
        if isinstance(report, str | Path):
            name = str(report)
            try:
                content = json.loads(Path(report).read_bytes())
            except (ValueError, RecursionError):
                raise ValueError(f"{name} is not a report of a dump: it is not JSON.") from None
        try:
            began = datetime.fromisoformat(content["began"]) if content.get("began") else None
            query = content.get("asked") or {}
            ids, where = [query.get(bound, 0) for bound in ("first", "last")], query.get("where", [])
            if not all(isinstance(bound, int) for bound in ids) or not all(isinstance(text, str) for text in where):
                raise TypeError  # noqa: TRY301  caught right below
            if began:
                format_timestamp(began)  # refuses a time without a zone
            origin = cls(
                frozenset(content["strategy"].split(" + ")) - {""},
                began,
                frozenset(read_id(row["id"]) for row in content["quarantined"]),
                bool(content.get("repaired")),
                {block["first"]: str(block["digest"]) for block in content["digests"]},
                query,
                reported=True,
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError(f"{name} is not a report of a dump.") from None
        if not content.get("complete", True):
            raise ValueError(f"{name} is of a dump that is not complete. Resume the dump before you verify it.")
        if query.get("since"):
            raise ValueError(f"{path} has only the rows changed since {query['since']}. Verify a dump of all rows.")
        return origin


@dataclass(slots=True)
class Tally:
    """Counts of a verification so far; see `Verification`.

    Attributes:
        not_compared: columns that only the shop's rows have.
        digest: of the shop's rows.
    """

    rows: int = 0
    calls: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    since: Counter[Kind] = field(default_factory=Counter)
    skipped: int = 0
    unread: int = 0
    not_compared: set[str] = field(default_factory=set)
    digest: Digest = field(default_factory=Digest)

    def count(self, difference: Difference) -> Difference:
        """Count a difference, and return it."""
        self.counts[difference.kind] += 1
        self.since[difference.kind] += difference.since
        return difference


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of comparing an output with the shop. As text, it is the summary in `lines`.

    Attributes:
        entity: the list.
        rows: number of the shop's rows that were compared.
        held: number of rows in the output.
        calls: requests answered.
        strategy: the strategy that read the shop.
        counts: number of differences of each kind, without kinds that do not occur.
        since: how many of them happened after the dump began.
        left_out: number of rows that the dump skipped and reported.
        unread: number of rows that the shop cannot send.
        differences: the first 1,000; the argument `found` of `verify` receives all.
        lines: the summary: what was compared and what was not, and in the last line the result.

    >>> Verification("orders", 3, 3, 4, "prefix", {}, {}, 0, 0, (), ("no differences",)).ok
    True
    """

    entity: ListName
    rows: int
    held: int
    calls: int
    strategy: str
    counts: Mapping[Kind, int]
    since: Mapping[Kind, int]
    left_out: int
    unread: int
    differences: tuple[Difference, ...]
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True where there is no difference."""
        return not self.counts

    @property
    def complete(self) -> bool:
        """True where the output was complete when the dump began: each difference is later, or may be a deletion."""
        return sum(self.counts.values()) == sum(self.since.values()) + self.counts.get("extra", 0)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def verify(
    pager: Pager | Paginator,
    path: str | Path | Stored,
    name: ListName | None = None,
    *,
    report: str | Path | Report | Mapping[str, Any] | Origin | None = None,
    sample: float | None = None,
    seed: int | None = None,
    strategy: StrategyName | Strategy = "auto",
    where: Where | None = None,
    first: int | None = None,
    last: int | None = None,
    wire: WireName | None = None,
    columns: ColumnSet | None = None,
    found: Callable[[Difference], object] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Verification:
    """Compare the output of a dump with the shop, row by row, with another strategy than the dump's.

    Args:
        pager: of the shop; or, for another SOAP service, a paginator with the query of the dump.
        path: the finished output: a file, or the folder of a Parquet dump.
        name: name of the list; None to find it from the columns, or from the only table of an SQLite file.
        report: the dump's report: the path of its file, or what `dump` returned. It tells which strategies returned
            the rows, the query, which rows were skipped, and when the dump began; without it, the file's time is used.
        sample: fraction of all windows of ids to compare, more than 0 and at most 1; None for all rows.
        seed: with `sample`, the same seed draws the same windows; None for new ones each time.
        strategy: strategy to read the shop with; "auto" for one that the dump did not use and the server honours.
        where: the conditions of the dump; None for those in the report, or for none.
        first: the first id of the dump, inclusive; None for that in the report, or 0.
        last: the last id of the dump, inclusive; None for that in the report, or the highest possible id.
        wire: the protocol, as in `Pager.list`.
        columns: the columns of the shop's rows, as in `Pager.list`; None for those in the report, or for all that the
            protocol sends.
        found: called with each difference when it is found.
        progress: called before each step and after each page with a line of text, such as "Comparing ids 1 to 300: 275
            of about 2,000 rows".

    Raises:
        FileNotFoundError: there is no such output or report.
        ValueError: magento-pager did not write the output, its list cannot be found out, or its rows cannot be
            identified; the report is invalid, of another list or of an incomplete dump; or an argument is invalid.
        PagerError: the shop could not be read to the end.
    """
    if sample is not None and not 0 < sample <= 1:
        raise ValueError(f"A sample must be more than 0 and at most 1, not {sample}.")
    spec = spec_of(pager) if isinstance(pager, Paginator) else None
    file = path if isinstance(path, Stored) else stored(path, name, spec)
    origin = report if isinstance(report, Origin) else Origin.of(report, file.path)
    if (reported := origin.query.get("entity", file.entity)) != file.entity:
        raise ValueError(
            f"The report is of a dump of {reported}, but {file.path} has {file.entity}. Use the report of that dump."
        )
    if isinstance(pager, Paginator):
        if strategy != "auto" or (name, where, wire, columns) != (None, None, None, None):
            raise ValueError(
                "A paginator already has its list, strategy, conditions, protocol and columns. Do not pass them."
            )
        paginator = replace(
            pager, first=pager.first if first is None else first, last=pager.last if last is None else last
        )
    else:
        paginator = pager.list(
            file.entity,
            strategy=strategy,
            first=origin.query.get("first", 0) if first is None else first,
            last=origin.query.get("last", MAX_ID) if last is None else last,
            where=map(Condition.parse, origin.query.get("where", ())) if where is None else where,
            repair=origin.repaired,
            password_hash=True,  # the output may have it
            wire=wire,
            columns="all" if columns is None and origin.query.get("all_columns") else columns,
        )
    progress(f"Testing strategies on {file.entity}...")
    paginator, strategies = _with_other_strategy(paginator.settled(), origin)
    kept: list[Difference] = []
    tally = Tally()
    progress(f"Reading {file.path}...")
    with Index(file, file.layout.schema, typed=file.typed, list_columns=partial(_columns, paginator)) as index:
        chosen = None
        if sample is not None:
            seed = SystemRandom().randrange(1 << 32) if seed is None else seed
            chosen = draw_sample(index, sample, IdRange(paginator.first, paginator.last), seed)
        for difference in differences(paginator, index, origin, tally, chosen, progress=progress):
            if len(kept) < KEPT:
                kept.append(difference)
            if found is not None:
                found(difference)
        return Verification(
            file.entity,
            tally.rows,
            index.rows,
            tally.calls,
            strategies.partition(" ")[0],
            dict(tally.counts),
            {kind: count for kind, count in tally.since.items() if count},
            tally.skipped,
            tally.unread,
            tuple(kept),
            (*_summary(file, index, origin, tally, chosen, strategies=strategies), _verdict(origin, tally, chosen)),
        )


def differences(
    paginator: Paginator,
    index: Index,
    origin: Origin,
    tally: Tally,
    sample: Sample | None = None,
    *,
    progress: Callable[[str], object] = lambda _: None,
) -> Iterator[Difference]:
    """Yield each difference between the shop and an output as it is found, and count it in `tally`.

    The paginator has the query of the dump; with a sample, only its ids are read.
    """
    for key in index.repeated():
        yield tally.count(Difference("repeated", key))
    for page in paginator.pages() if sample is None else paginator.parts(sample.ranges):
        tally.rows += len(page.rows)
        tally.calls += page.stats.calls
        tally.unread += len(page.quarantined)
        total = f" of about {index.rows:,}" if sample is None else ""
        progress(f"Comparing ids {page.window.first:,} to {page.window.last:,}: {tally.rows:,}{total} rows")
        if sample is None:
            tally.digest = tally.digest.plus(page.rows, paginator.id_field)
        page_differences = _on_page(page, index, origin, tally)
        yield from map(tally.count, sorted(page_differences, key=lambda row: (isinstance(row.key, str), row.key)))
    for key, known in index.unmatched() if sample is None else ():
        yield tally.count(Difference("repeated" if known else "extra", key))


def _on_page(page: Page, index: Index, origin: Origin, tally: Tally) -> Iterator[Difference]:
    began = format_timestamp(origin.began) if origin.began else None

    def dated(kind: Kind, key: Key, at: str | None) -> Difference:
        return Difference(
            kind, key, at, since=bool(at and began and at >= began)
        )  # times as text sort in order of time

    rows = {index.key_of(row): row for row in page.rows}
    sent = {key: index.digest_of_shop_row(row) for key, row in rows.items()}
    output = index.lookup(page.window, sent)
    # Skipped rows are listed by id, but rows without ids can only be counted: this many of the window were skipped.
    unlisted = (
        sum(number in page.window for number in origin.skipped) - len(page.quarantined) if not index.by_ids else 0
    )
    for key, row in rows.items():
        if key in output:
            tally.not_compared |= row.keys() - index.columns
            if output[key] != sent[key]:
                yield dated("changed", key, row.get("updated_at"))
        elif key in origin.skipped or unlisted > 0:
            tally.skipped += 1
            unlisted -= 1
        else:
            yield dated("missing", key, row.get("created_at"))
    if index.by_ids:
        for key in output.keys() - rows.keys() - {row.id for row in page.quarantined}:
            yield Difference("extra", key)


def _columns(paginator: Paginator) -> frozenset[str]:
    """Return the columns of the first rows of a list."""
    rows = next((page.rows for page in paginator.pages() if page.rows), ())
    return frozenset().union(*rows)


def matching_blocks(origin: Origin, digest: Digest) -> int | None:
    """Return the number of blocks of a million ids if all have the digests in the dump's report; None otherwise."""
    blocks = {block["first"]: block["digest"] for block in digest.as_json()}
    return len(blocks) if blocks == dict(origin.digests) else None


def _with_other_strategy(paginator: Paginator, origin: Origin) -> tuple[Paginator, str]:
    """Return the paginator with a strategy that the dump did not use, unless it has one; and both names, as text."""
    if paginator.strategy is not None:
        return paginator, paginator.strategy.name
    probed = paginator.probe(exhaustive=True)
    used = origin.strategies or frozenset({probed.chosen or "prefix"})
    name = independent_strategy(probed, used)
    by_name = {strategy.name: strategy for strategy in paginator.candidates}
    dumped = " and ".join(sorted(used)) if origin.strategies else f"{probed.chosen or 'prefix'}, presumably"
    return replace(paginator, strategy=by_name[name]), f"{name} (dumped by {dumped})"


def _summary(
    file: Stored, index: Index, origin: Origin, tally: Tally, sample: Sample | None, *, strategies: str
) -> Iterator[str]:
    """Yield lines that tell what was compared and what was not."""
    if sample is not None:
        yield f"sample: {sample}"
    if details := index.columns.intersection(file.layout.schema.details):
        yield f"not compared, because rows of the list do not have them: {_named(details)}"
    if tally.not_compared:
        yield f"not compared, because the file does not have them: {_named(tally.not_compared)}"
    if tally.unread:
        yield f"not compared, because the shop cannot send them: {tally.unread} rows"
    if tally.skipped:
        yield f"skipped by the dump, according to its report: {tally.skipped} rows"
    if sample is None and origin.digests and (blocks := matching_blocks(origin, tally.digest)) is not None:
        yield f"the digests of all {blocks} blocks of a million ids match the dump's report"
    ids = ", ids {} to {}".format(*index.bounds) if index.by_ids and index.bounds else ""
    rows = f"{tally.rows} {file.entity} in the shop with {index.rows} in {file.path}{ids}"
    yield f"compared {rows}, by {strategies}, {tally.calls} calls"


def _verdict(origin: Origin, tally: Tally, sample: Sample | None) -> str:
    """Return the result, in one line."""
    began = origin.began.isoformat(timespec="seconds").replace("+00:00", "Z") if origin.began else "its beginning"
    if not (origin.reported and origin.began):
        began += f" (the time of the file; for that of the dump, set {option('report')})"
    scope = "" if sample is None else ", for the ids of the sample"
    counts = ", ".join(
        f"{count} {kind}" + (f" ({tally.since[kind]} since then)" if tally.since[kind] else "")
        for kind, count in tally.counts.items()
    )
    if not counts:
        return f"no differences: complete as of {began}{scope}"
    if tally.counts.total() == tally.since.total() + tally.counts["extra"]:
        return f"complete as of {began}{scope}, and since then the shop has changed: {counts}"
    return f"different: {counts}"


def _named(columns: set[str]) -> str:
    more = len(columns) - MAX_NAMED
    return ", ".join(sorted(columns)[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
