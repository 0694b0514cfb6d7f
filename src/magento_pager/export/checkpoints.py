"""Checkpoints: how far a dump is safe, in one small file next to its output.

A checkpoint is one frozen value, replaced as a whole: the disk has the old one or the new one, never half of one. It
holds no key, no session id and no password.
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
"""Invalid values of a column that a checkpoint names; further ones are only counted."""


def shop_key(shop: str) -> str:
    """Return what all addresses of one shop have in common: the host, the port, and the path without its end.

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
    """Query and format of a dump: only a dump with an equal fingerprint can resume it.

    Attributes:
        shop: the address that calls are sent to, without user, password and query string.
        entity: the list.
        first: the first id, inclusive.
        last: the last id, inclusive.
        where: the user's conditions as FIELD:OP:VALUE, sorted, as their order does not matter.
        format: the output's format, with `.gz` where it is gzipped.
        columns: the selected columns, in order; empty for all.
        typed: True where typed values are written instead of the server's text.
        password_hash: True where rows have that column.
        details: True where rows are full records.
        since: rows changed at this time or later, in ISO 8601; empty for all rows.
        new_from: rows with this id or a higher one are included whenever they changed; None where only the time counts.
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

    def differences(self, requested: Fingerprint) -> tuple[str, ...]:
        """Return the old and the requested value of each field that differs.

        >>> saved = Fingerprint("https://shop.example/", "orders", 0, 500)
        >>> saved.differences(replace(saved, shop="http://shop.example/index.php/", last=900, where=("status:eq:new",)))
        ('last was 500 and is now 900', 'where was nothing and is now status:eq:new')
        """
        before, now = asdict(self), asdict(requested)
        same_shop = shop_key(self.shop) == shop_key(requested.shop)
        names = (name for name in before if before[name] != now[name] and not (name == "shop" and same_shop))
        return tuple(f"{name} was {_as_text(before[name])} and is now {_as_text(now[name])}" for name in names)


@dataclass(frozen=True, slots=True)
class Counters:
    """Rows delivered and their cost, over all runs of a dump.

    Attributes:
        rows: rows delivered.
        pages: pages, empty ones included.
        calls: requests answered, samples included.
        empty_calls: calls that returned no row.
        checks: calls that checked the replies of others.
        new: rows with an id of at least `new_from`.
        bytes: size of all replies, decompressed.
        seconds: from the start to the last page, without the time between two runs.
        strategies: names of the strategies that returned rows: several where the server changed during the dump.
        first_id: the lowest id delivered; None where rows carry none.
        last_id: the highest id delivered; None where rows carry none.
        verified: "ids" where every row was checked by its own id; "sampled" where rows carry none, so only that no two
            rows are the same was checked; "twice" where two strategies returned every row.
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
        """Return the counters after a page, of which `rows` were written; `ids` are their ids, if they carry any."""
        strategy = page.stats.strategy
        listed = strategy in self.strategies or (self.strategies and not rows)
        new = new_from is not None and page.window.first >= new_from  # a page has either new ids or known ones
        return replace(
            self,
            rows=self.rows + len(rows),
            pages=self.pages + 1,
            calls=self.calls + page.stats.calls,
            empty_calls=self.empty_calls + page.stats.empty_calls,
            checks=self.checks + page.stats.checks,
            strategies=self.strategies if listed else (*self.strategies, strategy),
            first_id=min((number for number in (self.first_id, *ids) if number is not None), default=None),
            last_id=max((number for number in (self.last_id, *ids) if number is not None), default=None),
            verified=self._verified(page) if rows else self.verified,
            new=self.new + len(rows) * new,
        )


