"""Checkpoints: how far a dump is safe, in one small file beside its output.

A checkpoint is one frozen value, replaced as a whole: on disk there is the old one or the new one, never half of one.
It holds no key, no session and no password.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from magento_pager.errors import CheckpointMismatchError, option
from magento_pager.export.digests import Block, Digest
from magento_pager.export.files import replace_file
from magento_pager.walk.conditions import Condition
from magento_pager.walk.pages import Bounds, Changes, Cursor, Misfit, Quarantined
from magento_pager.walk.ranges import IdRange, read_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from magento_pager.walk.pages import Page, Row

KIND, VERSION = "magento-pager checkpoint", 3
MAX_MARKS = 64
MISFITS_NAMED = 10
"""Values of a column that are kept, of those that did not fit; the others are counted."""


def shop_key(shop: str) -> str:
    """Return what all spellings of where a shop's calls go have in common: host, port, and path but for its end.

    >>> shop_key("http://Shop.example:80/index.php/api/v2_soap/"), shop_key("https://shop.example/api/v2_soap/index/")
    ('shop.example', 'shop.example')
    >>> shop_key("https://shop.example:8443/de/api.php"), shop_key("the demo 1.7.0.2 wsi")
    ('shop.example:8443/de', 'the demo 1.7.0.2 wsi')
    """
    parts = urlsplit(shop)
    if parts.scheme not in {"http", "https"}:
        return shop
    host = parts.netloc.lower().removesuffix(":80" if parts.scheme == "http" else ":443").removesuffix(".")
    path = re.sub(r"/index\.php(?=/|$)|//+", "", parts.path)
    return host + re.sub(r"(/api(/\w+)?(/index)*|/[\w.-]+\.php)?/*$", "", path)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was asked for, and not how: a dump can only be resumed by one that asks for the same.

    Attributes:
        shop: where calls go, without user, password and query.
        entity: the list.
        first: the first id, inclusive.
        last: the last id, inclusive.
        where: the user's conditions, as FIELD:OP:VALUE, sorted: all must hold, in whatever order.
        format: of the output, with `.gz` where it is gzipped.
        columns: those that were chosen, in order; none for all.
        typed: True where values are written and not the server's text.
        password_hash: True where rows have that column.
        details: True where rows are records in full.
        since: the time from which on rows changed, in ISO 8601; empty for all rows.
        new_from: the first id of rows that came whenever they changed; None where only the time counted.
        all_columns: True where rows have the columns that the shop's WSDL does not declare.
    """

    shop: str
    entity: str
    first: int
    last: int
    where: tuple[str, ...] = ()
    format: str = "ndjson"
    columns: tuple[str, ...] = ()
    typed: bool = False
    password_hash: bool = False
    details: bool = False
    since: str = ""
    new_from: int | None = None
    all_columns: bool = False

    def differences(self, asked: Fingerprint) -> tuple[str, ...]:
        """Return what this one says and what is asked, for each part in which they differ.

        >>> one = Fingerprint("https://shop.example/", "orders", 0, 500)
        >>> one.differences(replace(one, shop="http://shop.example/index.php/", last=900, where=("status:eq:new",)))
        ('last was 500 and is now 900', 'where was nothing and is now status:eq:new')
        """
        before, now = asdict(self), asdict(asked)
        same = shop_key(self.shop) == shop_key(asked.shop)
        parts = (part for part in before if before[part] != now[part] and not (part == "shop" and same))
        return tuple(f"{part} was {_shown(before[part])} and is now {_shown(now[part])}" for part in parts)


