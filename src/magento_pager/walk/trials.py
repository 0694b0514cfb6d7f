"""Which strategy does this server honour? Decided from ids that came back.

What lives here: the trial of one strategy on rows that are known, the search for such rows, and the choice. As flows.

A strategy holds only if exactly the known rows inside a window come back, where known rows lie below, inside and above
it. They are sought at the low end of the ids because a dropped lower bound then returns few rows: of a pair of bounds
it is always the upper one that may survive alone. Nothing is trusted because it did not fault.
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
from magento_pager.walk.strategies import Alias, KeyRange, Mapped, Prefix, Range, SingleFilter, needs_canary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from magento_pager.walk.flows import Item, Reply
    from magento_pager.walk.pages import Token
    from magento_pager.walk.strategies import Strategy

T = TypeVar("T")
HOLDS_EVERYWHERE = (Prefix, SingleFilter)
"""Strategies that every version and list honours: one condition, one bound."""

FINDING = 30  # calls at most to find rows
JUDGING = 12  # and to judge strategies on them
INSIST = 4  # more attempts where a small reply fails
ENOUGH_STRAY = 10  # rows: the rest of the reply is not read


@dataclass(slots=True)
class Probing:
    """Trials of strategies, within so many calls.

    At most 30 calls find rows at the low end of the ids, by decimal blocks, which every version understands; at most
    12 judge the candidates on them. No reply holds more than a few thousand rows.

    Attributes:
        key: what filters call the key.
        operation: the name of the list.
        candidates: strategies in order of preference.
        exhaustive: judge every candidate, instead of ending with the first that holds.
        left: calls that may still be made.
        met: the ids of rows that came.
        failed: calls that failed.
        failure: the last one's, where there was one.
        broken: rows were skipped because their replies break.
    """

    key: str
    operation: str
    candidates: Sequence[Strategy]
    exhaustive: bool = False
    left: int = JUDGING
    met: set[int] = field(default_factory=set)
    failed: int = 0
    failure: RemoteError | None = None
    broken: bool = False

    def probe(self, looking: Flow[None], *, strict: bool = False) -> Flow[ProbeReport]:
        """Ask the server which of the candidates it honours.

        Args:
            looking: a walk over all ids that rests on `prefix`, in narrow windows, and skips what breaks its replies.
            strict: raise where nothing is found out because replies break.

        Raises:
            NoStrategyError: there are rows, and decimal blocks bring none; or none came as each broke its reply.
            RemoteError: a call failed in a way that says nothing of filters: connection, login, rights.
        """
        self.left = FINDING
        seen = yield from self._find_rows(looking)
        if strict and self.failure and (self.broken or not self.left) and not any(one.rows for one in seen):
            raise self._nothing_came(self.failure) from self.failure
        self.left += JUDGING
        numbers = [token for one in seen for token in one.rows if isinstance(token, int)]
        if numbers:  # gaps are skipped by `like`
            lowest = yield from self._within(self._all_of(IdRange(numbers[0], numbers[0])))
            if lowest:
                yield from self._check_heard(numbers[0], lowest)
        report = yield from self.judge_all(seen)
        return replace(report, calls=FINDING + JUDGING - self.left)

    def judge_all(self, seen: Sequence[FoundRows]) -> Flow[ProbeReport]:
        """Say what rows that are known prove about the candidates.

        Args:
            seen: all rows of some ranges; below the lowest there are few or none.

        Raises:
            RemoteError: as `probe`.
        """
        before = self.left
        on = known_rows(seen)
        trials = (yield from self._trials(on, seen)) if on else []
        holding = {trial.strategy for trial in trials if trial.verdict == "holds"}
        fit = (one for one in self.candidates if on and (one.name in holding or isinstance(one, HOLDS_EVERYWHERE)))
        chosen = next((one.name for one in fit), None)
        rows = sum(len(one.rows) for one in seen)
        canary = next((token for one in seen for token in one.rows if isinstance(token, int)), None)
        return ProbeReport(self.operation, chosen, rows, before - self.left, tuple(trials), canary)

    def _trials(self, on: KnownRows, seen: Sequence[FoundRows]) -> Flow[list[Trial]]:
        """Take the evidence, up to the first candidate that holds or, if `exhaustive`, for each one."""
        trials: list[Trial] = []
        canary: KnownRow | None = None
        left = list(self.candidates)
        while left:
            candidate = left.pop(0)
            if isinstance(candidate, HOLDS_EVERYWHERE):
                if not self.exhaustive:
                    break
                continue
            if needs_canary(candidate) and canary is None:
                canary = yield from self._within(self._canary(on, seen))
            given = canary if needs_canary(candidate) else None
            trial = yield from self._within(self._judge(candidate, on, given))
            if trial and trial.verdict == "faults":  # a server that stumbles once is no reason to do without it
                trial = yield from self._within(self._judge(candidate, on, given))
            if trial is None:
                break
            trials.append(trial)
            if trial.verdict == "holds" and not self.exhaustive:
                break
            if not self.exhaustive:  # the hopeless ones come last, or not at all where it is certain
                hopeful = remaining_candidates(left, candidate)
                left = hopeful + [one for one in left if one not in hopeful and trial.verdict == "faults"]
        return trials

    def _judge(self, strategy: Strategy, on: KnownRows, canary: KnownRow | None) -> Flow[Trial]:
        """Put the window to the server in the words of one strategy, and compare.

        Args:
            strategy: the one to judge.
            on: the rows that must come back, and those that must not. No more is read once enough others came.
            canary: a row outside the window; None where the strategy needs none.
        """
        expected = on.inside | ({canary.token} if canary else set())
        queries = list(strategy.queries(on.window, canary.id if canary else None))
        reply = yield from attempt(WindowRequest(strategy, on.window, canary, unchecked=len(expected) + ENOUGH_STRAY))
        fault: str | None = None
        returned: frozenset[Token] = frozenset()
        stray: list[Token] = []
        if isinstance(reply, RemoteError):
            if not is_verdict(reply):
                raise reply
            fault = str(reply)
        else:
            spans = [query.span for query in queries]  # within, it is new, or trimmed in use
            within = [token for token in reply.ids if any(token in span for span in spans)]
            returned = expected & set(reply.tokens)
            stray = [token for token in reply.tokens if token not in expected.union(within)][:ENOUGH_STRAY]
            if not stray and len(expected - returned) < FEWEST:
                expected -= yield from self._deleted(expected - returned)
        verdict: Verdict = "faults" if fault else "holds" if returned == expected and not stray else "ignored"
        seconds = 0.0 if isinstance(reply, RemoteError) else round(reply.seconds, 3)
        asked = " / ".join(map(str, queries))
        return Trial(strategy.name, asked, len(expected), len(returned), tuple(stray), fault, seconds, verdict)

    def _deleted(self, missing: Iterable[Token]) -> Flow[set[Token]]:
        """Find those of a few missing rows that are no longer there."""
        gone: set[Token] = set()
        for token in missing:
            if isinstance(token, int) and token not in (yield from self._all_of(IdRange(token, token))).rows:
                gone.add(token)
        return gone

    def _within(self, flow: Flow[T]) -> Flow[T | None]:
        """Go on with a flow as long as there are calls left; None where they did not suffice."""

        def relay(item: Item) -> Flow[Reply]:
            if not isinstance(item, WindowRequest):
                return (yield item)
            self.left -= sum(1 for _ in item.strategy.queries(item.window, item.known and item.known.id))
            if self.left < 0:
                self.left = 0
                raise _NoCallsLeftError
            reply = yield from attempt(item)
            if isinstance(reply, RemoteError):
                self.failed, self.failure = self.failed + 1, reply
                raise reply
            self.met.update(reply.ids)
            return reply

        try:
            return (yield from relayed(flow, relay))
        except _NoCallsLeftError:
            return None

    def _find_rows(self, looking: Flow[None]) -> Flow[list[FoundRows]]:
        """Look at all rows at the low end of the ids, in parts, until they make a ground or cost too much."""
        seen: list[FoundRows] = []
        pieces = self._within(looking)
        while (piece := (yield from next_piece(pieces))) is not None:
            self.broken |= bool(piece.quarantined)
            seen.append(FoundRows(piece.window, tuple(token for token, _ in piece.rows)))
            if known_rows(seen):
                return seen
            if len(self.met) >= FEWEST:
                return (yield from self._around(self.met))
            if range_to_split(seen):
                break
        pieces.close()
        while not known_rows(seen) and (crowded := range_to_split(seen)):
            place = next(place for place, one in enumerate(seen) if one.ids == crowded)
            blocks = list(crowded.blocks())
            parts = blocks if len(blocks) > 1 else list(crowded.tenths())
            looked_at = yield from self._within(self._each_of(parts))
            if looked_at is None:
                break
            seen[place : place + 1] = looked_at
        return seen

    def _each_of(self, blocks: Iterable[IdRange]) -> Flow[list[FoundRows]]:
        """Look at all rows of some narrow ranges, one after the other."""
        seen = []
        for block in blocks:
            found = yield from self._all_of(block)
            seen.append(found)
        return seen

    def _all_of(self, block: IdRange) -> Flow[FoundRows]:
        """Look at all rows of a narrow range."""
        reply = yield WindowRequest(Prefix(self.key), block, insist=INSIST)
        return FoundRows(block, reply.tokens)

    def _around(self, met: set[int]) -> Flow[list[FoundRows]]:
        """Look at all rows around the second of some that were met in samples, and at those by themselves.

        Below the first there may be others that no sample met, up to a thousand of them: of a server that drops a
        lower bound they would come back.
        """
        second = sorted(met)[1]
        block = IdRange(second - second % 100, min(second - second % 100 + 99, MAX_ID))
        around = yield from attempt_flow(self._all_of(block))
        if isinstance(around, RemoteError):
            if action(around, narrowed=True) == "stop":
                raise around
            around = FoundRows(IdRange(second, second), (second,))  # another row of the block breaks its replies
        yield from self._check_heard(second, around)
        alone = (FoundRows(IdRange(one, one), (one,)) for one in met if one not in around.ids)
        return sorted([around, *alone], key=lambda seen: seen.ids)

    def _check_heard(self, number: int, seen: FoundRows) -> Flow[None]:
        """Raise if a row is not among those that `like` brought, and has not been deleted either."""
        if number in seen.rows:
            return
        low = IdRange(0, number)  # at the low end that is a small reply
        if number in (yield WindowRequest(SingleFilter(self.key), low, insist=INSIST, unchecked=MAX_ID)).ids:
            raise _no_filters(self.operation)

    def _nothing_came(self, failure: RemoteError) -> NoStrategyError:
        words = str(failure).removeprefix(f"{self.operation}: ")
        return NoStrategyError(
            f"{self.operation}: no row came to try a strategy on, as replies break: {self.failed} calls failed, the "
            f"last with {words}",
            report=ProbeReport(self.operation, None, 0, FINDING - self.left, ()),
        )

    def _canary(self, on: KnownRows, seen: Sequence[FoundRows]) -> Flow[KnownRow | None]:
        """Find a row outside the ground's window."""
        numbers = sorted(token for token in on.outside if isinstance(token, int))
        if numbers:
            return KnownRow(numbers[0], numbers[0])
        part = next(one.ids for one in seen if one.rows and one.ids != on.window)
        reply = yield WindowRequest(Prefix(self.key), part, insist=INSIST)
        return (yield from find_known_row(reply, part, self.key, insist=INSIST))


