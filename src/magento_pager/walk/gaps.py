"""Gaps: how far a wide window may reach, which a sample of the ids says.

What lives here: which samples are taken, by which operator, and what they say of rows that carry no ids. As flows; what
a sample looks like is known to `sampling`.

Of rows with ids one sample serves the whole rest of a walk. Rows without ids only tell how many there are in the ids
that were sampled, so that a stretch that holds too many is looked at in tenths.
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
"""Kinds of patterns that count rows well whose ids are unknown."""
EVERY = EVEN | {"block 2", "block 3", "gap", "like 2", "like 3"}
"""The others count rows well that lie at even distances of 100 and 1,000."""
ONE_CALL = frozenset({"single", "block 1", "like 1"})
"""Even kinds that take one call on each server."""
REMEMBERED = 32_768  # rows without ids that samples recognise as lying behind
FRESH = 64  # pages with rows, before a sample is too old to say how many rows the open end holds
ENOUGH_HITS = 10  # before a sample tells how many rows are ahead
ENOUGH_MET = 3  # ids, before a kind of pattern is judged by them
DENSEST = 0.98  # rows per id: a row may have been deleted
UNLIKELY = 0.08  # that a sample missed rows; over all samples it is a tenth of that
TRUSTED = 1_000  # rows that came since a row of a sample did
ATTEMPTS = 3  # at a sample that a row breaks, or a gateway gives up on; each has other digits


class Gaps:
    """What is known of the ids ahead."""

    def __init__(
        self, key: str, operation: str, known: KnownRow | None = None, *, plain: bool = False, patient: bool = False
    ) -> None:
        """Begin with nothing.

        Args:
            key: what filters call the key.
            operation: the name of the list: the digits of the samples follow from it.
            known: a row that exists, to be seen in the first sample.
            plain: ask nothing but `like` with `_`, so for one length of ids at a time: all that a server which is not
                Magento's must know.
            patient: wait for a sample where that may help, once others failed; else it is done without.
        """
        self._key = key
        self._operation = operation
        self.calls = 0
        """Calls for samples so far."""
        self._plain = plain
        self._patient = patient
        self._gave_up = False  # on the last sample, which might have come later
        self._by_regexp = False if plain else None  # None until a sample came back, or did not
        self._witness = str(known.id) if known else ""
        self._behind: dict[Token, None] = {known.token: None} if known else {}
        self._numbered = True  # as far as is known
        self._even = -1  # the last id up to which rows without ids lie as before
        self._coarse: Sample | None = None
        self._fine: Sample | None = None
        self._from, self._covered = 0, -1  # the ids that the fine sample speaks of
        self._pages = 0  # with rows, since the last sample
        self._unmet = 0  # rows since the last one that the sample met
        self._ahead: tuple[list[int], float] | None = None  # ids that each stand for so many rows
        self._attempts = 0  # at the sample in turn; 0 for as many as there is patience for
        self._seen: dict[str, tuple[int, int]] = {}  # for each kind of pattern, ids that it met, and rows around them

    def record_page(self, tokens: Sequence[Token], window: IdRange) -> None:
        """Take the rows of a page into account: they lie behind, and exist; and there may be fewer than a sample said.

        Where ids lie at even distances, a kind of pattern may meet far more of them than its share.
        """
        hits = self._fine.hits_in(window) if self._fine else ()
        if hits and window.last <= self._covered:
            for kind, met in Counter(pattern.kind for _, pattern in hits).items():
                before, rows = self._seen.get(kind, (0, 0))
                self._seen[kind] = before + met, rows + len(tokens)
        self._pages += 1
        last = tokens[-1]
        unmet = sum(isinstance(token, int) and token > hits[-1][0] for token in tokens) if hits else len(tokens)
        self._unmet = unmet if hits else self._unmet + unmet
        if isinstance(last, int):
            self._witness, self._behind = str(last), {last: None}
        else:
            self._numbered = False
            self._behind = dict.fromkeys([*self._behind, *tokens][-REMEMBERED:])
            middle = (window.first + window.last) // 20  # without its last digit
            self._witness = f"{middle}." if 2 * len(tokens) > len(window) > 10 and middle else ""  # noqa: PLR2004  ten

    def reach(self, ids: IdRange, pace: Pace, *, after_rows: bool) -> Flow[int | None]:
        """The last id up to which a reply brings no more than the pace allows, as far as a sample can tell.

        Args:
            ids: the ids ahead, inclusive; none of them was covered.
            pace: says how many rows one reply may hold.
            after_rows: the last window brought rows, so that the next are expected to be about as many for their width.

        Returns:
            None where no sample can be had, as rows break it or a gateway gives up on it.

        Raises:
            RemoteError: a sample failed.
        """
        if after_rows and not self._numbered:
            even = yield from self._even_until(ids, pace)
            if even is not None:
                return even
        yield from self.refresh(ids.first)
        if self._fine is None:
            return None
        if not self._numbered:
            return (yield from self._reach_without_ids(ids, pace, self._fine))
        return min(self._fine.reach(ids.first, pace.max_rows, self._worth), self._covered, ids.last)

    def refresh(self, position: int) -> Flow[None]:
        """Take a sample of the ids from a position on, unless there is one that still serves.

        Raises:
            RemoteError: the sample failed.
        """
        if position <= self._covered and self._numbered and self._pages < FRESH:
            return  # rows without ids may all be behind by the next time
        if self._coarse is None and not self._plain:
            self._coarse = yield from self._taken(position, None, extra=COARSE)
            if self._coarse is None and self._gave_up:
                self._fine = None
                return
        block = self._block(position)
        self._fine = yield from self._taken(position, block)
        if self._fine and self._fine.rows and not self._fine.hits and self._numbered:
            self._numbered = False
            self._fine = yield from self._taken(position, block)
        self._from, self._covered = position, MAX_ID if block is None else block.last
        self._pages = 0
        widest = self._fine if block is None else self._coarse
        numbered = widest is not None and len(widest.hits) >= ENOUGH_HITS
        self._ahead = placed([widest], IdRange(position, MAX_ID)) if widest and numbered else None

    def sampled_ids(self, window: IdRange) -> set[int]:
        """Return the ids of a window that the present samples met: rows that exist, unless they were deleted since."""
        return {number for one in (self._coarse, self._fine) if one for number, _ in one.hits_in(window)}

    def rules_out(self, ids: IdRange, density: float) -> bool:
        """Return whether the present sample would have met rows that lie so densely in these ids, all but certainly.

        Not where it may have left out rows itself: then it met none of those that came lately, and none further on.
        """
        if self._fine is None or not self._numbered or not self._from <= ids.first <= self._covered:
            return False
        if self._unmet > TRUSTED and not self._fine.hits_in(IdRange(min(ids.last, MAX_ID - 1) + 1, MAX_ID)):
            return False
        looked_at = sum(pattern.ids_matched(ids) for pattern in self._fine.patterns)
        return float((1 - min(density, DENSEST)) ** looked_at) <= UNLIKELY

    def rules_out_anywhere(self, rows: int) -> bool:
        """Return whether the present sample would have met one of so many rows, wherever they are, almost surely."""
        if self._fine is None or not self._numbered or self._covered < MAX_ID or self._unmet > TRUSTED:
            return False
        return float((1 - self._fine.fraction) ** rows) <= UNLIKELY

    def rows_ahead(self, behind: int, last: int) -> int | None:
        """How many rows there are above an id, up to a last one, about; None where no sample was taken that tells."""
        if self._ahead is None:
            return None
        numbers, each = self._ahead
        return round(each * (bisect_right(numbers, last) - bisect_right(numbers, behind)))

    def take_samples(self, ids: IdRange, kinds: frozenset[str] = EVERY) -> Flow[list[Sample]]:
        """Sample some ids to count the rows.

        Args:
            ids: the ids, inclusive.
            kinds: of patterns: all, or the even ones.

        Returns:
            Samples of blocks that have no id in common, or of the same block by patterns of other kinds; none where
            rows break them. Where rows carry no ids, each length of ids is sampled by itself.

        Raises:
            RemoteError: a sample failed.
        """
        if self._plain:
            found = yield from self._by_length(ids, 0, EVEN)
            extra = fewer_digits(sum(one.rows for one in found))
            more = yield from self._by_length(ids, extra, kinds if extra else kinds - EVEN)
            return more if extra else found + more
        whole = coarse = yield from self._taken(ids.first, None, COARSE, kinds)
        extra = extra_digits(coarse.rows) if coarse else 0
        if extra < COARSE:
            whole = yield from self._taken(ids.first, None, extra, kinds)
        if whole and whole.rows and extra == 0 and (extra := fewer_digits(whole.rows)):
            whole = yield from self._taken(ids.first, None, extra, kinds)
        if not whole or whole.hits or not whole.rows:
            return [whole] if whole else []
        self._by_regexp = not whole.patterns[0].kind.startswith("like")  # as each length of ids is
        return (yield from self._by_length(ids, extra, kinds, whole.rows))

    def _by_length(
        self, ids: IdRange, extra: int, kinds: frozenset[str], rows: int | None = None
    ) -> Flow[list[Sample]]:
        """A sample of each length of ids, by even kinds of patterns and by others, until so many rows came."""
        found: list[Sample] = []
        for block in _lengths(ids):
            for some in filter(None, (kinds & EVEN, kinds - EVEN)):
                if rows is None or sum(one.rows for one in found) < rows:
                    one = yield from self._taken(ids.first, block, extra, some)
                    found += [one] if one and one.patterns else []
        return found

    def sample_tenths(self, block: IdRange) -> Flow[list[Sample]]:
        """Sample the tenths of a decimal block, each by itself: for rows without ids, which no sample places.

        Raises:
            RemoteError: a sample failed.
        """
        found: list[Sample] = []
        for tenth in block.tenths():
            kinds = frozenset[str]() if head_of(tenth)[1] <= FIXED else ONE_CALL
            one = yield from self._taken(block.first, tenth, 0, kinds)
            found += [one] if one else []
        return found

    @property
    def _worth(self) -> dict[str, int]:
        """How many rows an id stands for that a kind of pattern met, where that is fewer than it should."""
        assert self._fine is not None  # noqa: S101  something was learnt of it
        least = {pattern.kind: pattern.stands_for for _, pattern in self._fine.hits}
        return {
            kind: max(1, min(least.get(kind, rows), 2 * rows // met))
            for kind, (met, rows) in self._seen.items()
            if met >= ENOUGH_MET
        }

    def _block(self, position: int) -> IdRange | None:
        """The widest block around a position that a fine sample may look at; None for all ids."""
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

    def _even_until(self, ids: IdRange, pace: Pace) -> Flow[int | None]:
        """The end of a block of some windows that holds hardly more rows without ids than the last ones let expect."""
        if ids.first > self._even:
            widest, *narrower = _blocks(ids.first)
            block = next((one for one in reversed(narrower) if len(one) >= 10 ** len(str(pace.width))), widest)
            found = yield from self._taken(ids.first, block)
            expected = (block.last - ids.first + 1) * (pace.density or 0.0)
            if found is None or found.estimate > max(pace.max_rows, 2 * expected):
                return None
            self._even = block.last
        return min(self._even, ids.last)

    def _reach_without_ids(self, ids: IdRange, pace: Pace, seen: Sample) -> Flow[int | None]:
        """The same where nobody knows where the rows of a sample are: stretches are sampled, from wide to narrow."""
        if seen.estimate <= pace.max_rows:
            return ids.last
        clear = ids.first - 1
        stack = [block for block in reversed(_lengths(ids)) if block.last >= ids.first]
        while stack:
            block = stack.pop()
            if block.last < ids.first:
                continue
            if len(block) <= pace.safe_width:
                return min(block.last, ids.last)
            found = yield from self._taken(ids.first, block)
            if found is None:
                return clear if clear >= ids.first else None
            if found.rows == 0:
                clear = block.last
            elif found.estimate <= pace.max_rows:
                return min(block.last, ids.last)
            else:
                stack += reversed(list(block.tenths()))
        return min(clear, ids.last)

    def _taken(
        self, seed: int, block: IdRange | None, extra: int = 0, kinds: Collection[str] = ()
    ) -> Flow[Sample | None]:
        """A sample of the ids ahead, by some kinds of patterns; None where rows break every reply that it comes in.

        Where waiting may help, each is tried a few times only: the walk finds out by itself whether the server is well.
        """
        for trial in range(1 if self._gave_up else ATTEMPTS):
            last = trial == ATTEMPTS - 1
            self._attempts = 0 if self._patient and last else FEW_ATTEMPTS if trial == 0 and not self._gave_up else 1
            digits = f"{self._operation}/{seed}/{trial}"
            if last and block is None:
                extra = COARSE  # fewer rows, so that all of them may be sound
            narrow = narrow_patterns(digits, head_of(block)[1]) if block is not None and not kinds else ()
            found: Sample | RemoteError | None = None
            if self._by_regexp is not False and not narrow:
                chosen = kinds or (() if self._numbered else EVEN)  # others come in clumps
                of = _fitting(patterns(digits, extra), block, chosen)
                found = (yield from self._taken_by_regexp(seed, block, of)) if of else sample((), (), block)
            if found is None:
                free = (1, 2) if self._plain else (1,) if extra > 0 else (0, 1, 2, 3)
                of = [*narrow] or _fitting(like_patterns(digits, extra, free), block, kinds)
                found = yield from self._taken_by_like(seed, block, of)
            if isinstance(found, Sample):
                self._gave_up = False
                return found
        self._gave_up = isinstance(found, RemoteError) and found.remedy == "retry"
        return None

    def _taken_by_regexp(
        self, seed: int, block: IdRange | None, of: Sequence[Pattern]
    ) -> Flow[Sample | RemoteError | None]:
        """A sample in one call; None where this server does not read it; the failure where a row breaks it."""
        self.calls += 1
        reply = yield from self._attempt(regexp_query(self._key, of, block, self._witness))
        if isinstance(reply, RemoteError):
            if self._does_without(reply):
                return reply
            if not is_verdict(reply):
                raise reply
            self._by_regexp = False
            return None
        return self._sample(reply.tokens, of, seed, block) if self._understood(reply.tokens, of) else None

    def _taken_by_like(self, seed: int, block: IdRange | None, of: Sequence[Pattern]) -> Flow[Sample | RemoteError]:
        """A sample in one call for each pattern; the failure where a row breaks one."""
        tokens: list[Token] = []
        for pattern in of:
            self.calls += 1
            reply = yield from self._attempt(like_query(self._key, pattern, block))
            if isinstance(reply, RemoteError):
                if not self._does_without(reply):
                    raise reply
                return reply
            tokens += reply.tokens
        return self._sample(tokens, of, seed, block)

    def _attempt(self, query: Query) -> Flow[Reply | RemoteError]:
        """Send the request, for as long as there is patience or a few times only."""
        return (
            yield from attempt(
                WindowRequest(Exactly(query), IdRange(0, MAX_ID), attempts=self._attempts, tokens_only=True)
            )
        )

    def _does_without(self, error: RemoteError) -> bool:
        """Whether a sample that failed may be done without: a row may be at fault, or it took too long."""
        return action(error, narrowed=True) != "stop" or (error.remedy == "retry" and self._attempts > 0)

    def _understood(self, tokens: Sequence[Token], of: Sequence[Pattern]) -> bool:
        """Whether the server reads a `regexp`: the witness came back, or rows that match, and no others."""
        known = [token for token in tokens if token in self._behind]
        others = [token for token in tokens if token not in self._behind]
        if any(isinstance(token, int) and not matching(token, of) for token in others):
            self._by_regexp = False
        elif known or others:
            self._by_regexp = True
        elif self._witness and self._by_regexp is None:
            self._by_regexp = False
        return bool(self._by_regexp)

    def _sample(self, tokens: Sequence[Token], of: Sequence[Pattern], seed: int, block: IdRange | None) -> Sample:
        """What the rows ahead show, among some that came."""
        ahead = (token for token in tokens if token not in self._behind and (isinstance(token, str) or token >= seed))
        return sample(ahead, of, block)


def _fitting(of: Iterable[Pattern], block: IdRange | None, kinds: Collection[str]) -> list[Pattern]:
    """The patterns of some kinds, or of all, that ids of a block may end in."""
    free = len(str(MAX_ID)) if block is None else head_of(block)[1]
    return [one for one in of if len(one.digits) <= free and (not kinds or one.kind in kinds)]


def _lengths(ids: IdRange) -> list[IdRange]:
    """All ids of each length that some of these have.

    >>> [str(block) for block in _lengths(IdRange(50, 2_000))]
    ['10-99', '100-999', '1000-9999']
    """
    lengths = range(len(str(ids.first)), len(str(ids.last)) + 1)
    return [IdRange(10 ** (length - 1) if length > 1 else 0, 10**length - 1) for length in lengths]


def _blocks(position: int) -> Iterator[IdRange]:
    """The decimal blocks around an id, from all ids of its length to itself.

    >>> [str(block) for block in _blocks(1_234)]
    ['1000-9999', '1000-1999', '1200-1299', '1230-1239', '1234-1234']
    """
    yield from _lengths(IdRange(position, position))
    for place in range(len(str(position)) - 1, -1, -1):
        first = position - position % 10**place
        yield IdRange(first, first + 10**place - 1)