@dataclass(frozen=True, slots=True)
class Misfits:
    """Invalid values of a column, null in the output: how many there are, and the first `MISFITS_NAMED`."""

    column: str
    count: int
    first: tuple[Misfit, ...]

    def __str__(self) -> str:
        named = ", ".join(f"id {misfit.id}: {misfit.value!r}" for misfit in self.first)
        return f"{self.column} of {self.count} ({named}{', ...' if self.count > len(self.first) else ''})"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a dump is safe on disk, with everything needed to resume there.

    Attributes:
        fingerprint: query and format of the dump.
        cursor: where the walk resumes.
        offset: how much of the output this checkpoint covers: bytes of a file, parts of a folder. Anything after that
            was written after the checkpoint was saved.
        counters: rows delivered so far, and their cost.
        quarantined: skipped rows, each with the reason, by id.
        repaired: ids of rows that were readable only after characters that XML forbids were removed.
        digest: digest of all rows so far.
        reached: no row so far has a higher id; exact where rows carry ids, otherwise the end of a window.
        marks: pairs (id, offset), both rising: rows with that id or a higher one were written at that offset or later.
            At most `MAX_MARKS`, fewer of the older ones; they tell where to read the output back from.
        misfits: invalid values, by column.
        changes: how the server was asked for changed rows only; None for all rows.
        bounds: how each range in the conditions was sent to the server.
        began: when the first run began, by the server's clock, in ISO 8601; empty if the server sends no time.
        url: the shop's address as it was given, without user, password and query string: a dump with the same address
            is of the same shop, which need not be called to find out where its calls go.
        checksum: CRC-32 of the covered bytes, against accidents and not against attackers; 0 in a database. Ignored
            when checkpoints are compared, because it is known only once the bytes are safe.
        details: how full records were last fetched, and why not by a faster way; None without details.
        length: size of the finished output in bytes; None while it is unfinished, and in a database.
        met: a row with this id or a higher one has arrived; exact where rows carry ids. -1 before the first row.
        wire: the protocol that returned the latest rows, see `ListSource.used`; None where there is only one.
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
        """True once every requested id is covered."""
        return self.cursor.next_id > self.cursor.last_id

    def after(self, page: Page, id_field: str, offset: int, late: Sequence[Row] | None = None) -> Checkpoint:
        """Return the checkpoint after a page that is now written. It replaces what is recorded about the page's window.

        Args:
            page: the next page after the cursor; or one of ids that were covered before.
            id_field: name of the id column.
            offset: of the output after the page's rows.
            late: for ids that were covered before, the rows that the output did not have.
        """
        rows = page.rows if late is None else late
        ids = {read_id(row[id_field]) for row in rows if id_field in row} if page.stats.by_ids else set()
        elsewhere = [skipped for skipped in self.quarantined if skipped.id not in page.window]
        repaired = {*self.repaired, *(number for number in page.repaired if not page.stats.by_ids or number in ids)}
        after = replace(
            self,
            offset=offset,
            counters=self.counters.after(page, rows, ids, self.fingerprint.new_from),
            quarantined=tuple(sorted((*elsewhere, *page.quarantined), key=lambda skipped: skipped.id)),
            repaired=tuple(sorted(repaired)),
            digest=self.digest.plus(rows, id_field),
            reached=max(self.reached, max(ids, default=page.window.last if rows else -1)),
            met=max(self.met, max(ids, default=page.window.first + len(rows) - 1 if rows else -1)),
            changes=page.changes or self.changes,
            bounds=page.bounds or self.bounds,
        )
        if late is not None:
            return after
        marks = (*self.marks, (self.cursor.next_id, self.offset)) if rows else self.marks
        if len(marks) > MAX_MARKS:
            older = MAX_MARKS * 3 // 4
            marks = (*marks[:older:2], *marks[older:])
        return replace(after, cursor=page.cursor, marks=marks)

    def with_wire(self, used: Mapping[str, Any] | None) -> Checkpoint:
        """Return the checkpoint with the protocol in use; it keeps the undeclared columns of earlier pages."""
        if used is None:
            return self
        before = (self.wire or {}).get("undeclared_columns", [])
        return replace(self, wire={**used, "undeclared_columns": sorted({*before, *used["undeclared_columns"]})})

    def with_misfits(self, misfits: Iterable[Misfit]) -> Checkpoint:
        """Return the checkpoint with more invalid values."""
        by_column = {column.column: column for column in self.misfits}
        for misfit in misfits:
            before = by_column.get(misfit.column, Misfits(misfit.column, 0, ()))
            by_column[misfit.column] = Misfits(misfit.column, before.count + 1, (*before.first, misfit)[:MISFITS_NAMED])
        return replace(self, misfits=tuple(by_column.values()))

    def lookback(self, ids: int) -> IdRange | None:
        """Return the ids to read once more: the `ids` up to the highest row so far, and all from there to the cursor.

        Rows may have been added since in the gap after the highest row. None where there is no id to read.
        """
        highest = min(self.reached if self.reached >= 0 else self.cursor.next_id, self.cursor.next_id - 1)
        first = max(self.fingerprint.first, highest + 1 - ids)
        last = min(self.cursor.next_id, self.cursor.last_id + 1) - 1
        return IdRange(first, last) if first <= last else None

    def offset_of(self, first: int) -> int:
        """Return an offset after which all rows with this id or a higher one were written."""
        return max((offset for number, offset in self.marks if number <= first), default=0)


