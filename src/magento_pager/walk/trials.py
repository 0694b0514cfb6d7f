"""Trials of strategies: the choice of one that this server honours, by the ids that are returned.

What lives here: the trial of one strategy on known rows, the search for such rows, and the choice. As flows.

The server honours a strategy only if exactly the known rows inside a window are returned, with known rows below, inside
and above it. They are searched for at the low end of the ids, because there a dropped lower bound returns few rows: of
two bounds, only the upper one may survive alone. That a query does not fail proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from magento_pager.errors import FilterIgnoredError, NoStrategyError, RemoteError
from magento_pager.walk.evidence import (
    FEWEST,
    FoundRows,
    KnownRows,
    ProbeReport,
    Trial,
    Verdict,
    independent_strategy,
    known_rows,
    range_to_split,
)
from magento_pager.walk.flows import Flow, WindowRequest, attempt, attempt_flow, find_known_row, next_piece, relayed
from magento_pager.walk.pages import KnownRow
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import action, is_verdict
from magento_pager.walk.strategies import (
    WITHOUT_WSI,
    Alias,
    KeyRange,
    Mapped,
    Prefix,
    Range,
    SingleFilter,
    needs_canary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from magento_pager.walk.flows import Item, Reply
    from magento_pager.walk.pages import Token
    from magento_pager.walk.strategies import Strategy

T = TypeVar("T")
HOLDS_EVERYWHERE = (Prefix, SingleFilter)
"""Strategies that every version honours for every list: one condition, one bound."""

CALLS_TO_FIND_ROWS = 30  # at most
CALLS_FOR_TRIALS = 12  # at most
INSIST = 4  # more attempts where a small reply fails
MOST_UNEXPECTED = 10  # rows: the rest of the reply is not read


@dataclass(slots=True)
class Probing:
    """Trials of strategies, within a limited number of calls.

    At most 30 calls find rows at the low end of the ids, by decimal blocks, which every version supports. At most 12
    try the candidates on them. No reply holds more than a few thousand rows.

    Attributes:
        key: the name of the key in filters.
        operation: the operation of the list.
        candidates: strategies in order of preference.
        exhaustive: try every candidate, instead of ending with the first that the server honours.
        calls_left: calls that may still be made.
        found_ids: the ids of rows that were returned.
        failed: number of calls that failed.
        failure: the last failure, if any.
        broken: True where rows were skipped because their replies fail.
    """

    key: str
    operation: str
    candidates: Sequence[Strategy]
    exhaustive: bool = False
    calls_left: int = CALLS_FOR_TRIALS
    found_ids: set[int] = field(default_factory=set)
    failed: int = 0
    failure: RemoteError | None = None
    broken: bool = False

    def probe(self, prefix_walk: Flow[None], *, strict: bool = False) -> Flow[ProbeReport]:
        """Find out which of the candidates the server honours.

        Args:
            prefix_walk: a walk over all ids by `prefix`, in narrow windows, that skips rows whose replies fail.
            strict: raise an error where nothing can be found out because replies fail.

        Raises:
            NoStrategyError: there are rows, but decimal blocks return none; or each reply with rows failed.
            RemoteError: a call failed in a way that says nothing about filters: connection, login, rights.
        """
        self.calls_left = CALLS_TO_FIND_ROWS
        parts = yield from self._find_rows(prefix_walk)
        if strict and self.failure and (self.broken or not self.calls_left) and not any(part.rows for part in parts):
            raise self._no_rows_error(self.failure) from self.failure
        self.calls_left += CALLS_FOR_TRIALS
        ids = [token for part in parts for token in part.rows if isinstance(token, int)]
        if ids:  # a walk skips gaps by `like`, so it must work
            lowest = yield from self._within_limit(self._rows_of(IdRange(ids[0], ids[0])))
            if lowest:
                yield from self._check_like(ids[0], lowest)
        report = yield from self.judge_all(parts)
        return replace(report, calls=CALLS_TO_FIND_ROWS + CALLS_FOR_TRIALS - self.calls_left)

    def judge_all(self, parts: Sequence[FoundRows]) -> Flow[ProbeReport]:
        """Try the candidates on rows that were found.

        Args:
            parts: all rows of some ranges; below the lowest there are few or none.

        Raises:
            RemoteError: as `probe`.
        """
        before = self.calls_left
        known = known_rows(parts)
        trials = (yield from self._trials(known, parts)) if known else []
        honoured = {trial.strategy for trial in trials if trial.verdict == "holds"}
        usable = (
            candidate.name
            for candidate in self.candidates
            if known and (candidate.name in honoured or isinstance(candidate, HOLDS_EVERYWHERE))
        )
        chosen = next(usable, None)
        rows = sum(len(part.rows) for part in parts)
        canary = next((token for part in parts for token in part.rows if isinstance(token, int)), None)
        return ProbeReport(self.operation, chosen, rows, before - self.calls_left, tuple(trials), canary)

    def _trials(self, known: KnownRows, parts: Sequence[FoundRows]) -> Flow[list[Trial]]:
        """Try the candidates, up to the first that the server honours or, if `exhaustive`, all of them."""
        trials: list[Trial] = []
        canary: KnownRow | None = None
        untried = list(self.candidates)
        while untried:
            candidate = untried.pop(0)
            if isinstance(candidate, HOLDS_EVERYWHERE):
                if not self.exhaustive:
                    break
                continue
            if needs_canary(candidate) and canary is None:
                canary = yield from self._within_limit(self._canary(known, parts))
            sent = canary if needs_canary(candidate) else None
            trial = yield from self._within_limit(self._judge(candidate, known, sent))
            if trial and trial.verdict == "faults":  # one failure does not rule a strategy out
                trial = yield from self._within_limit(self._judge(candidate, known, sent))
            if trial is None:
                break
            trials.append(trial)
            if trial.verdict == "holds" and not self.exhaustive:
                break
            if not self.exhaustive:  # those that share its weakness are tried last, or not at all
                promising = remaining_candidates(untried, candidate)
                others = [strategy for strategy in untried if strategy not in promising]
                untried = promising + (others if trial.verdict == "faults" else [])
        return trials

    def _judge(self, strategy: Strategy, known: KnownRows, canary: KnownRow | None) -> Flow[Trial]:
        """Request the window by one strategy, and compare the reply with the known rows.

        Args:
            strategy: the strategy to try.
            known: the rows that must be returned, and those that must not. Reading ends after ten unexpected rows.
            canary: a row outside the window; None where the strategy needs none.
        """
        expected = known.inside | ({canary.token} if canary else set())
        queries = list(strategy.queries(known.window, canary.id if canary else None))
        most = len(expected) + MOST_UNEXPECTED
        reply = yield from attempt(WindowRequest(strategy, known.window, canary, unchecked=most))
        fault: str | None = None
        returned: frozenset[Token] = frozenset()
        unexpected: list[Token] = []
        if isinstance(reply, RemoteError):
            if not is_verdict(reply):
                raise reply
            fault = str(reply)
        else:
            spans = [query.span for query in queries]  # other rows inside are new, or trimmed in use
            inside = [token for token in reply.ids if any(token in span for span in spans)]
            returned = expected & set(reply.tokens)
            unexpected = [token for token in reply.tokens if token not in expected.union(inside)][:MOST_UNEXPECTED]
            if not unexpected and len(expected - returned) < FEWEST:
                expected -= yield from self._deleted(expected - returned)
        verdict: Verdict = "faults" if fault else "holds" if returned == expected and not unexpected else "ignored"
        seconds = 0.0 if isinstance(reply, RemoteError) else round(reply.seconds, 3)
        sent = " / ".join(map(str, queries))
        return Trial(strategy.name, sent, len(expected), len(returned), tuple(unexpected), fault, seconds, verdict)

    def _deleted(self, missing: Iterable[Token]) -> Flow[set[Token]]:
        """Return those of a few missing rows that no longer exist."""
        deleted: set[Token] = set()
        for token in missing:
            if isinstance(token, int) and token not in (yield from self._rows_of(IdRange(token, token))).rows:
                deleted.add(token)
        return deleted

    def _within_limit(self, flow: Flow[T]) -> Flow[T | None]:
        """Run a flow while calls are left; return None where they do not suffice."""

        def relay(item: Item) -> Flow[Reply]:
            if not isinstance(item, WindowRequest):
                return (yield item)
            self.calls_left -= sum(1 for _ in item.strategy.queries(item.window, item.known and item.known.id))
            if self.calls_left < 0:
                self.calls_left = 0
                raise _NoCallsLeftError
            reply = yield from attempt(item)
            if isinstance(reply, RemoteError):
                self.failed, self.failure = self.failed + 1, reply
                raise reply
            self.found_ids.update(reply.ids)
            return reply

        try:
            return (yield from relayed(flow, relay))
        except _NoCallsLeftError:
            return None

    def _find_rows(self, prefix_walk: Flow[None]) -> Flow[list[FoundRows]]:
        """Request all rows at the low end of the ids, in parts, until a trial is possible or no call is left."""
        parts: list[FoundRows] = []
        pieces = self._within_limit(prefix_walk)
        while (piece := (yield from next_piece(pieces))) is not None:
            self.broken |= bool(piece.quarantined)
            parts.append(FoundRows(piece.window, tuple(token for token, _ in piece.rows)))
            if known_rows(parts):
                return parts
            if len(self.found_ids) >= FEWEST:
                return (yield from self._rows_around(self.found_ids))
            if range_to_split(parts):
                break
        pieces.close()
        while not known_rows(parts) and (wide := range_to_split(parts)):
            place = next(place for place, part in enumerate(parts) if part.ids == wide)
            blocks = list(wide.blocks())
            narrow = blocks if len(blocks) > 1 else list(wide.tenths())
            narrower = yield from self._within_limit(self._rows_of_each(narrow))
            if narrower is None:
                break
            parts[place : place + 1] = narrower
        return parts

    def _rows_of_each(self, blocks: Iterable[IdRange]) -> Flow[list[FoundRows]]:
        """Request all rows of some narrow ranges, one after the other."""
        parts = []
        for block in blocks:
            part = yield from self._rows_of(block)
            parts.append(part)
        return parts

    def _rows_of(self, block: IdRange) -> Flow[FoundRows]:
        """Request all rows of a narrow range."""
        reply = yield WindowRequest(Prefix(self.key), block, insist=INSIST)
        return FoundRows(block, reply.tokens)

    def _rows_around(self, ids: set[int]) -> Flow[list[FoundRows]]:
        """Request all rows around the second of some ids that samples found; the others count as ranges of one row.

        Below the first there may be rows that no sample found, up to a thousand of them: a server that drops a lower
        bound would return them.
        """
        second = sorted(ids)[1]
        block = IdRange(second - second % 100, min(second - second % 100 + 99, MAX_ID))
        around = yield from attempt_flow(self._rows_of(block))
        if isinstance(around, RemoteError):
            if action(around, narrowed=True) == "stop":
                raise around
            around = FoundRows(IdRange(second, second), (second,))  # replies with another row of the block fail
        yield from self._check_like(second, around)
        single = (FoundRows(IdRange(number, number), (number,)) for number in ids if number not in around.ids)
        return sorted([around, *single], key=lambda part: part.ids)

    def _check_like(self, number: int, range_rows: FoundRows) -> Flow[None]:
        """Raise an error if `like` does not return a row that still exists."""
        if number in range_rows.rows:
            return
        low = IdRange(0, number)  # a small reply, at the low end of the ids
        if number in (yield WindowRequest(SingleFilter(self.key), low, insist=INSIST, unchecked=MAX_ID)).ids:
            raise _no_filters_error(self.operation)

    def _no_rows_error(self, failure: RemoteError) -> NoStrategyError:
        message = str(failure).removeprefix(f"{self.operation}: ")
        return NoStrategyError(
            f"{self.operation}: no strategy could be tried, because no reply with rows could be read: {self.failed} "
            f"calls failed, the last one with: {message}",
            report=ProbeReport(self.operation, None, 0, CALLS_TO_FIND_ROWS - self.calls_left, ()),
        )

    def _canary(self, known: KnownRows, parts: Sequence[FoundRows]) -> Flow[KnownRow | None]:
        """Find a row outside the window of the known rows."""
        ids = sorted(token for token in known.outside if isinstance(token, int))
        if ids:
            return KnownRow(ids[0], ids[0])
        part = next(part.ids for part in parts if part.rows and part.ids != known.window)
        reply = yield WindowRequest(Prefix(self.key), part, insist=INSIST)
        return (yield from find_known_row(reply, part, self.key, insist=INSIST))


class _NoCallsLeftError(Exception):
    """Internal signal: the flow may make no further call."""


def remaining_candidates(candidates: Iterable[Strategy], failed: Strategy) -> list[Strategy]:
    """Return the candidates that the server may honour although another one failed.

    A server that does not honour `key-range`, the most robust pair of bounds, honours no pair of bounds.

    >>> [found.name for found in remaining_candidates([KeyRange(), Range(), Alias(), Prefix()], KeyRange())]
    ['prefix']
    """
    excluded = (KeyRange, Range, Alias, Mapped) if isinstance(failed, KeyRange) else ()
    return [strategy for strategy in candidates if strategy != failed and not isinstance(strategy, excluded)]


def _no_filters_error(operation: str) -> NoStrategyError:
    return NoStrategyError(
        f"{operation}: like does not return rows that exist: this server honours no filter that a walk needs, as with "
        f"WS-I on Magento 1.5.1 to 1.6.2; {WITHOUT_WSI}",
        report=ProbeReport(operation, None, 0, 0, ()),
    )


class Choice(NamedTuple):
    """A strategy to walk with.

    Attributes:
        strategy: the strategy.
        known: a row that was found during the trials, which may serve as a canary.
    """

    strategy: Strategy
    known: KnownRow | None = None


@dataclass(frozen=True, slots=True)
class Choosing:
    """The choice of a strategy for a walk, and of its replacement where the server does not honour it.

    Attributes:
        candidates: strategies in order of preference; where there are none, a named strategy is not tested.
        named: the strategy that the user chose; None to choose by trials.
        key: the name of the key in filters.
        operation: the operation of the list, for messages.
        prefix_walk: returns a walk over all ids, as `Probing.probe` needs it.
    """

    candidates: Sequence[Strategy]
    named: Strategy | None
    key: str
    operation: str
    prefix_walk: Callable[[], Flow[None]]

    def initial(self, position: int) -> Flow[Choice]:
        """Choose the strategy for a walk from an id on.

        From the low end of the ids `key-range` needs no test: there a dropped lower bound costs nothing, and the first
        pages with rows reveal it.
        """
        if self.named is None and position == 0 and isinstance(self.candidates[0], KeyRange):
            return Choice(self.candidates[0])
        return (yield from self.tested())

    def tested(self) -> Flow[Choice]:
        """Choose a strategy by trials, for any position."""
        if self.named is None:
            return self._best((yield from self.probe(self.candidates)))
        if not self.candidates or isinstance(self.named, HOLDS_EVERYWHERE):
            return Choice(self.named)
        report = yield from self.probe([self.named])
        if report.holds(self.named.name) is False:
            best = yield from self.probe(self.candidates)
            raise NoStrategyError(
                f"{self.operation}: this server does not honour the strategy {self.named.name}: "
                f"{report.trials[0].outcome}; use the strategy {best.chosen or 'prefix'}",
                report=report,
            )
        return Choice(self.named, report.known)

    def probe(
        self, candidates: Sequence[Strategy], *, exhaustive: bool = False, strict: bool = False
    ) -> Flow[ProbeReport]:
        """Find out which of some strategies the server honours; `strict` as in `Probing.probe`."""
        return Probing(self.key, self.operation, candidates, exhaustive).probe(self.prefix_walk(), strict=strict)

    def second_strategy(self, first: Strategy) -> Flow[Strategy]:
        """Choose a strategy that shares no weakness with the first one, where the server allows."""
        report = yield from self.probe(self.candidates, exhaustive=True)
        name = independent_strategy(report, frozenset({first.name}))
        return next((candidate for candidate in self.candidates if candidate.name == name), Prefix(self.key))

    def may_change(self, error: RemoteError) -> bool:
        """Return whether a failure shows that the server does not honour the strategy, and another may replace it.

        A named strategy is kept. It is only tested again where its canary may have been deleted.
        """
        if not self.candidates:
            return False
        if self.named is not None:
            return getattr(error, "missing_canary", None) is not None
        return isinstance(error, FilterIgnoredError) or (error.remedy == "stop" and is_verdict(error))

    def replacement(self, failed: Strategy, parts: Sequence[FoundRows]) -> Flow[Choice]:
        """Choose the strategy to continue with, tried on rows already received where these are enough."""
        if self.named is None and known_rows(parts):
            probing = Probing(self.key, self.operation, remaining_candidates(self.candidates, failed))
            report = yield from probing.judge_all(parts)
            if report.chosen is not None:
                return self._best(report)
        return (yield from self.tested())

    def confirm_empty(self) -> Flow[None]:
        """Request everything with one bound, after a walk by `like` found no row, to confirm that there is none.

        The first row ends the call.

        Raises:
            NoStrategyError: there are rows.
        """
        if (yield WindowRequest(SingleFilter(self.key), IdRange(0, MAX_ID), unchecked=1)).rows:
            raise _no_filters_error(self.operation)

    def _best(self, report: ProbeReport) -> Choice:
        """Return the candidate that a report chose; `prefix` where nothing could be tried."""
        if report.chosen is None and report.trials:
            raise NoStrategyError(f"{self.operation}: this server honours no strategy\n{report}", report=report)
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return Choice(by_name[report.chosen] if report.chosen else Prefix(self.key), report.known)
