"""Evidence about a server's filters, and the conclusions from it: values only, fit for JSON.

What lives here: the known rows on which strategies are tried (complete ranges at the low end of the ids), the result of
one trial, and the report. `trials` finds the rows and tries the strategies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from magento_pager.walk.pages import KnownRow
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.walk.pages import Token

Verdict: TypeAlias = Literal["holds", "ignored", "faults"]

FEWEST = 3  # rows: one below the window, one inside and one above
WIDEST_WINDOW = 200  # ids: every strategy takes such a window in one call
MOST_INSIDE = 30  # rows in the window: a server with little memory should handle them
TWO_BOUNDS = ("key-range", "range", "alias", "mapped")
"""Strategies that send equivalent queries: they do not confirm each other."""
PREFERRED = ("in-list", "range", "alias", "mapped", "key-range", "prefix", "regexp")
SHOWN = 60  # characters of a query in the table of trials


@dataclass(frozen=True, slots=True)
class FoundRows:
    """All rows of a range of ids.

    Attributes:
        ids: the range, inclusive.
        rows: the identifiers of its rows: ids or identities.
    """

    ids: IdRange
    rows: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class KnownRows:
    """Rows on which strategies are tried.

    Attributes:
        window: the ids to request, inclusive.
        inside: the identifiers of all rows of the window.
        outside: the identifiers of known rows below and above it.
    """

    window: IdRange
    inside: frozenset[Token]
    outside: frozenset[Token]


@dataclass(frozen=True, slots=True)
class Trial:
    """The evidence for or against one strategy.

    Attributes:
        strategy: its name.
        query: the query that was sent.
        expected: number of rows that should have been returned, the canary included.
        returned: number of those that were returned.
        stray: the first unexpected rows that were returned, by id or identity; at most ten.
        fault: the server's message where it refused the query, or None.
        seconds: duration of the call.
        verdict: `holds`: exactly the expected rows were returned; `ignored`: other rows, or not all of them; `faults`:
            the server refused the query.
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
        """The result as text.

        >>> Trial("range", "", 3, 2, (7,), None, 0.1, "ignored").outcome
        '2 of 3 expected rows returned, and unexpected rows (7)'
        """
        unexpected = f", and unexpected rows ({self.stray[0]})" if self.stray else ""
        return self.fault or f"{self.returned} of {self.expected} expected rows returned{unexpected}"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Result of probing one list.

    Attributes:
        operation: the operation of the list.
        chosen: the name of the strategy to use; None where the server honours none.
        rows_known: number of rows that the verdicts rest on. Fewer than three allow no verdict; `prefix` needs none.
        calls: calls made to find rows and to try strategies.
        trials: the evidence, in the order it was taken.
        canary: the id of a row known to exist; None where no row was found or rows carry no id.
    """

    operation: str
    chosen: str | None
    rows_known: int
    calls: int
    trials: tuple[Trial, ...]
    canary: int | None = None

    @property
    def known(self) -> KnownRow | None:
        """The row that was found, which may serve as a canary."""
        return None if self.canary is None else KnownRow(self.canary, self.canary)

    def holds(self, name: str) -> bool | None:
        """Return whether the server honours a strategy; None where it was not tried.

        >>> ProbeReport("salesOrderList", None, 0, 0, ()).holds("range") is None
        True
        """
        return next((trial.verdict == "holds" for trial in self.trials if trial.strategy == name), None)

    @property
    def server(self) -> str:
        """How the server applies filters, as the evidence shows: a sentence without its subject.

        >>> trial = Trial("range", "", 3, 3, (), None, 0.1, "holds")
        >>> ProbeReport("salesOrderList", "range", 3, 1, (trial,)).server
        'applies from and to together: Magento 1.8 or newer, or orders and invoices of 1.4.2 to 1.7.0.0.'
        """
        both, lists = self.holds("range"), self.holds("in-list")
        match both, lists:
            case None, None if self.holds("key-range"):
                return "applies both bounds of a range of ids."
            case None, None:
                return "has too few rows to show which filters it honours."
            case True, True:
                return "combines from and to on one field: Magento 1.8 or newer."
            case True, False:
                return "applies every condition and reads a list as its first id: Magento 1.4.2 to 1.7.0.0."
            case True, None:
                return "applies from and to together: Magento 1.8 or newer, or orders and invoices of 1.4.2 to 1.7.0.0."
            case _, True:
                return "keeps the last condition per field and splits lists: Magento 1.7.0.1 to 1.7.0.2."
            case _, False if self.holds("regexp"):
                return "keeps the last condition per field, reads regexps but no lists: Magento 1.6.0.0 to 1.7.0.0."
            case _, False if self.holds("regexp") is False:
                return "keeps the last condition per field and reads neither lists nor regexps: Magento up to 1.5."
            case _:
                return "keeps the last condition per field: Magento up to 1.7.0.2."

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
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
        advice = f"Use the strategy {self.chosen}." if self.chosen else "No strategy was chosen."
        head = f"{self.operation}: the server {self.server} {advice}"
        return "\n".join([head, *table] if self.trials else [head])


def known_rows(parts: Sequence[FoundRows]) -> KnownRows | None:
    """Return the rows on which strategies can be tried, or None where too few rows are known.

    Args:
        parts: all rows of some ranges, from the lowest on.

    Rows with ids can be placed inside or outside the window one by one:

    >>> known = known_rows([FoundRows(IdRange(0, 999), (3, 5, 6, 9, 400))])
    >>> known.window, sorted(known.inside), sorted(known.outside)
    (IdRange(first=4, last=14), [5, 6, 9], [3, 400])

    Rows with only an identity are placed by the range that returned them:

    >>> parts = [(IdRange(0, 9), ("A", "B")), (IdRange(10, 99), ("C",)), (IdRange(100, 999), ("D",))]
    >>> found = [FoundRows(*part) for part in parts]
    >>> known_rows(found).window, known_rows(found[:2])
    (IdRange(first=10, last=99), None)
    """
    ids = sorted(token for part in parts for token in part.rows if isinstance(token, int))
    if ids:
        return _known_rows_by_id(ids, parts)
    populated = [part for part in parts if part.rows]
    if len(populated) < FEWEST:
        return None
    middle = populated[1]
    outside = {token for part in populated if part is not middle for token in part.rows}
    return KnownRows(middle.ids, frozenset(middle.rows), frozenset(outside))


def range_to_split(parts: Sequence[FoundRows]) -> IdRange | None:
    """Return the range to request in parts, which places rows without ids; None where that does not help.

    >>> range_to_split([FoundRows(IdRange(0, 9), ()), FoundRows(IdRange(10, 99), ("A", "B", "C"))])
    IdRange(first=10, last=99)
    """
    if sum(len(part.rows) for part in parts) < FEWEST:
        return None
    fullest = max(parts, key=lambda part: len(part.rows))
    return fullest.ids if len(fullest.rows) > 1 else None


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _known_rows_by_id(ids: Sequence[int], parts: Sequence[FoundRows]) -> KnownRows | None:
    """Return a narrow window around the second id and those close above it, within one complete range."""
    if len(ids) < FEWEST:
        return None
    complete = next(part.ids for part in parts if ids[1] in part.rows)
    near = (number for number in ids[1:-1] if number in complete and number - ids[1] < WIDEST_WINDOW // 2)
    inside = list(near)[:MOST_INSIDE]
    above = ids[1 + len(inside)]
    window = IdRange(max(ids[0] + 1, complete.first, inside[0] - 5), min(above - 1, complete.last, inside[-1] + 5))
    return KnownRows(window, frozenset(inside), frozenset(ids) - frozenset(inside))


def independent_strategy(probed: ProbeReport, used: frozenset[str]) -> str:
    """Return a strategy that the server honours and that shares no weakness with those a dump used, where possible.

    >>> trials = [Trial(name, "", 3, 3, (), None, 0.1, "holds") for name in ("range", "alias", "in-list")]
    >>> probed = ProbeReport("salesOrderList", "range", 3, 5, tuple(trials))
    >>> [independent_strategy(probed, frozenset(used)) for used in ({"range"}, {"in-list", "prefix"})]
    ['in-list', 'range']
    """
    honoured = {trial.strategy for trial in probed.trials if trial.verdict == "holds"} | {"prefix"}
    equivalent = used | set(TWO_BOUNDS) if used & set(TWO_BOUNDS) else used
    names = (name for avoided in (equivalent, used) for name in PREFERRED if name in honoured and name not in avoided)
    return next(names, "single-filter")