@dataclass(frozen=True, slots=True)
class Counters:
    """What was delivered and what it cost, over all runs of a dump.

    Attributes:
        rows: rows delivered.
        pages: pages, empty ones included.
        calls: requests answered, samples included.
        empty_calls: those that brought no row.
        checks: those that checked others.
        new: rows of ids from `new_from` on.
        bytes: of all replies, decompressed.
        seconds: from the beginning to the last page, without the time between two runs.
        strategies: the names of those that carried rows: one, or more where the server changed in the middle.
        first_id: the lowest id delivered; None where rows carry none.
        last_id: the highest id delivered; None where rows carry none.
        verified: "ids" where every row was checked by its own id; "sampled" where rows carry none, so that only their
            being unlike each other could be; "twice" where two strategies brought every row.
    """

    rows: int = 0
    pages: int = 0
    calls: int = 0
    empty_calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    strategies: tuple[str, ...] = ()
    first_id: int | None = None
    last_id: int | None = None
    verified: str = "ids"
    checks: int = 0
    new: int = 0

    def _verified(self, page: Page) -> str:
        if page.stats.twice and (self.verified == "twice" or not self.rows):
            return "twice"
        return "ids" if page.stats.by_ids and self.verified != "sampled" else "sampled"

    def after(self, page: Page, rows: Sequence[Row], ids: Collection[int], new_from: int | None) -> Counters:
        """Return these with the rows that were taken of a page, and their ids where they carry some."""
        carried = page.stats.strategy
        known = carried in self.strategies or (self.strategies and not rows)
        new = new_from is not None and page.window.first >= new_from  # no page is of both kinds
        return replace(
            self,
            rows=self.rows + len(rows),
            pages=self.pages + 1,
            calls=self.calls + page.stats.calls,
            empty_calls=self.empty_calls + page.stats.empty_calls,
            checks=self.checks + page.stats.checks,
            strategies=self.strategies if known else (*self.strategies, carried),
            first_id=min((one for one in (self.first_id, *ids) if one is not None), default=None),
            last_id=max((one for one in (self.last_id, *ids) if one is not None), default=None),
            verified=self._verified(page) if rows else self.verified,
            new=self.new + len(rows) * new,
        )


