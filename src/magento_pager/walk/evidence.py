"""What is known of a server's filters, and what follows from it: values only, fit for JSON.

What lives here: the ground on which strategies are judged (rows known completely, at the low end of the ids), what a
trial came to, and the report. How rows are found and strategies tried is known to `trials`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from magento_pager.walk.pages import Known
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.walk.pages import Token

Verdict: TypeAlias = Literal["holds", "ignored", "faults"]

FEWEST = 3  # rows below, inside and above
WIDEST_WINDOW = 200  # ids: a window that every strategy takes in one call
MOST_INSIDE = 30  # rows of it: a server with little memory should bear them
TWO_BOUNDS = ("key-range", "range", "alias", "mapped")
"""Strategies that say the same thing in different words: to the server they are one."""
PREFERRED = ("in-list", "range", "alias", "mapped", "key-range", "prefix", "regexp")
SHOWN = 60  # characters of a query in the table


@dataclass(frozen=True, slots=True)
class FoundRows:
    """All rows of a range of ids.

    Attributes:
        ids: the range, inclusive.
        rows: what its rows are known by.
    """

    ids: IdRange
    rows: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class KnownRows:
    """Where strategies are judged.

    Attributes:
        window: the ids to ask for, inclusive.
        inside: what all rows of the window are known by.
        outside: known rows below and above it.
    """

    window: IdRange
    inside: frozenset[Token]
    outside: frozenset[Token]


@dataclass(frozen=True, slots=True)
class Trial:
    """The evidence for or against one strategy.

    Attributes:
        strategy: its name.
        query: what was asked.
        expected: rows that should have come back, canary included.
        returned: those of them that did.
        stray: the first rows that should not have come back and did, by id or identity; at most ten.
        fault: the server's words where it refused, or None.
        seconds: time of the call.
        verdict: `holds`: exactly the expected rows came; `ignored`: others, or not all; `faults`: the server refused.
    """

    strategy: str
    query: str
    expected: int
    returned: int
    stray: tuple[Token, ...]
    fault: str | None
    seconds: float
    verdict: Verdict

    @property
    def outcome(self) -> str:
        """What came back, in words.

        >>> Trial("range", "", 3, 2, (7,), None, 0.1, "ignored").outcome
        '2 of 3 rows came back, and stray ones (7)'
        """
        stray = f", and stray ones ({self.stray[0]})" if self.stray else ""
        return self.fault or f"{self.returned} of {self.expected} rows came back{stray}"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found out about one list.

    Attributes:
        operation: the list.
        chosen: the name of the strategy to use; None where none holds.
        rows_known: rows that the verdicts rest on; below three no verdict is possible, and `prefix` needs none.
        calls: calls made to find rows and to judge.
        trials: the evidence, in the order it was taken.
        canary: a row known to exist, by id; None where none was met or rows carry no id.
    """

    operation: str
    chosen: str | None
    rows_known: int
    calls: int
    trials: tuple[Trial, ...]
    canary: int | None = None

    @property
    def known(self) -> Known | None:
        """The row that was met, which may serve as a canary."""
        return None if self.canary is None else Known(self.canary, self.canary)

    def holds(self, name: str) -> bool | None:
        """True or False where the strategy was tried, else None.

        >>> ProbeReport("salesOrderList", None, 0, 0, ()).holds("range") is None
        True
        """
        return next((trial.verdict == "holds" for trial in self.trials if trial.strategy == name), None)

    @property
    def server(self) -> str:
        """What the evidence says of the server, in a sentence.

        >>> trial = Trial("range", "", 3, 3, (), None, 0.1, "holds")
        >>> ProbeReport("salesOrderList", "range", 3, 1, (trial,)).server
        'applies from and to together: Magento 1.8 or newer, or orders and invoices of 1.4.2 to 1.7.0.0.'
        """
        both, lists = self.holds("range"), self.holds("in-list")
        match both, lists:
            case None, None if self.holds("key-range"):
                return "applies both bounds of a range of ids."
            case None, None:
                return "too few rows to tell which filters the server honours."
            case True, True:
                return "combines from and to on one field: Magento 1.8 or newer."
            case True, False:
                return "applies every condition and reads a list as its first id: Magento 1.4.2 to 1.7.0.0."
            case True, None:
                return "applies from and to together: Magento 1.8 or newer, or orders and invoices of 1.4.2 to 1.7.0.0."
            case _, True:
                return "keeps the last condition per field and splits lists: Magento 1.7.0.1 to 1.7.0.2."
            case _, False if self.holds("regexp"):
                return "keeps the last condition per field, knows regexps and no lists: Magento 1.6.0.0 to 1.7.0.0."
            case _, False if self.holds("regexp") is False:
                return "keeps the last condition per field and knows neither lists nor regexps: Magento up to 1.5."
            case _:
                return "keeps the last condition per field: Magento up to 1.7.0.2."

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self) | {"server": self.server}

    def __str__(self) -> str:
        rows = [("strategy", "verdict", "outcome", "s", "query")]
        rows += [
            (
                trial.strategy,
                trial.verdict,
                _shortened(trial.outcome),
                f"{trial.seconds:.2f}",
                _shortened(trial.query),
            )
            for trial in self.trials
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        head = f"{self.operation}: the server {self.server} Use {self.chosen or 'none of these'}."
        return "\n".join([head, *table] if self.trials else [head])


def known_rows(found: Sequence[FoundRows]) -> KnownRows | None:
    """Where strategies can be judged, or None where too few rows are known.

    Args:
        found: all rows of some ranges, from the lowest on.

    Rows known by id are told apart one by one:

    >>> found = known_rows([FoundRows(IdRange(0, 999), (3, 5, 6, 9, 400))])
    >>> found.window, sorted(found.inside), sorted(found.outside)
    (IdRange(first=4, last=14), [5, 6, 9], [3, 400])

    Rows known by an identity only by the range they came from:

    >>> parts = [(IdRange(0, 9), ("A", "B")), (IdRange(10, 99), ("C",)), (IdRange(100, 999), ("D",))]
    >>> seen = [FoundRows(*part) for part in parts]
    >>> known_rows(seen).window, known_rows(seen[:2])
    (IdRange(first=10, last=99), None)
    """
    ids = sorted(token for seen in found for token in seen.rows if isinstance(token, int))
    if ids:
        return _known_rows_by_id(ids, found)
    populated = [seen for seen in found if seen.rows]
    if len(populated) < FEWEST:
        return None
    middle = populated[1]
    outside = {token for seen in populated if seen is not middle for token in seen.rows}
    return KnownRows(middle.ids, frozenset(middle.rows), frozenset(outside))


def range_to_split(found: Sequence[FoundRows]) -> IdRange | None:
    """The range to look at in parts, so that rows known by an identity get told apart; None where that is no use.

    >>> range_to_split([FoundRows(IdRange(0, 9), ()), FoundRows(IdRange(10, 99), ("A", "B", "C"))])
    IdRange(first=10, last=99)
    """
    if sum(len(seen.rows) for seen in found) < FEWEST:
        return None
    crowded = max(found, key=lambda seen: len(seen.rows))
    return crowded.ids if len(crowded.rows) > 1 else None


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _known_rows_by_id(ids: Sequence[int], seen: Sequence[FoundRows]) -> KnownRows | None:
    """A narrow window around the second id and what follows it closely, within one range that is known completely."""
    if len(ids) < FEWEST:
        return None
    known = next(one.ids for one in seen if ids[1] in one.rows)
    inside = [number for number in ids[1:-1] if number in known and number - ids[1] < WIDEST_WINDOW // 2][:MOST_INSIDE]
    beyond = ids[1 + len(inside)]
    window = IdRange(max(ids[0] + 1, known.first, inside[0] - 5), min(beyond - 1, known.last, inside[-1] + 5))
    return KnownRows(window, frozenset(inside), frozenset(ids) - frozenset(inside))


def independent_strategy(probed: ProbeReport, used: frozenset[str]) -> str:
    """Return the name of a strategy that holds and differs from those that a dump used, as far as the server allows.

    >>> trials = [Trial(name, "", 3, 3, (), None, 0.1, "holds") for name in ("range", "alias", "in-list")]
    >>> probed = ProbeReport("salesOrderList", "range", 3, 5, tuple(trials))
    >>> [independent_strategy(probed, frozenset(used)) for used in ({"range"}, {"in-list", "prefix"})]
    ['in-list', 'range']
    """
    holding = {trial.strategy for trial in probed.trials if trial.verdict == "holds"} | {"prefix"}
    alike = used | set(TWO_BOUNDS) if used & set(TWO_BOUNDS) else used
    names = (one for avoided in (alike, used) for one in PREFERRED if one in holding and one not in avoided)
    return next(names, "single-filter")
