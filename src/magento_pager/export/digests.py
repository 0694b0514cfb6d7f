"""A digest of rows that depends on the rows alone: not on pages, interruptions, the order of rows or that of columns.

Each row is hashed, and the hashes are added, modulo 2^128, for each block of a million ids; rows that carry no id are
one block. The sum does not depend on the order of the rows. The hash covers what the server sent, except
`password_hash` and `rp_token`, so the digest does not depend on the output's format, columns and types.

- What it proves: equal digests mean the same rows, each the same number of times. Two different tables with the same
  digest are practically impossible (1 in 2^128). Where two dumps differ, the digests of the blocks show which ids.
- What it does not prove: that the shop sent every row. Nor does it protect against somebody who invents rows with a
  matching sum; no sum does.

Cost: about 7 µs for an order of 70 fields (`python -m benchmarks.dump`), which takes a server 240 µs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from magento_pager.export.values import SECRET_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from magento_pager.walk.pages import Row

BLOCK = 1_000_000
"""Number of ids in a block."""
BYTES = 16
WITHOUT_IDS = -1
"""Block number of rows that carry no id."""


@dataclass(frozen=True, slots=True)
class Block:
    """Number of rows in a block, and the sum of their hashes, modulo 2^128."""

    rows: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.total:0{2 * BYTES}x}"

    def __add__(self, other: Block) -> Block:
        return Block(self.rows + other.rows, (self.total + other.total) % (1 << 8 * BYTES))


@dataclass(frozen=True, slots=True)
class Digest:
    """Digest of all rows so far.

    >>> new, closed = {"order_id": "5", "status": "new"}, {"status": "closed", "order_id": "1000001"}
    >>> digest = Digest().plus([new, closed], "order_id")
    >>> digest == Digest().plus([closed], "order_id").plus([dict(reversed(new.items()))], "order_id")
    True
    >>> str(digest) == str(Digest().plus([new, new], "order_id"))
    False
    >>> [(number, block.rows) for number, block in digest.blocks.items()]
    [(0, 1), (1, 1)]

    Attributes:
        blocks: by number, which is id // 1,000,000, or `WITHOUT_IDS` for rows that carry no id.
    """

    blocks: Mapping[int, Block] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(sum(self.blocks.values(), Block()))

    def plus(self, rows: Iterable[Row], id_field: str) -> Digest:
        """Return the digest with more rows; `id_field` is the name of the id column, which rows may lack."""
        counts: dict[int, int] = {}
        totals: dict[int, int] = {}
        forms: dict[tuple[str, ...], tuple[Callable[[Row], tuple[Any, ...]], Any]] = {}
        for row in rows:
            names = tuple(row)
            form = forms.get(names)
            if form is None:
                form = forms[names] = _form(names)
            values, named = form
            hashed = named.copy()
            hashed.update(_joined(values(row)))
            number = int(row[id_field]) // BLOCK if id_field in row else WITHOUT_IDS
            counts[number] = counts.get(number, 0) + 1
            totals[number] = totals.get(number, 0) + int.from_bytes(hashed.digest())
        added = {number: self.blocks.get(number, Block()) + Block(counts[number], totals[number]) for number in counts}
        return Digest({**self.blocks, **added})

    def as_json(self) -> list[dict[str, Any]]:
        """Return each block with its first and last id, which are null for rows that carry no id."""
        return [
            {
                "first": None if number == WITHOUT_IDS else number * BLOCK,
                "last": None if number == WITHOUT_IDS else number * BLOCK + BLOCK - 1,
                "rows": block.rows,
                "digest": str(block),
            }
            for number, block in sorted(self.blocks.items())
        ]


def _form(names: tuple[str, ...]) -> tuple[Callable[[Row], tuple[Any, ...]], Any]:
    """Return, for rows with these columns, a getter of their values in order of name, and a hash of the names."""
    ordered = sorted(name for name in names if name not in SECRET_COLUMNS)  # may be missing from a dump
    values = itemgetter(*ordered) if len(ordered) > 1 else lambda row: tuple(row[name] for name in ordered)
    return values, blake2b(_joined((*ordered, str(len(ordered)))), digest_size=BYTES)


def _joined(values: tuple[Any, ...]) -> bytes:
    """Return different bytes for different values: XML has neither of the two characters that separate them."""
    try:
        return "\0".join(values).encode()
    except TypeError:
        texts = (value if isinstance(value, str) else "\1" + json.dumps(value, sort_keys=True) for value in values)
        return "\0".join(texts).encode()