@dataclass(frozen=True, slots=True)
class Misfits:
    """The invalid values of a column, which are null in the output: how many, and the first `MISFITS_NAMED`."""

    column: str
    count: int
    first: tuple[Misfit, ...]

    def __str__(self) -> str:
        words = ", ".join(f"id {one.id}: {one.value!r}" for one in self.first)
        return f"{self.column} of {self.count} ({words}{', ...' if self.count > len(self.first) else ''})"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a dump is safe, and all that must survive to resume there.

    Attributes:
        fingerprint: what was asked for.
        cursor: where the walk resumes.
        offset: how much of the output counts, in its own measure: bytes of a file, parts of a folder. What is beyond
            was written after this was saved.
        counters: what was delivered so far, and what it cost.
        quarantined: rows that were skipped, each with the reason, by id.
        repaired: ids of rows that were readable only after characters were taken out that XML forbids.
        digest: of all rows so far.
        reached: no row that was met is above this id; exact where rows carry ids, else the end of a window.
        marks: pairs (id, offset), both rising: rows with that id or a higher one were written from that offset on. At
            most `MAX_MARKS`, the older the sparser; they say where to read the output back from.
        misfits: invalid values, by column.
        changes: how the server was told to send only what changed; None where all rows are wanted.
        bounds: how the server was told each range among the conditions.
        began: when the first run began, by the server's clock, in ISO 8601; empty where it does not say.
        url: the shop's address as it was given, without user, password and query: who gives it again means the same
            shop, and need not ask that shop where its calls go.
        checksum: CRC-32 of the bytes that count, against accidents and not against attackers; 0 in a database. No part
            of what makes two checkpoints equal: it is known only once the bytes are safe.
        details: the way by which records in full came last, and why it is no faster one; None without them.
        length: bytes of the finished output on disk; None as long as it is not finished, and in a database.
        met: a row with this id or a higher one came; exact where rows carry ids. -1 where none came.
        wire: the protocol by which rows came last, see `ListSource.used`; None where there is only one.
    """

    fingerprint: Fingerprint
    cursor: Cursor
    offset: int = 0
    counters: Counters = field(default_factory=Counters)
    quarantined: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()
    digest: Digest = field(default_factory=Digest)
    reached: int = -1
    marks: tuple[tuple[int, int], ...] = ()
    misfits: tuple[Misfits, ...] = ()
    changes: Changes | None = None
    bounds: tuple[Bounds, ...] = ()
    began: str = ""
    url: str = ""
    checksum: int = field(default=0, compare=False)
    length: int | None = None
    details: Mapping[str, str | None] | None = None
    met: int = -1
    wire: Mapping[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """True once every id that was asked for is covered."""
        return self.cursor.next_id > self.cursor.last_id

    def after(self, page: Page, id_field: str, offset: int, late: Sequence[Row] | None = None) -> Checkpoint:
        """Return this with a page that is safe now. What it says of its window replaces what was said before.

        Args:
            page: the page behind the cursor; or one of ids that were covered before.
            id_field: what its rows call the key.
            offset: of the output with its rows in it.
            late: of a page that was covered before, the rows that the output did not have.
        """
        rows = page.rows if late is None else late
        ids = {read_id(row[id_field]) for row in rows if id_field in row} if page.stats.by_ids else set()
        elsewhere = [one for one in self.quarantined if one.id not in page.window]
        repaired = {*self.repaired, *(one for one in page.repaired if not page.stats.by_ids or one in ids)}
        taken = replace(
            self,
            offset=offset,
            counters=self.counters.after(page, rows, ids, self.fingerprint.new_from),
            quarantined=tuple(sorted((*elsewhere, *page.quarantined), key=lambda one: one.id)),
            repaired=tuple(sorted(repaired)),
            digest=self.digest.plus(rows, id_field),
            reached=max(self.reached, max(ids, default=page.window.last if rows else -1)),
            met=max(self.met, max(ids, default=page.window.first + len(rows) - 1 if rows else -1)),
            changes=page.changes or self.changes,
            bounds=page.bounds or self.bounds,
        )
        if late is not None:
            return taken
        marks = (*self.marks, (self.cursor.next_id, self.offset)) if rows else self.marks
        if len(marks) > MAX_MARKS:
            older = MAX_MARKS * 3 // 4
            marks = (*marks[:older:2], *marks[older:])
        return replace(taken, cursor=page.cursor, marks=marks)

    def with_wire(self, used: Mapping[str, Any] | None) -> Checkpoint:
        """Return this with the wire that is used now; columns that came before are kept."""
        if used is None:
            return self
        before = (self.wire or {}).get("undeclared_columns", [])
        return replace(self, wire={**used, "undeclared_columns": sorted({*before, *used["undeclared_columns"]})})

    def with_misfits(self, found: Iterable[Misfit]) -> Checkpoint:
        """Return this with more invalid values."""
        known = {one.column: one for one in self.misfits}
        for one in found:
            before = known.get(one.column, Misfits(one.column, 0, ()))
            known[one.column] = Misfits(one.column, before.count + 1, (*before.first, one)[:MISFITS_NAMED])
        return replace(self, misfits=tuple(known.values()))

    def lookback(self, ids: int) -> IdRange | None:
        """Return the ids to read once more: so many below the highest that was met, and all from there to the cursor.

        Beyond the highest there was a gap, where rows may have come meanwhile. None where nothing is below.
        """
        highest = min(self.reached if self.reached >= 0 else self.cursor.next_id, self.cursor.next_id - 1)
        first = max(self.fingerprint.first, highest + 1 - ids)
        last = min(self.cursor.next_id, self.cursor.last_id + 1) - 1
        return IdRange(first, last) if first <= last else None

    def offset_of(self, first: int) -> int:
        """Return an offset from which on all rows were written that have this id or a higher one."""
        return max((offset for number, offset in self.marks if number <= first), default=0)


def save(checkpoint: Checkpoint, path: Path, *, safe: bool = True) -> None:
    """Replace the checkpoint in a file; unless `safe`, a power cut may bring the old one back."""
    replace_file(path, encoded(checkpoint), safe=safe)


def load(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        FileNotFoundError: there is none.
        CheckpointMismatchError: it is damaged, of a newer version, or no checkpoint.
    """
    return decoded(path.read_bytes(), str(path))


