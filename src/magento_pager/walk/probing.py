"""Which strategy does this server honour? Decided from ids that came back.

What lives here: the ground on which strategies are judged (rows known completely, at the low end of the ids), the
trial of one strategy on it, and the report.

A strategy holds only if exactly the known rows inside a window come back, where known rows lie below, inside and above
it. The ground is at the low end because a dropped lower bound then returns few rows: of a pair of bounds it is always
the upper one that may survive alone. Nothing is trusted because it did not fault.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from magento_pager.errors import FaultError, MalformedReplyError, NoStrategyError, RemoteError, TransportError
from magento_pager.walk.calls import walked
from magento_pager.walk.pages import Cursor
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import Known, Reader, Token
from magento_pager.walk.recovery import action, is_verdict
from magento_pager.walk.strategies import Alias, KeyRange, Mapped, Prefix, Range, SingleFilter

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from magento_pager.walk.conditions import Query
    from magento_pager.walk.reading import Row, Source
    from magento_pager.walk.strategies import Strategy

Verdict = Literal["holds", "ignored", "faults"]

HOLDS_EVERYWHERE = (Prefix, SingleFilter)
"""Strategies that every version and list honours: one condition, one bound."""

FINDING = 30  # calls at most to find rows
JUDGING = 12  # and to judge strategies on them
FINDING_WIDTH = 200  # ids in a window while they are looked for, so that no reply is above 1,000 rows
INSIST = 4  # more attempts where a small reply fails
FEWEST = 3  # rows below, inside and above
WIDEST_GROUND = 200  # ids: a window that every strategy takes in one call
MOST_INSIDE = 30  # rows of it: a server with little memory should bear them
SHOWN = 60  # characters of a query in the table
ENOUGH_STRAY = 10  # rows: the rest of the reply is not read


@dataclass(frozen=True, slots=True)
class Sighting:
    """All rows of a range of ids.

    Attributes:
        ids: the range, inclusive.
        rows: what its rows are known by.
    """

    ids: IdRange
    rows: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Ground:
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


def ground(sightings: Sequence[Sighting]) -> Ground | None:
    """Where strategies can be judged, or None where too few rows are known.

    Args:
        sightings: all rows of some ranges, from the lowest on.

    Rows known by id are told apart one by one:

    >>> found = ground([Sighting(IdRange(0, 999), (3, 5, 6, 9, 400))])
    >>> found.window, sorted(found.inside), sorted(found.outside)
    (IdRange(first=4, last=14), [5, 6, 9], [3, 400])

    Rows known by an identity only by the range they came from:

    >>> parts = [(IdRange(0, 9), ("A", "B")), (IdRange(10, 99), ("C",)), (IdRange(100, 999), ("D",))]
    >>> seen = [Sighting(*part) for part in parts]
    >>> ground(seen).window, ground(seen[:2])
    (IdRange(first=10, last=99), None)
    """
    ids = sorted(token for seen in sightings for token in seen.rows if isinstance(token, int))
    if ids:
        return _ground_by_ids(ids, sightings)
    populated = [seen for seen in sightings if seen.rows]
    if len(populated) < FEWEST:
        return None
    middle = populated[1]
    outside = {token for seen in populated if seen is not middle for token in seen.rows}
    return Ground(middle.ids, frozenset(middle.rows), frozenset(outside))


def finer(sightings: Sequence[Sighting]) -> IdRange | None:
    """The range to look at in parts, so that rows known by an identity get told apart; None where that is no use.

    >>> finer([Sighting(IdRange(0, 9), ()), Sighting(IdRange(10, 99), ("A", "B", "C"))])
    IdRange(first=10, last=99)
    """
    if sum(len(seen.rows) for seen in sightings) < FEWEST:
        return None
    crowded = max(sightings, key=lambda seen: len(seen.rows))
    return crowded.ids if len(crowded.rows) > 1 else None


def probe(reader: Reader, candidates: Sequence[Strategy], *, exhaustive: bool = False) -> ProbeReport:
    """Ask the server which of the candidates it honours.

    At most 30 calls find rows at the low end of the ids, by decimal blocks, which every version understands; at most
    12 judge the candidates on them. No reply holds more than 1,000 rows or so.

    Args:
        reader: reads the list.
        candidates: strategies in order of preference.
        exhaustive: judge every candidate, instead of ending with the first that holds.

    Raises:
        NoStrategyError: there are rows, and decimal blocks bring none.
        RemoteError: a call failed in a way that says nothing of filters: connection, login, rights.
    """
    counted = Counted(reader.source, FINDING)
    reader = replace(reader, source=counted, repairing=None)  # a row is known only if every strategy can read it
    seen = _sightings(reader, counted)
    counted.most += JUDGING
    _check_like(reader, seen)
    report = judged(reader, candidates, seen, exhaustive=exhaustive)
    return replace(report, calls=counted.calls)


def judged(
    reader: Reader, candidates: Sequence[Strategy], seen: Sequence[Sighting], *, exhaustive: bool = False
) -> ProbeReport:
    """What rows that are known prove about the candidates.

    Args:
        reader: reads the list.
        candidates: strategies in order of preference.
        seen: all rows of some ranges; below the lowest there are few or none.
        exhaustive: judge every candidate, instead of ending with the first that holds.

    Raises:
        RemoteError: as `probe`.
    """
    on = ground(seen)
    trials = _trials(reader, candidates, on, seen, exhaustive=exhaustive) if on else []
    holding = {trial.strategy for trial in trials if trial.verdict == "holds"}
    fit = (one for one in candidates if on and (one.name in holding or isinstance(one, HOLDS_EVERYWHERE)))
    chosen = next((one.name for one in fit), None)
    rows = sum(len(one.rows) for one in seen)
    canary = next((token for one in seen for token in one.rows if isinstance(token, int)), None)
    return ProbeReport(reader.operation, chosen, rows, len(trials), tuple(trials), canary)


def _trials(
    reader: Reader, candidates: Sequence[Strategy], on: Ground, seen: Sequence[Sighting], *, exhaustive: bool
) -> list[Trial]:
    """The evidence, up to the first candidate that holds or, if `exhaustive`, for each one."""
    trials: list[Trial] = []
    canary: Known | None = None
    with suppress(_SpentError):
        left = list(candidates)
        while left:
            candidate = left.pop(0)
            if isinstance(candidate, HOLDS_EVERYWHERE):
                if not exhaustive:
                    break
                continue
            needs_canary = getattr(candidate, "needs_canary", False)
            if needs_canary and canary is None:
                canary = _canary(reader, on, seen)
            given = canary if needs_canary else None
            trials.append(reader.persistently(lambda: judge(candidate, on, given, reader)))  # noqa: B023  called at once
            if trials[-1].verdict == "faults":  # a server that stumbles once is no reason to do without a strategy
                trials[-1] = reader.persistently(lambda: judge(candidate, on, given, reader))  # noqa: B023
            if trials[-1].verdict == "holds" and not exhaustive:
                break
            if trials[-1].verdict == "ignored" and not exhaustive:
                left = others(left, candidate)
    return trials


def others(candidates: Iterable[Strategy], failed: Strategy) -> list[Strategy]:
    """Return those of the candidates that may hold though another one does not.

    A server that does not honour a key range in its most careful form honours no pair of bounds.

    >>> [one.name for one in others([KeyRange(), Range(), Alias(), Prefix()], KeyRange())]
    ['prefix']
    """
    hopeless = (KeyRange, Range, Alias, Mapped) if isinstance(failed, KeyRange) else ()
    return [one for one in candidates if one != failed and not isinstance(one, hopeless)]


def judge(strategy: Strategy, on: Ground, canary: Known | None, reader: Reader) -> Trial:
    """Put the window to the server in the words of one strategy, and compare.

    Args:
        strategy: the one to judge.
        on: the rows that must come back, and those that must not.
        canary: a row outside the window; None where the strategy needs none.
        reader: asks; a call is given up once enough stray rows have been met.

    Raises:
        RemoteError: the call failed in a way that says nothing of the filter: connection, login, rights.
    """
    expected = on.inside | ({canary.token} if canary else set())
    returned: set[Token] = set()
    stray: list[Token] = []
    fault: str | None = None
    queries = list(strategy.queries(on.window, canary.id if canary else None))
    began = time.monotonic()
    try:
        for query in queries:
            for token in reader.tokens(query):
                if token in expected:
                    returned.add(token)
                elif not (isinstance(token, int) and token in query.span):  # within, it is new, or trimmed in use
                    stray.append(token)
                if len(stray) >= ENOUGH_STRAY:
                    break
    except (FaultError, TransportError, MalformedReplyError) as error:
        if not is_verdict(error):
            raise
        fault = str(error)
    if not stray and not fault:
        expected = expected - _deleted(expected - returned, reader)
    verdict: Verdict = "faults" if fault else "holds" if returned == expected and not stray else "ignored"
    seconds = round(time.monotonic() - began, 3)
    asked = " / ".join(map(str, queries))
    return Trial(strategy.name, asked, len(expected), len(returned), tuple(stray), fault, seconds, verdict)


def _deleted(missing: set[Token] | frozenset[Token], reader: Reader) -> set[Token]:
    """Those of a few missing rows that are no longer there; where many are missing, it is not for that."""
    if len(missing) >= FEWEST:
        return set()
    ids = [token for token in missing if isinstance(token, int)]
    return {token for token in ids if token not in _all_of(IdRange(token, token), reader).rows}


def _sightings(reader: Reader, counted: Counted) -> list[Sighting]:
    """All rows at the low end of the ids, in parts, until they make a ground or cost too much."""
    seen: list[Sighting] = []
    cursor = Cursor(reader.operation, 0, MAX_ID)
    with suppress(_SpentError):
        for page in walked(reader, Prefix(reader.key), cursor, window=FINDING_WIDTH, lenient=True):
            seen.append(Sighting(page.window, tuple(map(reader.token, page.rows))))
            if ground(seen):
                return seen
            met = set(_ids_of(counted.met, reader))
            if len(met) >= FEWEST:
                return _around(reader, met)
            if finer(seen):
                break
        while not ground(seen) and (crowded := finer(seen)):
            place = next(place for place, one in enumerate(seen) if one.ids == crowded)
            blocks = list(crowded.blocks())
            parts = blocks if len(blocks) > 1 else crowded.tenths()
            seen[place : place + 1] = [_all_of(part, reader) for part in parts]
    return seen


def _ids_of(rows: Iterable[Row], reader: Reader) -> Iterator[int]:
    """Yield the ids of the rows that carry one."""
    for row in rows:
        with suppress(MalformedReplyError):
            if isinstance(number := reader.token(row), int):
                yield number


def _all_of(block: IdRange, reader: Reader) -> Sighting:
    """All rows of a narrow range."""
    return Sighting(block, reader.read(Prefix(reader.key), block, insist=INSIST).tokens)


def _around(reader: Reader, met: set[int]) -> list[Sighting]:
    """All rows around the second of some that were met in samples, and those by themselves.

    Below the first there may be others that no sample met, up to a thousand of them: of a server that drops a lower
    bound they would come back.
    """
    second = sorted(met)[1]
    block = IdRange(second - second % 100, min(second - second % 100 + 99, MAX_ID))
    try:
        around = _all_of(block, reader)
    except RemoteError as error:
        if action(error, narrowed=True) == "stop":
            raise
        around = Sighting(IdRange(second, second), (second,))  # another row of the block breaks its replies
    _check_heard(second, around, reader)
    alone = (Sighting(IdRange(one, one), (one,)) for one in met if one not in block)
    return sorted([around, *alone], key=lambda seen: seen.ids)


def _check_like(reader: Reader, seen: Sequence[Sighting]) -> None:
    """Raise unless a row known by its id comes back through `like`, on which all crossing of emptiness rests."""
    numbers = [token for one in seen for token in one.rows if isinstance(token, int)]
    if numbers:
        _check_heard(numbers[0], _all_of(IdRange(numbers[0], numbers[0]), reader), reader)


def _check_heard(number: int, seen: Sighting, reader: Reader) -> None:
    """Raise if a row is not among those that `like` brought, and has not been deleted either."""
    if number in seen.rows:
        return
    (query,) = SingleFilter(reader.key).queries(IdRange(0, number), None)  # at the low end that is a small reply
    if number in reader.persistently(lambda: set(reader.tokens(query)), insist=INSIST):
        raise _no_filters(reader)


class _SpentError(Exception):
    """So many calls were made that no more should be."""


@dataclass(slots=True)
class Counted:
    """A source that answers a number of calls and no more, and remembers the rows that were met.

    Attributes:
        source: what answers.
        most: calls that it answers.
        calls: answered so far.
        met: the rows of their replies, of those that came whole.
    """

    source: Source
    most: int
    calls: int = 0
    met: list[Row] = field(default_factory=list)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call, one of those that may be made."""
        if self.calls == self.most:
            raise _SpentError
        self.calls += 1
        came = []
        with closing(self.source.fetch(query)) as rows:
            for row in rows:
                came.append(row)
                yield row
        self.met += came


