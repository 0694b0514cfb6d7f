"""Checkpoints and digests: saving, loading, damage, and comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import CheckpointMismatchError, Cursor, IdRange, Page, PageStats
from magento_pager.export.checkpoints import (
    MAX_MARKS,
    MISFITS_NAMED,
    Checkpoint,
    Counters,
    Fingerprint,
    Misfits,
    encoded,
    load,
    save,
)
from magento_pager.export.digests import WITHOUT_IDS, Digest
from magento_pager.export.dumping import Dump
from magento_pager.export.files import replace_file
from magento_pager.export.layout import Layout
from magento_pager.export.outputs import Output
from magento_pager.export.report import Report
from magento_pager.export.text import read_text
from magento_pager.export.text import texts as texts_of
from magento_pager.lists import LISTS
from magento_pager.walk.pages import Misfit, Quarantined

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from magento_pager.walk.pages import Row

NDJSON = Layout(LISTS["orders"])
SAVED_QUERY = Fingerprint("https://shop.example/api/", "orders", 0, 999, ("status:eq:new",))
START = Checkpoint(SAVED_QUERY, Cursor("salesOrderList", 0, 999))

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\1"), max_size=8)
rows = st.lists(st.dictionaries(texts, texts, max_size=4).map(lambda row: row | {"order_id": "1"}), max_size=8)


def page_of(window: IdRange, ids: Iterable[int], **more: Any) -> Page:
    """Return a page with rows of these ids."""
    stats = PageStats("range", "range", 2, 1, 0.5, by_ids=more.pop("by_ids", True))
    name = "order_id" if stats.by_ids else "increment_id"
    page_rows = tuple({name: str(number), "status": "new"} for number in ids)
    return Page(window, page_rows, Cursor("salesOrderList", window.last + 1, 999), stats, **more)


@given(
    shop=texts,
    numbers=st.lists(st.integers(0, 2**32), min_size=9, max_size=9),
    reasons=st.dictionaries(st.integers(0, 2**32), texts, max_size=3),
    page_rows=rows,
)
def test_a_checkpoint_survives_its_file(
    shop: str, numbers: list[int], reasons: dict[int, str], page_rows: list[Row], tmp_path_factory: Any
) -> None:
    """Every field is loaded as it was saved."""
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    checkpoint = Checkpoint(
        Fingerprint(shop, "orders", numbers[0], numbers[1], (shop,), columns=("status", shop), typed=True),
        Cursor("salesOrderList", numbers[2], numbers[3]),
        numbers[4],
        Counters(
            rows=numbers[5],
            pages=numbers[6],
            bytes=numbers[7],
            seconds=numbers[8] / 7,
            strategies=("range", "prefix"),
            last_id=7,
            verified="sampled",
        ),
        tuple(Quarantined(number, reason) for number, reason in reasons.items()),
        (5, 6),
        Digest().plus(page_rows, "order_id"),
        8,
        ((1, 2), (3, 4)),
        (Misfits("status", 12, (Misfit(shop, "status", shop),)),),
        url=shop,
        checksum=numbers[0],
        length=numbers[1],
        details={"way": shop, "why": None},
    )
    save(checkpoint, path)
    assert load(path) == checkpoint
    assert load(path).checksum == checkpoint.checksum, "the checksum is ignored in comparisons"
    assert list(path.parent.iterdir()) == [path]


FULL = replace(
    START.after(page_of(IdRange(0, 99), [3, 5], quarantined=(Quarantined(4, "SOAP-ERROR: Encoding"),)), "order_id", 80),
    repaired=(5,),
)


@given(st.integers(0, len(encoded(FULL)) * 8 - 1))
def test_a_flipped_bit_is_detected(number: int) -> None:
    """Any single changed bit of the file is damage."""
    data = bytearray(encoded(FULL))
    data[number // 8] ^= 1 << number % 8
    with pytest.raises(CheckpointMismatchError, match=r"damaged|not a checkpoint|a checkpoint of version"):
        load_bytes(bytes(data))


@given(st.integers(0, len(encoded(FULL)) - 1))
def test_a_file_that_is_cut_short_is_detected(length: int) -> None:
    """Any missing end of the file is damage."""
    with pytest.raises(CheckpointMismatchError, match="--overwrite"):
        load_bytes(encoded(FULL)[:length])


def load_bytes(data: bytes) -> Checkpoint:
    """Load a checkpoint from a file with these bytes."""
    with NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return load(Path(file.name))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """It leaves no temporary file behind."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(folder, b"new")
    assert list(tmp_path.iterdir()) == [folder]


