"""`verify`: does an output hold what the shop holds? Row by row, through other queries than those it came by.

An output is indexed first, see `index`; then each page of the shop is held against it. A row that only the shop has is
*missing*; one that only the output has is *extra*: nobody can tell a deleted row from one that never was. Rows that are
*changed* have different content; *repeated* ones are in the output more than once. A row that the dump left out by name
is not missing.

Values are compared where the output is typed, and the columns that both sides have; the others are named.
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
"""Differences that a `Verification` holds: with more, it would grow with the list."""
NAMED = 5  # columns in a line


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
        reported: True where a report says all this.
    """

    strategies: frozenset[str] = frozenset()
    began: datetime | None = None
    left_out: frozenset[int] = frozenset()
    repaired: bool = False
    digests: Mapping[int | None, str] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    reported: bool = False

    @classmethod
    def of(cls, report: str | Path | Report | Mapping[str, Any] | None, path: Path) -> Origin:
        """Return what a report says of a dump that can be compared; without one, that it was made when its output was.

        Raises:
            ValueError: it is no report, or that of a dump which is not complete or brought only changes.
        """
        if report is None:
            return cls(began=datetime.fromtimestamp(path.stat().st_mtime, UTC))
        said: Any = report.as_json() if isinstance(report, Report) else report
        named = "the report"
        if isinstance(report, str | Path):
            named = str(report)
            try:
                said = json.loads(Path(report).read_bytes())
            except (ValueError, RecursionError):
                raise ValueError(f"{named}: that is no report of a dump, for it is no JSON") from None
        try:
            began = datetime.fromisoformat(said["began"]) if said.get("began") else None
            asked = said.get("asked") or {}
            bounds, where = [asked.get(one, 0) for one in ("first", "last")], asked.get("where", [])
            if not all(isinstance(one, int) for one in bounds) or not all(isinstance(one, str) for one in where):
                raise TypeError  # noqa: TRY301  caught right below
            if began:
                format_timestamp(began)  # refuses a time without a zone
            origin = cls(
                frozenset(said["strategy"].split(" + ")) - {""},
                began,
                frozenset(read_id(one["id"]) for one in said["quarantined"]),
                bool(said.get("repaired")),
                {one["first"]: str(one["digest"]) for one in said["digests"]},
                asked,
                reported=True,
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ValueError(f"{named}: that is no report of a dump") from None
        if not said.get("complete", True):
            raise ValueError(f"{named} says that the dump is not complete: go on with it before it is compared")
        if asked.get("since"):
            raise ValueError(f"{path} holds only what changed since {asked['since']}: compare a whole dump")
        return origin


@dataclass(slots=True)
class Tally:
    """What a verification has come to so far; see `Verification`.

    Attributes:
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

    def counted(self, found: Difference) -> Difference:
        """Count a difference, and return it."""
        self.found[found.kind] += 1
        self.since[found.kind] += found.since
        return found


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison of an output with the shop came to. Its text is an account of it, in lines.

    Attributes:
        entity: the list.
        rows: of the shop that were compared.
        held: rows of the output.
        calls: requests answered.
        strategy: how the shop was asked.
        counts: differences of each kind; only of those that there are.
        since: those of them that came about after the dump began.
        left_out: rows that the dump left out, and said so.
        unread: rows that the shop cannot send.
        differences: the first 1,000; `found` of `verify` is given all.
        lines: the account: what was compared and what not, and in the last line what came of it.
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
        """True where nothing differs."""
        return not self.counts

    @property
    def complete(self) -> bool:
        """True where the output was complete when the dump began: all that differs is later, or a deletion perhaps."""
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
) -> Verification:
    """Compare an output of a dump with the shop, row by row, through another strategy than the dump's.

    Args:
        pager: of the shop; or a paginator of the list, which is not Magento's, that asks for what the dump asked for.
        path: the finished output: a file, or the folder of a Parquet dump.
        name: the list it is of; None to see it from its columns, or from the one table that a SQLite file has.
        report: of the dump: the path of its file, or what `dump` returned. It says by which strategies the rows came,
            which were asked for, which were left out, and when the dump began; without it that is the output's time.
        sample: compare so much of all windows of ids, more than 0 and at most 1; None for all rows.
        seed: with `sample`, draw the same windows as another run did; None for others each time.
        strategy: how the shop is asked; "auto" for one that the dump did not use and the server honours.
        where: the conditions of the dump, where there is no report; None for those of the report, or for none.
        first: the first id of the dump, inclusive; None for that of the report, or 0.
        last: the last id of the dump, inclusive; None for that of the report, or the last there can be.
        wire: the protocol, as of `Pager.list`.
        columns: those of the shop's rows, likewise; None for those of the report, or for what the wire sends.
        found: is called with each difference as it is found.

    Raises:
        FileNotFoundError: there is no such output or report.
        ValueError: the output is none of ours, its list cannot be seen, its rows cannot be told apart, the report is
            none, of another list or of a dump that is not whole; or an option that cannot be right.
        PagerError: the shop could not be asked to the end.
    """
    if sample is not None and not 0 < sample <= 1:
        raise ValueError(f"a sample is more than 0 and at most 1 of all, not {sample}")
    spec = spec_of(pager) if isinstance(pager, Paginator) else None
    file = path if isinstance(path, Stored) else stored(path, name, spec)
    origin = report if isinstance(report, Origin) else Origin.of(report, file.path)
    if (reported := origin.asked.get("entity", file.entity)) != file.entity:
        raise ValueError(
            f"the report is of a dump of {reported}, and {file.path} holds {file.entity}: give its own report"
        )
    if isinstance(pager, Paginator):
        if strategy != "auto" or (name, where, wire, columns) != (None, None, None, None):
            raise ValueError("a paginator says itself which list, strategy, conditions and columns are meant")
        paginator = replace(
            pager, first=pager.first if first is None else first, last=pager.last if last is None else last
        )
    else:
        paginator = pager.list(
            file.entity,
            strategy=strategy,
            first=origin.asked.get("first", 0) if first is None else first,
            last=origin.asked.get("last", MAX_ID) if last is None else last,
            where=map(Condition.parse, origin.asked.get("where", ())) if where is None else where,
            repair=origin.repaired,
            password_hash=True,  # the output may have them
            wire=wire,
            columns="all" if columns is None and origin.asked.get("all_columns") else columns,
        )
    paginator, how = _other_way(paginator.settled(), origin)
    kept: list[Difference] = []
    tally = Tally()
    with Index(file, file.layout.schema, typed=file.typed, sent=partial(_columns, paginator)) as index:
        drawn = None
        if sample is not None:
            seed = SystemRandom().randrange(1 << 32) if seed is None else seed
            drawn = draw_sample(index, sample, IdRange(paginator.first, paginator.last), seed)
        for one in differences(paginator, index, origin, tally, drawn):
            if len(kept) < KEPT:
                kept.append(one)
            if found is not None:
                found(one)
        return Verification(
            file.entity,
            tally.rows,
            index.rows,
            tally.calls,
            how.partition(" ")[0],
            dict(tally.found),
            {kind: count for kind, count in tally.since.items() if count},
            tally.left_out,
            tally.unread,
            tuple(kept),
            (*_account(file, index, origin, tally, drawn, how=how), _verdict(origin, tally, drawn)),
        )


def differences(
    paginator: Paginator, index: Index, origin: Origin, tally: Tally, sample: Sample | None = None
) -> Iterator[Difference]:
    """Yield what the shop and an output differ in, as it is found, and count it in `tally`.

    The paginator asks the shop for what the dump was asked for; of a sample, only for its ids.
    """
    for key in index.repeated():
        yield tally.counted(Difference("repeated", key))
    for page in paginator.pages() if sample is None else paginator.parts(sample.ranges):
        tally.rows += len(page.rows)
        tally.calls += page.stats.calls
        tally.unread += len(page.quarantined)
        if sample is None:
            tally.digest = tally.digest.plus(page.rows, paginator.id_field)
        found = _on_page(page, index, origin, tally)
        yield from map(tally.counted, sorted(found, key=lambda one: (isinstance(one.key, str), one.key)))
    for key, known in index.unseen() if sample is None else ():
        yield tally.counted(Difference("repeated" if known else "extra", key))


def _on_page(page: Page, index: Index, origin: Origin, tally: Tally) -> Iterator[Difference]:
    began = format_timestamp(origin.began) if origin.began else None

    def dated(kind: Kind, key: Key, at: str | None) -> Difference:
        return Difference(kind, key, at, since=bool(at and began and at >= began))  # texts of times sort as they are

    rows = {index.key_of(row): row for row in page.rows}
    sent = {key: index.digest_of_sent(row) for key, row in rows.items()}
    held = index.lookup(page.window, sent)
    # Rows without ids were left out by their ids: so many of the window.
    unnamed = sum(one in page.window for one in origin.left_out) - len(page.quarantined) if not index.by_ids else 0
    for key, row in rows.items():
        if key in held:
            tally.not_compared |= row.keys() - index.columns
            if held[key] != sent[key]:
                yield dated("changed", key, row.get("updated_at"))
        elif key in origin.left_out or unnamed > 0:
            tally.left_out += 1
            unnamed -= 1
        else:
            yield dated("missing", key, row.get("created_at"))
    if index.by_ids:
        for key in held.keys() - rows.keys() - {one.id for one in page.quarantined}:
            yield Difference("extra", key)


def _columns(paginator: Paginator) -> frozenset[str]:
    """Return the columns that the first rows of a list have."""
    rows = next((page.rows for page in paginator.pages() if page.rows), ())
    return frozenset().union(*rows)


def matching_blocks(origin: Origin, digest: Digest) -> int | None:
    """Return how many blocks of a million ids have the digest of the dump's report; None where one differs."""
    blocks = {one["first"]: one["digest"] for one in digest.as_json()}
    return len(blocks) if blocks == dict(origin.digests) else None


def _other_way(paginator: Paginator, origin: Origin) -> tuple[Paginator, str]:
    """The paginator with a strategy, one that a dump did not use where none is given; and which that is, in words."""
    if paginator.strategy is not None:
        return paginator, paginator.strategy.name
    probed = paginator.probe(exhaustive=True)
    used = origin.strategies or frozenset({probed.chosen or "prefix"})
    name = independent_strategy(probed, used)
    by_name = {one.name: one for one in paginator.candidates}
    dumped = " and ".join(sorted(used)) if origin.strategies else f"{probed.chosen or 'prefix'}, as a dump would be"
    return replace(paginator, strategy=by_name[name]), f"{name} (dumped by {dumped})"


def _account(
    file: Stored, index: Index, origin: Origin, tally: Tally, sample: Sample | None, *, how: str
) -> Iterator[str]:
    """What was compared, and what was not."""
    if sample is not None:
        yield f"sample: {sample}"
    if alone := index.columns.intersection(file.layout.schema.details):
        yield f"not compared, as lists do not bring them: {_named(alone)}"
    if tally.not_compared:
        yield f"not compared, as the file does not have them: {_named(tally.not_compared)}"
    if tally.unread:
        yield f"not compared, as the shop cannot send them: {tally.unread} rows"
    if tally.left_out:
        yield f"left out by the dump, as its report says: {tally.left_out} rows"
    if sample is None and origin.digests and (blocks := matching_blocks(origin, tally.digest)) is not None:
        yield f"the digests of all {blocks} blocks of a million ids are those of the dump's report"
    ids = ", ids {} to {}".format(*index.bounds) if index.by_ids and index.bounds else ""
    what = f"{tally.rows} {file.entity} of the shop against the {index.rows} of {file.path}{ids}, by {how}"
    yield f"compared {what}, {tally.calls} calls"


def _verdict(origin: Origin, tally: Tally, sample: Sample | None) -> str:
    """The one line that matters."""
    began = origin.began.isoformat(timespec="seconds").replace("+00:00", "Z") if origin.began else "its beginning"
    if not (origin.reported and origin.began):
        began += f" (the file's own time; give {option('report')} for the dump's)"
    scope = "" if sample is None else ", as far as the sample goes"
    counts = ", ".join(
        f"{count} {kind}" + (f" ({tally.since[kind]} since then)" if tally.since[kind] else "")
        for kind, count in tally.found.items()
    )
    if not counts:
        return f"no differences: complete as of {began}{scope}"
    if tally.found.total() == tally.since.total() + tally.found["extra"]:
        return f"complete as of {began}{scope}, and since then the shop has changed: {counts}"
    return f"different: {counts}"


def _named(columns: set[str]) -> str:
    more = len(columns) - NAMED
    return ", ".join(sorted(columns)[:NAMED]) + (f" and {more} more" if more > 0 else "")