def save(checkpoint: Checkpoint, path: Path, *, safe: bool = True) -> None:
    """Replace the checkpoint in a file; unless `safe`, a power cut may restore the old one."""
    replace_file(path, encoded(checkpoint), safe=safe)


def load(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointMismatchError: it is damaged, of another version, or not a checkpoint.
    """
    return decoded(path.read_bytes(), str(path))


def decoded(data: bytes, path: str) -> Checkpoint:
    """Return the checkpoint in the bytes of a file, as `encoded` returned them; see `load`."""
    advice = f"start over with {option('overwrite')}; to keep the output, move it to another folder first."
    try:
        outer = json.loads(data)
    except ValueError:
        raise CheckpointMismatchError(
            f"{path} is damaged or cut short, so the dump cannot be resumed. To continue, {advice}"
        ) from None
    if not isinstance(outer, dict) or outer.get("kind") != KIND:
        raise CheckpointMismatchError(f"{path} is not a checkpoint of magento-pager. To continue, {advice}")
    if outer.get("version") != VERSION:
        raise CheckpointMismatchError(
            f"{path} is a checkpoint of version {outer.get('version')}, and this magento-pager reads {VERSION}. "
            f"Resume with the magento-pager that wrote it, or {advice}"
        )
    if data != _sealed(outer.get("content")):
        raise CheckpointMismatchError(
            f"{path} is damaged: its checksum is wrong, so nothing in it can be trusted. To continue, {advice}"
        )
    content = outer["content"]
    fingerprint, counters = content["fingerprint"], content["counters"]
    fields = {
        "fingerprint": Fingerprint(**fingerprint | {name: tuple(fingerprint[name]) for name in ("where", "columns")}),
        "cursor": Cursor(**content["cursor"]),
        "counters": Counters(**counters | {"strategies": tuple(counters["strategies"])}),
        "quarantined": tuple(Quarantined(**skipped) for skipped in content["quarantined"]),
        "repaired": tuple(content["repaired"]),
        "digest": Digest({number: Block(rows, int(total, 16)) for number, rows, total in content["digest"]}),
        "marks": tuple((number, offset) for number, offset in content["marks"]),
        "misfits": tuple(
            Misfits(column["column"], column["count"], tuple(Misfit(**misfit) for misfit in column["first"]))
            for column in content["misfits"]
        ),
        "changes": Changes(**content["changes"]) if content["changes"] else None,
        "bounds": tuple(map(_bounds, content.get("bounds", ()))),
    }
    return Checkpoint(**content | fields)


def encoded(checkpoint: Checkpoint) -> bytes:
    """Return the content of a checkpoint file."""
    content = asdict(replace(checkpoint, digest=Digest()))
    content["digest"] = [[number, block.rows, str(block)] for number, block in checkpoint.digest.blocks.items()]
    return _sealed(content)


def _bounds(content: dict[str, Any]) -> Bounds:
    conditions = {name: tuple(Condition(**fields) for fields in content[name]) for name in ("sent", "here")}
    return Bounds(**content | conditions)


def address_of(shop: str, saved: Checkpoint | None, moved_from: str | None) -> str:
    """Return the address in a shop's saved checkpoint, if it is equivalent to `shop` or `moved_from`; else `shop`."""
    saved_shop = saved.fingerprint.shop if saved else shop
    return saved_shop if shop_key(saved_shop) == shop_key(moved_from or shop) else shop


def refuse_other_query(path: Path, saved: Checkpoint, requested: Fingerprint, advice: str) -> None:
    """Raise CheckpointMismatchError where an output's checkpoint has another query; `advice` tells what to do."""
    if differences := saved.fingerprint.differences(requested):
        if shop_key(saved.fingerprint.shop) != shop_key(requested.shop):
            moved = f"If the shop moved, set {option('moved-from')} to its old address"
            advice = f"{moved}. Otherwise, {advice[0].lower()}{advice[1:]}"
        raise CheckpointMismatchError(
            f"The checkpoint of {path} is of a different dump: {'; '.join(differences)}. {advice}",
            differences=differences,
        )


def _sealed(content: Any) -> bytes:
    """Return the only valid bytes for a content: any other byte in the file means damage."""
    checksum = blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
    outer = {"kind": KIND, "version": VERSION, "checksum": checksum, "content": content}
    return json.dumps(outer, indent=1).encode() + b"\n"


def _as_text(value: object) -> str:
    text = " and ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    return text or "nothing"
