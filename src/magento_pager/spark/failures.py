"""What became of shops that could not be read, where the others' rows were wanted all the same.

What lives here: a folder that tasks and the driver share, one file for each part of a list of a shop whose last reading
failed or left rows out. Each reading replaces what the one before it said, so a task that Spark runs again, or a job
that is run again, leaves what is true now. No error holds a key; see `magento_pager.errors`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from magento_pager.export.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows that are missing.

    Attributes:
        shop: the shop.
        entity: the list.
        kind: `shop`: the reading ended early, and the rows from `next_id` to `last_id` are missing; `row`: the row
            `id` alone is, since it breaks every reply that it is in.
        first_id: where the task began, inclusive.
        last_id: where it was to end, inclusive.
        next_id: the first id that was not covered; above `last_id` where all were.
        id: the row; None where more are missing.
        message: what happened.
    """

    shop: str
    entity: str
    kind: Literal["shop", "row"]
    first_id: int
    last_id: int
    next_id: int
    id: int | None
    message: str


@dataclass(frozen=True, slots=True)
class FailureFolder:
    """Where failures are noted.

    Attributes:
        path: a folder that all executors and the driver see; it is created.
    """

    path: str

    def note(self, shop: str, entity: str, part: int, parts: int, failures: Sequence[Failure]) -> None:
        """Say what is missing of a part of a list, instead of what was said before; nothing where none is.

        Args:
            shop: the shop.
            entity: the list.
            part: which of its parts, from 0.
            parts: how many there are; what was said of further ones is forgotten.
            failures: in the order in which they happened.

        Raises:
            OSError: it cannot be written.
        """
        folder = Path(self.path) / quote(shop, safe="")
        file = folder / f"{entity}-{part}.json"
        if failures:
            folder.mkdir(parents=True, exist_ok=True)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            replace_file(file, json.dumps([asdict(one) | {"at": at} for one in failures]).encode())
        else:
            file.unlink(missing_ok=True)
        for other in folder.glob(f"{entity}-*.json"):
            if int(other.stem.rpartition("-")[2]) >= parts:
                other.unlink(missing_ok=True)

    def read(self) -> Iterator[dict[str, Any]]:
        """What is missing now: the fields of `Failure`, and when it was noted."""
        for file in sorted(Path(self.path).glob("*/*.json")):
            for one in json.loads(file.read_bytes()):
                yield one | {"at": datetime.fromisoformat(one["at"])}
