"""How much of a live server's behaviour the embedded shop has: the share of recorded queries it answers alike.

`python -m benchmarks.fidelity [FILE...]` prints a JSON line for each parser, flavour and list, and one for all. The
queries and what a live server answered are beside the checkout, in `shared/samples/filters`; other files of the same
format can be given. Nothing is asked of the embedded shop but its public `select`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magento_pager.fake.data import read_rows
from magento_pager.fake.database.sqlite import Database
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.profiles import listing, profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from magento_pager.fake.api import Tables
    from magento_pager.fake.declarations import Flavour

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "filters"
"""Where the recordings are; not part of the project."""

PARSERS = {"modern": "20.0.20", "1810": "1.8.1.0", "1702": "1.7.0.2", "1620": "1.6.2.0", "1411": "1.4.1.1"}
"""The profile of each recorded parser."""


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded query.

    Attributes:
        parser: whose filter code ran, as recorded.
        flavour: of SOAP.
        list: its name.
        simple: the entries of `filter`.
        complex: the entries of `complex_filter`.
        answer: what came back: the SHA-1 of the sorted ids joined by commas, or `fault` and a code.
    """

    parser: str
    flavour: Flavour
    list: str
    simple: tuple[tuple[str, str], ...]
    complex: tuple[tuple[str, str, str], ...]
    answer: str

    @property
    def group(self) -> tuple[str, str, str]:
        """Parser, flavour and list."""
        return self.parser, self.flavour, self.list


def read_lines(path: Path) -> Iterator[Line]:
    """The recorded queries of a file."""
    for text in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(text)
        fault = one["outcome"].startswith("fault ")
        yield Line(
            one["parser"],
            one["flavour"],
            one["list"],
            tuple(map(tuple, one["simple"])),
            tuple(map(tuple, one["complex"])),
            one["outcome"] if fault else one["ids_sha1"],
        )


def recorded_shop() -> Database:
    """A database with the rows that the live server had."""
    database = Database()
    database.fill(read_rows(SAMPLES / "dataset.json"))
    return database


def increment_ids(database: Database) -> dict[str, Mapping[str, int]]:
    """The id of each increment id, of the lists whose rows may come without an id."""
    newest = profile("20.0.20")
    found: dict[str, Mapping[str, int]] = {}
    for name in ("invoices", "shipments"):
        asked = listing(name, newest)
        at = asked.columns.index("increment_id")
        numbers = (str(row[at]) for row in database.select(newest, "rpc", asked, [], []))
        found[name] = dict(zip(numbers, database.ids(name), strict=True))
    return found


def answer(database: Tables, line: Line, known: Mapping[str, Mapping[str, int]]) -> str:
    """What the embedded shop answers, in the words of `Line.answer`.

    Args:
        database: the rows.
        line: the query.
        known: ids by increment id, see `increment_ids`.
    """
    version = profile(PARSERS[line.parser])
    asked = listing(line.list, version)
    key, number = asked.columns.index(asked.key_field), None
    if line.list in version.missing_ids:
        number = asked.columns.index("increment_id")
    try:
        rows = database.select(version, line.flavour, asked, line.simple, line.complex)
        ids = sorted(int(str(row[key])) if number is None else known[line.list][str(row[number])] for row in rows)
    except ShopFault as fault:
        return f"fault {fault.code}"
    except PhpFatal as fatal:
        return f"fatal {fatal.status}"
    return hashlib.sha1(",".join(map(str, ids)).encode(), usedforsecurity=False).hexdigest()


def shares(database: Database, lines: Iterable[Line]) -> Iterator[dict[str, object]]:
    """How many lines of each group are answered alike; the last one is all groups together."""
    known = increment_ids(database)
    total: Counter[tuple[str, ...]] = Counter()
    same: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        alike = answer(database, line, known) == line.answer
        groups: tuple[tuple[str, ...], ...] = (line.group, ("all", "all", "all"))
        for group in groups:
            total[group] += 1
            same[group] += alike
    for group in sorted(total, key=lambda one: (one[0] == "all", one)):
        yield {
            **dict(zip(("parser", "flavour", "list"), group, strict=True)),
            "profile": PARSERS.get(group[0], "all"),
            "lines": total[group],
            "same": same[group],
            "share": round(same[group] / total[group], 4),
        }


def main(paths: list[str]) -> int:
    """Print the shares; the exit status is 1 unless all lines are answered alike."""
    files = [Path(one) for one in paths] or [SAMPLES / "truth.ndjson"]
    if not SAMPLES.exists():
        print(f"no recordings at {SAMPLES}", file=sys.stderr)
        return 2
    with recorded_shop() as database:
        share: object = 0.0
        for one in shares(database, (line for path in files for line in read_lines(path))):
            print(json.dumps(one))
            share = one["share"]
    return 0 if share == 1 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