def believe_emptiness(reader: Reader) -> None:
    """Ask for everything with one bound, after a walk met no row: then `like` brought nothing because nothing is there.

    The first row ends the call.

    Raises:
        NoStrategyError: there are rows.
    """
    (query,) = SingleFilter(reader.key).queries(IdRange(0, MAX_ID), None)
    if reader.persistently(lambda: next(reader.tokens(query), None)) is not None:
        raise _no_filters(reader)


def _no_filters(reader: Reader) -> NoStrategyError:
    return NoStrategyError(
        f"{reader.operation}: decimal blocks do not bring the rows there are: this server honours no filter that a "
        "strategy could rest on, as with WS-I on Magento 1.5.1 to 1.6.2; switch WS-I off there",
        report=ProbeReport(reader.operation, None, 0, 0, ()),
    )


def _canary(reader: Reader, on: Ground, seen: Sequence[Sighting]) -> Known | None:
    """A row outside the ground's window."""
    numbers = sorted(token for token in on.outside if isinstance(token, int))
    if numbers:
        return Known(numbers[0], numbers[0])
    part = next(one.ids for one in seen if one.rows and one.ids != on.window)
    return reader.acquaintance(reader.read(Prefix(reader.key), part, insist=INSIST), part, insist=INSIST)


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _ground_by_ids(ids: Sequence[int], seen: Sequence[Sighting]) -> Ground | None:
    """A narrow window around the second id and what follows it closely, within one range that is known completely."""
    if len(ids) < FEWEST:
        return None
    known = next(one.ids for one in seen if ids[1] in one.rows)
    inside = [number for number in ids[1:-1] if number in known and number - ids[1] < WIDEST_GROUND // 2][:MOST_INSIDE]
    beyond = ids[1 + len(inside)]
    window = IdRange(max(ids[0] + 1, known.first, inside[0] - 5), min(beyond - 1, known.last, inside[-1] + 5))
    return Ground(window, frozenset(inside), frozenset(ids) - frozenset(inside))