def decoded(data: bytes, path: str) -> Checkpoint:
    """Return the checkpoint in the bytes of a file, as `encoded` made them; see `load`."""
    anew = f"begin anew with {option('overwrite')}, or keep what there is by moving it away"
    try:
        outer = json.loads(data)
    except ValueError:
        raise CheckpointMismatchError(f"{path} is damaged or cut short: it cannot be resumed from; {anew}") from None
    if not isinstance(outer, dict) or outer.get("kind") != KIND:
        raise CheckpointMismatchError(f"{path} is no checkpoint of magento-pager; {anew}")
    if outer.get("version") != VERSION:
        raise CheckpointMismatchError(
            f"{path} is a checkpoint of version {outer.get('version')}, and this magento-pager knows {VERSION}: go on "
            f"with the version that wrote it, or {anew}"
        )
    if data != _sealed(outer.get("content")):
        raise CheckpointMismatchError(f"{path} is damaged: its checksum is wrong, so nothing in it is sure; {anew}")
    content = outer["content"]
    asked, counters = content["fingerprint"], content["counters"]
    parts = {
        "fingerprint": Fingerprint(**asked | {name: tuple(asked[name]) for name in ("where", "columns")}),
        "cursor": Cursor(**content["cursor"]),
        "counters": Counters(**counters | {"strategies": tuple(counters["strategies"])}),
        "quarantined": tuple(Quarantined(**one) for one in content["quarantined"]),
        "repaired": tuple(content["repaired"]),
        "digest": Digest({number: Block(rows, int(total, 16)) for number, rows, total in content["digest"]}),
        "marks": tuple((number, offset) for number, offset in content["marks"]),
        "misfits": tuple(
            Misfits(one["column"], one["count"], tuple(Misfit(**found) for found in one["first"]))
            for one in content["misfits"]
        ),
        "changes": Changes(**content["changes"]) if content["changes"] else None,
        "bounds": tuple(map(_bounds, content.get("bounds", ()))),
    }
    return Checkpoint(**content | parts)


def encoded(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as the bytes of its file."""
    content = asdict(replace(checkpoint, digest=Digest()))
    content["digest"] = [[number, block.rows, str(block)] for number, block in checkpoint.digest.blocks.items()]
    return _sealed(content)


def _bounds(content: dict[str, Any]) -> Bounds:
    told = {name: tuple(Condition(**one) for one in content[name]) for name in ("sent", "here")}
    return Bounds(**content | told)


def address_of(shop: str, saved: Checkpoint | None, moved_from: str | None) -> str:
    """Return the address under which a shop's dump was saved, if that is its own in another spelling or an old one."""
    there = saved.fingerprint.shop if saved else shop
    return there if shop_key(there) == shop_key(moved_from or shop) else shop


def refuse_other_query(path: Path, saved: Checkpoint, asked: Fingerprint, advice: str) -> None:
    """Refuse the checkpoint of an output whose dump asked for something else; `advice` says what to do."""
    if differences := saved.fingerprint.differences(asked):
        if shop_key(saved.fingerprint.shop) != shop_key(asked.shop):
            advice = f"if the shop moved, give its old address as {option('moved-from')}; else {advice}"
        raise CheckpointMismatchError(
            f"the checkpoint of {path} is of a dump that asked for something else: {'; '.join(differences)}; {advice}",
            differences=differences,
        )


def _sealed(content: Any) -> bytes:
    """Return the one form that a content has: any other byte in the file is a damage."""
    checksum = blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
    outer = {"kind": KIND, "version": VERSION, "checksum": checksum, "content": content}
    return json.dumps(outer, indent=1).encode() + b"\n"


def _shown(value: object) -> str:
    return " and ".join(value) or "nothing" if isinstance(value, tuple) else str(value)