def test_each_difference_is_named() -> None:
    """Each has the old and the requested value."""
    requested = Fingerprint("https://other.example/", "customers", 1, 998, (), "csv")
    assert SAVED_QUERY.differences(requested) == (
        "shop was https://shop.example/api/ and is now https://other.example/",
        "entity was orders and is now customers",
        "first was 0 and is now 1",
        "last was 999 and is now 998",
        "where was status:eq:new and is now nothing",
        "format was ndjson and is now csv",
    )
    assert SAVED_QUERY.differences(SAVED_QUERY) == ()


@given(page_rows=rows, cuts=st.lists(st.integers(0, 8)), chance=st.randoms())
def test_a_digest_does_not_depend_on_pages_or_order(
    page_rows: list[Row], cuts: list[int], chance: random.Random
) -> None:
    """Rows in other pages, in another order and with their columns in another order have the same digest."""
    other = [dict(chance.sample(sorted(row.items()), len(row))) for row in page_rows]
    chance.shuffle(other)
    digest = Digest()
    ends = [0, *sorted(min(cut, len(other)) for cut in cuts), len(other)]
    for first, last in pairwise(ends):
        digest = digest.plus(other[first:last], "order_id")
    assert digest == Digest().plus(page_rows, "order_id")


@given(first=rows, second=rows)
def test_different_rows_have_different_digests(first: list[Row], second: list[Row]) -> None:
    """Two lists have the same digest only if they have the same rows, each the same number of times."""
    same = sorted(sorted(row.items()) for row in first) == sorted(sorted(row.items()) for row in second)
    assert (str(Digest().plus(first, "order_id")) == str(Digest().plus(second, "order_id"))) == same


def test_similar_rows_have_different_digests() -> None:
    """A value in another field, a missing field and an empty one, a text and a list that looks like it."""
    lookalikes: list[Row] = [
        {},
        {"a": ""},
        {"a": "1", "b": "2"},
        {"a": "2", "b": "1"},
        {"ab": "12"},
        {"a": "[]"},
        {"a": []},
        {"a": [{"x": "1", "y": "2"}]},
    ]
    assert len({str(Digest().plus([row], "order_id")) for row in lookalikes}) == len(lookalikes)
    assert Digest().plus([{"a": [{"x": "1", "y": "2"}]}], "b") == Digest().plus([{"a": [{"y": "2", "x": "1"}]}], "b")


def test_a_digest_has_a_block_for_each_million_ids() -> None:
    """Rows without ids have a block of their own."""
    page_rows: list[Row] = [{"order_id": "999999"}, {"order_id": "1000000"}, {"increment_id": "7"}]
    digest = Digest().plus(page_rows, "order_id")
    assert {number: block.rows for number, block in digest.blocks.items()} == {0: 1, 1: 1, WITHOUT_IDS: 1}
    assert [(block["first"], block["last"]) for block in digest.as_json()] == [
        (None, None),
        (0, 999999),
        (1000000, 1999999),
    ]


