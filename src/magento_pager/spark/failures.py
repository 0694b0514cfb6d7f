"""Failures of shops that a job skipped, to read the other shops.

What lives here: a folder that tasks and the driver share, with one file for each part of a shop's list whose last
reading failed or skipped rows. Each reading replaces the file of the one before, so after a task or a job is run again,
the folder shows the current state. No error message has a key; see `magento_pager.errors`.
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
    """Missing rows.

    Attributes:
        shop: the shop.
        entity: the list.
        kind: `shop`: the reading ended early, and the rows from `next_id` to `last_id` are missing; `row`: only the
            row `id` is missing, because every reply that includes it fails.
        first_id: first id of the task, inclusive.
        last_id: last id of the task, inclusive.
        next_id: the first id that was not read; above `last_id` where all were.
        id: id of the missing row; None where several are missing.
        message: message of the error.
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
    """Folder for the files of failures.

    Attributes:
        path: a folder that all executors and the driver can access; it is created.
    """

    path: str

    def note(self, shop: str, entity: str, part: int, parts: int, failures: Sequence[Failure]) -> None:
        """Write the failures of a part of a list, replacing earlier ones; delete the file where there are none.

        Args:
            shop: the shop.
            entity: the list.
            part: number of the part, from 0.
            parts: number of parts; files of parts beyond that are deleted.
            failures: in the order in which they happened.

        Raises:
            OSError: the folder cannot be written to.
        """
        folder = Path(self.path) / quote(shop, safe="")
        file = folder / f"{entity}-{part}.json"
        if failures:
            folder.mkdir(parents=True, exist_ok=True)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            replace_file(file, json.dumps([asdict(failure) | {"at": at} for failure in failures]).encode())
        else:
            file.unlink(missing_ok=True)
        for other in folder.glob(f"{entity}-*.json"):
            if int(other.stem.rpartition("-")[2]) >= parts:
                other.unlink(missing_ok=True)

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the current failures: the fields of `Failure`, and `at`, the time at which it was written."""
        for file in sorted(Path(self.path).glob("*/*.json")):
            for failure in json.loads(file.read_bytes()):
                yield failure | {"at": datetime.fromisoformat(failure["at"])}
