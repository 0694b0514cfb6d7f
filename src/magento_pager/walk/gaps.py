"""Gaps: how far a wide window may reach, according to a sample of the ids.

What lives here: which samples are taken, by which operator, and the conclusions for rows without ids. As flows;
`sampling` makes the patterns.

For rows with ids, one sample serves the whole rest of a walk. For rows without ids, it only gives their number in the
sampled ids, so that a range with too many rows is sampled in tenths.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from magento_pager.errors import RemoteError
from magento_pager.walk.estimating import placed
from magento_pager.walk.flows import Exactly, Flow, WindowRequest, attempt
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import FEW_ATTEMPTS, action, is_verdict
from magento_pager.walk.sampling import (
    COARSE,
    FIXED,
    Sample,
    extra_digits,
    fewer_digits,
    head_of,
    like_patterns,
    like_query,
    matching,
    narrow_patterns,
    patterns,
    regexp_query,
    sample,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from magento_pager.walk.conditions import Query
    from magento_pager.walk.flows import Reply
    from magento_pager.walk.pages import KnownRow, Token
    from magento_pager.walk.sampling import Pattern
    from magento_pager.walk.windows import Pace

EVEN = frozenset({"single", "block 1", "like 0", "like 1"})
"""Kinds of patterns that count rows with unknown ids well."""
EVERY = EVEN | {"block 2", "block 3", "gap", "like 2", "like 3"}
"""The further kinds count rows well whose ids are 100 or 1,000 apart."""
ONE_CALL = frozenset({"single", "block 1", "like 1"})
"""Even kinds that take one call on any server."""
REMEMBERED = 32_768  # rows without ids that samples recognise as already covered
FRESH = 64  # pages with rows, after which a sample is too old to show how many rows follow
ENOUGH_HITS = 10  # before a sample shows how many rows are ahead
ENOUGH_MATCHED = 3  # ids, before a kind of pattern is corrected by them
DENSEST = 0.98  # rows per id: a row may have been deleted
UNLIKELY = 0.08  # probability that a sample missed rows; over all samples it is a tenth of that
TRUSTED = 1_000  # rows received since the last one that the sample matched
ATTEMPTS = 3  # for a sample whose replies fail because of a row or a gateway; each has other digits


class Gaps:
    """Samples of the ids ahead of a walk."""

    def __init__(
        self, key: str, operation: str, known: KnownRow | None = None, *, plain: bool = False, patient: bool = False
    ) -> None:
        """Begin without samples.

        Args:
            key: the name of the key in filters.
            operation: the operation of the list; the digits of the samples depend on it.
            known: an existing row, which the first sample must return.
            plain: use only `like` with `_`, so one length of ids at a time: a server other than Magento supports it.
            patient: wait for a failed sample where waiting may help; otherwise continue without one.
        """
        self._key = key
        self._operation = operation
        self.calls = 0
        """Calls for samples so far."""
        self._plain = plain
        self._patient = patient
        self._gave_up = False  # on the last sample, for which waiting might have helped
        self._by_regexp = False if plain else None  # None until a sample shows it
        self._known_pattern = str(known.id) if known else ""
        self._covered_rows: dict[Token, None] = {known.token: None} if known else {}
        self._numbered = True  # rows carry ids, as far as is known
        self._even_until_id = -1  # up to there, rows without ids are as dense as before
        self._coarse: Sample | None = None
        self._fine: Sample | None = None
        self._sampled_from, self._sampled_to = 0, -1  # the ids that the fine sample covers
        self._pages = 0  # with rows, since the last sample
        self._unmatched = 0  # rows since the last one that the sample matched
        self._ahead: tuple[list[int], float] | None = None  # ids, and how many rows each of them represents
        self._attempts = 0  # for the current sample; 0: as many as `patience` allows
        self._matched: dict[str, tuple[int, int]] = {}  # by kind of pattern: matched ids, and rows around them

    def record_page(self, tokens: Sequence[Token], window: IdRange) -> None:
        """Take the rows of a page into account: they exist and are covered, and may be fewer than a sample suggested.

        Where ids are evenly spaced, a kind of pattern may match far more of them than its fraction.
        """
        hits = self._fine.hits_in(window) if self._fine else ()
        if hits and window.last <= self._sampled_to:
            for kind, matched in Counter(pattern.kind for _, pattern in hits).items():
                before, rows = self._matched.get(kind, (0, 0))
                self._matched[kind] = before + matched, rows + len(tokens)
        self._pages += 1
        last = tokens[-1]
        unmatched = sum(isinstance(token, int) and token > hits[-1][0] for token in tokens) if hits else len(tokens)
        self._unmatched = unmatched if hits else self._unmatched + unmatched
        if isinstance(last, int):
            self._known_pattern, self._covered_rows = str(last), {last: None}
        else:
            self._numbered = False
            self._covered_rows = dict.fromkeys([*self._covered_rows, *tokens][-REMEMBERED:])
            middle = (window.first + window.last) // 20  # without its last digit
            self._known_pattern = f"{middle}." if 2 * len(tokens) > len(window) > 10 and middle else ""  # noqa: PLR2004  ten

    def reach(self, ids: IdRange, pace: Pace, *, after_rows: bool) -> Flow[int | None]:
        """Return the last id up to which a reply has at most as many rows as the pace allows, according to a sample.

        Args:
            ids: the ids ahead, inclusive; none of them was covered.
            pace: knows how many rows one reply may have.
            after_rows: the last window returned rows, so that the next ones are expected to be about as dense.

        Returns:
            None where no sample is possible, because its replies fail.

        Raises:
            RemoteError: a sample failed.
        """
        if after_rows and not self._numbered:
            even = yield from self._reach_evenly(ids, pace)
            if even is not None:
                return even
        yield from self.refresh(ids.first)
        if self._fine is None:
            return None
        if not self._numbered:
            return (yield from self._reach_without_ids(ids, pace, self._fine))
        return min(self._fine.reach(ids.first, pace.max_rows, self._corrected), self._sampled_to, ids.last)

    def refresh(self, position: int) -> Flow[None]:
        """Take a sample of the ids from a position on, unless the current one still applies.

        Raises:
            RemoteError: the sample failed.
        """
        if position <= self._sampled_to and self._numbered and self._pages < FRESH:
            return  # a sample of rows without ids must be taken again: they may all be covered
        if self._coarse is None and not self._plain:
            self._coarse = yield from self._take(position, None, extra=COARSE)
            if self._coarse is None and self._gave_up:
                self._fine = None
                return
        block = self._block_to_sample(position)
        self._fine = yield from self._take(position, block)
        if self._fine and self._fine.rows and not self._fine.hits and self._numbered:
            self._numbered = False
            self._fine = yield from self._take(position, block)
        self._sampled_from, self._sampled_to = position, MAX_ID if block is None else block.last
        self._pages = 0
        widest = self._fine if block is None else self._coarse
        numbered = widest is not None and len(widest.hits) >= ENOUGH_HITS
        self._ahead = placed([widest], IdRange(position, MAX_ID)) if widest and numbered else None

    def sampled_ids(self, window: IdRange) -> set[int]:
        """Return the ids of a window that the current samples found: rows that exist, unless deleted meanwhile."""
        return {number for taken in (self._coarse, self._fine) if taken for number, _ in taken.hits_in(window)}

    def rules_out(self, ids: IdRange, density: float) -> bool:
        """Return whether the current sample would almost certainly have found rows of that density in these ids.

        It proves nothing where the sample itself may lack rows: then it found none of the recent ones, and none above.
        """
        if self._fine is None or not self._numbered or not self._sampled_from <= ids.first <= self._sampled_to:
            return False
        if self._unmatched > TRUSTED and not self._fine.hits_in(IdRange(min(ids.last, MAX_ID - 1) + 1, MAX_ID)):
            return False
        sampled = sum(pattern.ids_matched(ids) for pattern in self._fine.patterns)
        return float((1 - min(density, DENSEST)) ** sampled) <= UNLIKELY

    def rules_out_anywhere(self, rows: int) -> bool:
        """Return whether the current sample would almost certainly have found one of that many rows anywhere."""
        if self._fine is None or not self._numbered or self._sampled_to < MAX_ID or self._unmatched > TRUSTED:
            return False
        return float((1 - self._fine.fraction) ** rows) <= UNLIKELY

    def rows_ahead(self, position: int, last: int) -> int | None:
        """Return about how many rows there are above an id, up to a last one; None where no sample shows it."""
        if self._ahead is None:
            return None
        numbers, rows_per_id = self._ahead
        return round(rows_per_id * (bisect_right(numbers, last) - bisect_right(numbers, position)))

    def take_samples(self, ids: IdRange, kinds: frozenset[str] = EVERY) -> Flow[list[Sample]]:
        """Sample some ids to count the rows.

        Args:
            ids: the ids, inclusive.
            kinds: kinds of patterns: all, or the even ones.

        Returns:
            Samples of disjoint blocks, or of the same block by patterns of other kinds; none where replies fail because
            of rows. Where rows carry no ids, each length of ids is sampled separately.

        Raises:
            RemoteError: a sample failed.
        """
        if self._plain:
            samples = yield from self._sample_lengths(ids, 0, EVEN)
            extra = fewer_digits(sum(taken.rows for taken in samples))
            more = yield from self._sample_lengths(ids, extra, kinds if extra else kinds - EVEN)
            return more if extra else samples + more
        whole = coarse = yield from self._take(ids.first, None, COARSE, kinds)
        extra = extra_digits(coarse.rows) if coarse else 0
        if extra < COARSE:
            whole = yield from self._take(ids.first, None, extra, kinds)
        if whole and whole.rows and extra == 0 and (extra := fewer_digits(whole.rows)):
            whole = yield from self._take(ids.first, None, extra, kinds)
        if not whole or whole.hits or not whole.rows:
            return [whole] if whole else []
        self._by_regexp = not whole.patterns[0].kind.startswith("like")  # also for each length of ids
        return (yield from self._sample_lengths(ids, extra, kinds, whole.rows))

    def _sample_lengths(
        self, ids: IdRange, extra: int, kinds: frozenset[str], rows: int | None = None
    ) -> Flow[list[Sample]]:
        """Sample each length of ids, by even and by other kinds of patterns, until `rows` rows are found."""
        samples: list[Sample] = []
        for block in _lengths(ids):
            for some in filter(None, (kinds & EVEN, kinds - EVEN)):
                if rows is None or sum(taken.rows for taken in samples) < rows:
                    taken = yield from self._take(ids.first, block, extra, some)
                    samples += [taken] if taken and taken.patterns else []
        return samples

    def sample_tenths(self, block: IdRange) -> Flow[list[Sample]]:
        """Sample each tenth of a decimal block separately, for rows without ids, which one sample cannot place.

        Raises:
            RemoteError: a sample failed.
        """
        samples: list[Sample] = []
        for tenth in block.tenths():
            kinds = frozenset[str]() if head_of(tenth)[1] <= FIXED else ONE_CALL
            taken = yield from self._take(block.first, tenth, 0, kinds)
            samples += [taken] if taken else []
        return samples

    @property
    def _corrected(self) -> dict[str, int]:
        """For each kind of pattern, how many rows a matched id represents, where these are fewer than expected."""
        assert self._fine is not None  # noqa: S101  only used with a sample
        expected = {pattern.kind: pattern.stands_for for _, pattern in self._fine.hits}
        return {
            kind: max(1, min(expected.get(kind, rows), 2 * rows // matched))
            for kind, (matched, rows) in self._matched.items()
            if matched >= ENOUGH_MATCHED
        }

    def _block_to_sample(self, position: int) -> IdRange | None:
        """Return the widest block around a position that a fine sample may cover; None for all ids."""
        if self._plain:
            return next(_blocks(position))
        if self._coarse is None or extra_digits(self._coarse.rows) == 0:
            return None
        numbers = [number for number, _ in self._coarse.hits]
        return next(
            block
            for block in _blocks(position)
            if extra_digits(sum(number in block for number in numbers)) == 0 or len(block) == 1
        )

    def _reach_evenly(self, ids: IdRange, pace: Pace) -> Flow[int | None]:
        """Return the end of a block, several windows wide, if it has hardly more rows than the last windows suggest."""
        if ids.first > self._even_until_id:
            widest, *narrower = _blocks(ids.first)
            block = next((block for block in reversed(narrower) if len(block) >= 10 ** len(str(pace.width))), widest)
            taken = yield from self._take(ids.first, block)
            expected = (block.last - ids.first + 1) * (pace.density or 0.0)
            if taken is None or taken.estimate > max(pace.max_rows, 2 * expected):
                return None
            self._even_until_id = block.last
        return min(self._even_until_id, ids.last)

    def _reach_without_ids(self, ids: IdRange, pace: Pace, whole: Sample) -> Flow[int | None]:
        """Return the same as `reach` where rows have no ids: blocks are sampled, from wide to narrow."""
        if whole.estimate <= pace.max_rows:
            return ids.last
        empty_to = ids.first - 1
        stack = [block for block in reversed(_lengths(ids)) if block.last >= ids.first]
        while stack:
            block = stack.pop()
            if block.last < ids.first:
                continue
            if len(block) <= pace.safe_width:
                return min(block.last, ids.last)
            taken = yield from self._take(ids.first, block)
            if taken is None:
                return empty_to if empty_to >= ids.first else None
            if taken.rows == 0:
                empty_to = block.last
            elif taken.estimate <= pace.max_rows:
                return min(block.last, ids.last)
            else:
                stack += reversed(list(block.tenths()))
        return min(empty_to, ids.last)

    def _take(
        self, seed: int, block: IdRange | None, extra: int = 0, kinds: Collection[str] = ()
    ) -> Flow[Sample | None]:
        """Take a sample of the ids ahead, by some kinds of patterns; None where each attempt fails because of rows.

        Where waiting may help, each attempt is short: the walk itself finds out whether the server is failing.
        """
        for trial in range(1 if self._gave_up else ATTEMPTS):
            last = trial == ATTEMPTS - 1
            self._attempts = 0 if self._patient and last else FEW_ATTEMPTS if trial == 0 and not self._gave_up else 1
            digits = f"{self._operation}/{seed}/{trial}"
            if last and block is None:
                extra = COARSE  # fewer rows: the broken one may not be among them
            narrow = narrow_patterns(digits, head_of(block)[1]) if block is not None and not kinds else ()
            taken: Sample | RemoteError | None = None
            if self._by_regexp is not False and not narrow:
                chosen = kinds or (() if self._numbered else EVEN)  # the other kinds match clusters of rows
                by = _fitting(patterns(digits, extra), block, chosen)
                taken = (yield from self._take_by_regexp(seed, block, by)) if by else sample((), (), block)
            if taken is None:
                free = (1, 2) if self._plain else (1,) if extra > 0 else (0, 1, 2, 3)
                by = [*narrow] or _fitting(like_patterns(digits, extra, free), block, kinds)
                taken = yield from self._take_by_like(seed, block, by)
            if isinstance(taken, Sample):
                self._gave_up = False
                return taken
        self._gave_up = isinstance(taken, RemoteError) and taken.remedy == "retry"
        return None

    def _take_by_regexp(
        self, seed: int, block: IdRange | None, by: Sequence[Pattern]
    ) -> Flow[Sample | RemoteError | None]:
        """Take a sample in one call; None where this server does not read it, the failure where a row breaks it."""
        self.calls += 1
        reply = yield from self._attempt(regexp_query(self._key, by, block, self._known_pattern))
        if isinstance(reply, RemoteError):
            if self._dispensable(reply):
                return reply
            if not is_verdict(reply):
                raise reply
            self._by_regexp = False
            return None
        return self._sample_ahead(reply.tokens, by, seed, block) if self._reads_regexp(reply.tokens, by) else None

    def _take_by_like(self, seed: int, block: IdRange | None, by: Sequence[Pattern]) -> Flow[Sample | RemoteError]:
        """Take a sample in one call for each pattern; return the failure where a row breaks one."""
        tokens: list[Token] = []
        for pattern in by:
            self.calls += 1
            reply = yield from self._attempt(like_query(self._key, pattern, block))
            if isinstance(reply, RemoteError):
                if not self._dispensable(reply):
                    raise reply
                return reply
            tokens += reply.tokens
        return self._sample_ahead(tokens, by, seed, block)

    def _attempt(self, query: Query) -> Flow[Reply | RemoteError]:
        """Send a query, with as many attempts as the current sample may take."""
        return (
            yield from attempt(
                WindowRequest(Exactly(query), IdRange(0, MAX_ID), attempts=self._attempts, tokens_only=True)
            )
        )

    def _dispensable(self, error: RemoteError) -> bool:
        """Return whether the walk can continue without a failed sample: because of a row or a slow server."""
        return action(error, narrowed=True) != "stop" or (error.remedy == "retry" and self._attempts > 0)

    def _reads_regexp(self, tokens: Sequence[Token], by: Sequence[Pattern]) -> bool:
        """Return whether the server reads `regexp`: only known or matching rows were returned, at least one."""
        known = [token for token in tokens if token in self._covered_rows]
        unknown = [token for token in tokens if token not in self._covered_rows]
        if any(isinstance(token, int) and not matching(token, by) for token in unknown):
            self._by_regexp = False
        elif known or unknown:
            self._by_regexp = True
        elif self._known_pattern and self._by_regexp is None:
            self._by_regexp = False
        return bool(self._by_regexp)

    def _sample_ahead(self, tokens: Sequence[Token], by: Sequence[Pattern], seed: int, block: IdRange | None) -> Sample:
        """Return the sample of the returned rows that are not covered yet."""
        ahead = (
            token for token in tokens if token not in self._covered_rows and (isinstance(token, str) or token >= seed)
        )
        return sample(ahead, by, block)


def _fitting(among: Iterable[Pattern], block: IdRange | None, kinds: Collection[str]) -> list[Pattern]:
    """Return the patterns of some kinds, or of all, that ids of a block can match."""
    free = len(str(MAX_ID)) if block is None else head_of(block)[1]
    return [pattern for pattern in among if len(pattern.digits) <= free and (not kinds or pattern.kind in kinds)]


def _lengths(ids: IdRange) -> list[IdRange]:
    """Return all ids of each length that occurs in a range.

    >>> [str(block) for block in _lengths(IdRange(50, 2_000))]
    ['10-99', '100-999', '1000-9999']
    """
    lengths = range(len(str(ids.first)), len(str(ids.last)) + 1)
    return [IdRange(10 ** (length - 1) if length > 1 else 0, 10**length - 1) for length in lengths]


def _blocks(position: int) -> Iterator[IdRange]:
    """Return the decimal blocks around an id, from all ids of its length to itself.

    >>> [str(block) for block in _blocks(1_234)]
    ['1000-9999', '1000-1999', '1200-1299', '1230-1239', '1234-1234']
    """
    yield from _lengths(IdRange(position, position))
    for place in range(len(str(position)) - 1, -1, -1):
        first = position - position % 10**place
        yield IdRange(first, first + 10**place - 1)