class Unsafe(Output):
    """Text file that is never synced, because hypothesis writes thousands."""

    def __init__(self, path: Path, position: int) -> None:
        self.path: Path = path
        self.position = position

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Append the rows of one page."""
        misfits: list[Misfit] = []
        with self.path.open("ab") as file:
            file.writelines(texts_of(rows, NDJSON, misfits, header=False))
            self.position = file.tell()
        return misfits


def dump_to(path: Path, start: Checkpoint = START, *, identity_field: str | None = None) -> Dump:
    """Return a dump to a file."""
    return Dump(start, Unsafe(path, start.offset), id_field="order_id", identity_field=identity_field)


@given(
    by_ids=st.booleans(),
    widths=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.booleans()), min_size=1, max_size=3 * MAX_MARKS),
    looks=st.lists(st.integers(1, 200)),
)
def test_marks_show_where_to_read_back_from(
    *, by_ids: bool, widths: list[tuple[int, int, bool]], looks: list[int], tmp_path_factory: Any
) -> None:
    """All rows with an id or a higher one are after its offset, late rows included; there are few marks."""
    path = tmp_path_factory.mktemp("marks") / "rows"
    dump = dump_to(path, identity_field=None if by_ids else "increment_id")
    first, skipped = 0, list[int]()
    for width, count, late in widths:
        window = IdRange(first, first + width - 1)
        ids = list(range(window.first, min(window.first + count, window.last + 1)))
        dump.add(page_of(window, ids[: len(ids) - late], by_ids=by_ids))
        skipped += ids[len(ids) - late :]
        first += width
        if late and skipped:
            below = IdRange(skipped[0], first - 1)
            dump.add(page_of(below, [skipped.pop(0)], by_ids=by_ids), frozenset())
    assert len(dump.checkpoint.marks) <= MAX_MARKS
    assert dump.checkpoint.offset == path.stat().st_size
    written = [int(dump.label_of(row)) for row in read_text(path, NDJSON)]
    for ids_back in looks:
        span = dump.checkpoint.lookback(ids_back)
        assert span is not None
        assert span.last == first - 1
        if by_ids and written:
            assert span.first == max(0, max(written) + 1 - ids_back)
        tail = [int(dump.label_of(row)) for row in read_text(path, NDJSON, dump.checkpoint.offset_of(span.first))]
        assert sorted(number for number in tail if number >= span.first) == sorted(
            number for number in written if number >= span.first
        )


def total(pages: Sequence[Page], path: Path, interrupted: Sequence[int]) -> dict[str, Any]:
    """Return the report of a dump of these pages that is stopped before some of them and resumed from its file."""
    dump = dump_to(path)
    for number, page in enumerate(pages):
        if number in interrupted:
            save(dump.checkpoint, path.with_suffix(".checkpoint"))
            dump = dump_to(path, load(path.with_suffix(".checkpoint")))
        dump.add(page)
    return Report(dump.checkpoint, complete=True).as_json() | {"seconds": 0}


def test_an_interrupted_dump_ends_with_the_same_report(tmp_path: Path) -> None:
    """Counters, skipped rows, repairs and digests survive; only the time differs."""
    pages = [
        page_of(IdRange(0, 99), [3, 5], repaired=(5,)),
        page_of(IdRange(100, 199), []),
        page_of(IdRange(200, 299), [200, 203], quarantined=(Quarantined(202, "has two addresses"),)),
        page_of(IdRange(300, 999), [310], repaired=(310,)),
    ]
    whole = total(pages, tmp_path / "whole", [])
    assert total(pages, tmp_path / "parts", [1, 2, 3]) == whole
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert whole["rows"] == 5
    assert (whole["first_id"], whole["last_id"]) == (3, 310)
    assert (whole["calls"], whole["empty_calls"]) == (8, 4)
    assert whole["quarantined"] == [{"id": 202, "reason": "has two addresses"}]
    assert whole["repaired"] == [5, 310]
    assert json.dumps(whole)


def test_a_lookback_delivers_rows_that_were_skipped(tmp_path: Path) -> None:
    """A skipped row that can be read now is delivered and no longer listed; one that still cannot stays listed."""
    dump = dump_to(tmp_path / "rows")
    skipped = (Quarantined(4, "same id"), Quarantined(6, "Encoding"))
    dump.add(page_of(IdRange(0, 9), [3, 5], quarantined=skipped))
    after = dump.add(page_of(IdRange(0, 9), [3, 4, 5], quarantined=skipped[1:]), {"3", "5"})
    assert after.quarantined == skipped[1:]
    assert after.counters.rows == 3
    assert [row["order_id"] for row in read_text(tmp_path / "rows", NDJSON)] == ["3", "5", "4"]
    assert after.digest == Digest().plus(page_of(IdRange(0, 9), [3, 4, 5]).rows, "order_id")
    assert (after.cursor, after.counters.last_id) == (dump.checkpoint.cursor, 5)


def test_invalid_values_are_counted_and_the_first_are_named() -> None:
    """By column; a checkpoint names a limited number, whatever a server sends."""
    checkpoint = START
    for number in range(MISFITS_NAMED + 5):
        checkpoint = checkpoint.with_misfits([Misfit(str(number), "tax_amount", "?")])
    checkpoint = checkpoint.with_misfits([Misfit("3", "created_at", "never")])
    amounts, times = checkpoint.misfits
    assert (amounts.count, [misfit.id for misfit in amounts.first]) == (
        MISFITS_NAMED + 5,
        [str(number) for number in range(MISFITS_NAMED)],
    )
    assert str(times) == "created_at of 1 (id 3: 'never')"
    assert str(amounts).endswith("id 9: '?', ...)")


def test_a_digest_does_not_cover_password_hashes() -> None:
    """With or without them, it is the same."""
    row = {"customer_id": "5", "email": "a@example.com"}
    assert Digest().plus([row], "customer_id") == Digest().plus([row | {"password_hash": "x:y"}], "customer_id")


def test_a_lookback_begins_below_the_highest_row_and_ends_at_the_cursor() -> None:
    """A gap that was skipped is read again, because rows may have been added there."""
    with_row = START.after(page_of(IdRange(0, 499), [300]), "order_id", 10)
    empty = START.after(page_of(IdRange(0, 499), []), "order_id", 0)
    after_gap = with_row.after(page_of(IdRange(500, 999), []), "order_id", 10)
    assert START.lookback(100) is None
    assert empty.lookback(100) == IdRange(400, 499)
    assert with_row.lookback(100) == IdRange(201, 499)
    assert after_gap.lookback(100) == IdRange(201, 999)
    assert after_gap.lookback(5000) == IdRange(0, 999)
    assert after_gap.complete