class _NoCallsLeftError(Exception):
    """Ends a flow that may make no further call."""


def remaining_candidates(candidates: Iterable[Strategy], failed: Strategy) -> list[Strategy]:
    """Return those of the candidates that may hold though another one does not.

    A server that does not honour a key range in its most careful form honours no pair of bounds.

    >>> [one.name for one in remaining_candidates([KeyRange(), Range(), Alias(), Prefix()], KeyRange())]
    ['prefix']
    """
    hopeless = (KeyRange, Range, Alias, Mapped) if isinstance(failed, KeyRange) else ()
    return [one for one in candidates if one != failed and not isinstance(one, hopeless)]


def _no_filters(operation: str) -> NoStrategyError:
    return NoStrategyError(
        f"{operation}: decimal blocks do not bring the rows there are: this server honours no filter that a "
        "strategy could rest on, as with WS-I on Magento 1.5.1 to 1.6.2; switch WS-I off there",
        report=ProbeReport(operation, None, 0, 0, ()),
    )


class Choice(NamedTuple):
    """A strategy to walk with.

    Attributes:
        strategy: the strategy.
        known: a row that was met on the way, which may serve as a canary.
    """

    strategy: Strategy
    known: KnownRow | None = None


@dataclass(frozen=True, slots=True)
class Choosing:
    """Which strategy a walk uses, and which one takes its place where the server does not honour it.

    Attributes:
        candidates: strategies in order of preference; where there are none, the one by name is not tested.
        named: the one that the user chose; None to choose by asking.
        key: what filters call the key.
        operation: the name of the list, for messages.
        looking: gives a walk over all ids, as `probe` needs it.
    """

    candidates: Sequence[Strategy]
    named: Strategy | None
    key: str
    operation: str
    looking: Callable[[], Flow[None]]

    def initial(self, position: int) -> Flow[Choice]:
        """Choose the strategy for a walk from an id on.

        From the low end of the ids a key range needs no test: there a dropped lower bound costs nothing, and the first
        pages with rows show it.
        """
        if self.named is None and position == 0 and isinstance(self.candidates[0], KeyRange):
            return Choice(self.candidates[0])
        return (yield from self.tested())

    def tested(self) -> Flow[Choice]:
        """Choose the strategy by asking the server, wherever it will be used."""
        if self.named is None:
            return self._best((yield from self.probe(self.candidates)))
        if not self.candidates or isinstance(self.named, HOLDS_EVERYWHERE):
            return Choice(self.named)
        report = yield from self.probe([self.named])
        if report.holds(self.named.name) is False:
            best = yield from self.probe(self.candidates)
            raise NoStrategyError(
                f"{self.operation}: the strategy {self.named.name} does not hold on this server: "
                f"{report.trials[0].outcome}; use the strategy {best.chosen or 'prefix'}",
                report=report,
            )
        return Choice(self.named, report.known)

    def probe(
        self, candidates: Sequence[Strategy], *, exhaustive: bool = False, strict: bool = False
    ) -> Flow[ProbeReport]:
        """Ask which of some strategies the server honours; `strict` as in `Probing.probe`."""
        return Probing(self.key, self.operation, candidates, exhaustive).probe(self.looking(), strict=strict)

    def second_strategy(self, first: Strategy) -> Flow[Strategy]:
        """Choose a strategy that differs from the one that is used as far as the server allows."""
        report = yield from self.probe(self.candidates, exhaustive=True)
        name = independent_strategy(report, frozenset({first.name}))
        return next((one for one in self.candidates if one.name == name), Prefix(self.key))

    def may_change(self, error: RemoteError) -> bool:
        """Whether a failure says that the strategy is not honoured, and another one may be taken.

        One chosen by name is kept, unless its canary may merely have been deleted.
        """
        if not self.candidates:
            return False
        if self.named is not None:
            return getattr(error, "missing_canary", None) is not None
        return isinstance(error, FilterIgnoredError) or (error.remedy == "stop" and is_verdict(error))

    def replacement(self, failed: Strategy, seen: Sequence[FoundRows]) -> Flow[Choice]:
        """Choose the strategy to go on with, tried on rows that came already where they are enough for that."""
        if self.named is None and known_rows(seen):
            probing = Probing(self.key, self.operation, remaining_candidates(self.candidates, failed))
            report = yield from probing.judge_all(seen)
            if report.chosen is not None:
                return self._best(report)
        return (yield from self.tested())

    def confirm_empty(self) -> Flow[None]:
        """Request everything with one bound, after a walk met no row: then `like` brought none because there is none.

        The first row ends the call.

        Raises:
            NoStrategyError: there are rows.
        """
        if (yield WindowRequest(SingleFilter(self.key), IdRange(0, MAX_ID), unchecked=1)).rows:
            raise _no_filters(self.operation)

    def _best(self, report: ProbeReport) -> Choice:
        """Take the first candidate that holds."""
        if report.chosen is None and report.trials:
            raise NoStrategyError(f"{self.operation}: no strategy holds on this server\n{report}", report=report)
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return Choice(by_name[report.chosen] if report.chosen else Prefix(self.key), report.known)
