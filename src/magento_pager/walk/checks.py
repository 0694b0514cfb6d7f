"""Checks: missing and wrong rows are only noticed when replies are compared with each other.

What lives here: the reasons to doubt a reply, and the choice of the version to accept. As flows; `walk` chooses the
windows.

- A row that a sample found must be in the reply to its window.
- A row without an id must not have been received before, as far back as the walk remembers.
- Far fewer rows than the ones before suggest are doubtful: an empty reply among full ones, or half a page. The next
  window begins after the last row, and so covers the ids after it again; a complete reply is requested again.
- The end of the list is requested again where a sample does not rule out further rows.
- On every sixteenth page another strategy must return the same rows, because nothing else reveals a misread filter. It
  is an `in` list or another key range, which scan no table, or `like` where the server honours none or rows carry no
  ids.

A doubtful reply is requested again by an equivalent query, and delivered only in a version on which both queries agree.
None of this can surely reveal a single row that a server drops, or a replica that lags behind.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

from magento_pager.errors import FilterIgnoredError
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.flows import Exactly, Flow, Reply, WindowRequest, attempt
from magento_pager.walk.pages import row_order
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import WITHOUT_WSI, InList, Prefix, SingleFilter, is_decimal, strategy_advice, widest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from magento_pager.walk.gaps import Gaps
    from magento_pager.walk.pages import Token
    from magento_pager.walk.strategies import Strategy

COMPARED_EVERY = 16  # pages with rows
DOUBTFUL = 0.5  # fraction of the returned rows: a reply is doubtful where at least that many more may be missing
FEW_MISSING = 2  # rows: a query that returned some may lack fewer by chance
WORTH_A_CALL = 10  # rows: fewer expected rows may all be missing by chance
MOST_NEW = 10  # rows that may have been added between two calls
NEAREST = 100  # rows from which the density of the ids next to them is estimated
MOST_OUTLIERS = 3  # pages with a number far from all others, after which such numbers are normal
MOST_VERSIONS = 4  # without three alike: then rows are being added and deleted
MOST_REQUESTS = 8  # for a doubtful window


class Identities:
    """Texts received before, each as a 64-bit hash: at most 3 million, which take 32 MB.

    >>> received = Identities()
    >>> received.add(["100000001", "100000002"])
    >>> "100000001" in received, "100000003" in received
    (True, False)
    """

    MOST = 3 << 20

    def __init__(self) -> None:
        self._count = 0
        self._slots = array("Q", bytes(8 << 10))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: object) -> bool:
        return bool(self._slots[self._place(self._hash(text))])

    def add(self, texts: Iterable[str]) -> None:
        """Remember texts, up to the limit."""
        for text in texts:
            number = self._hash(text)
            place = self._place(number)
            if self._slots[place] or self._count >= self.MOST:
                continue
            self._slots[place] = number
            self._count += 1
            if 4 * self._count > 3 * len(self._slots) and self._count < self.MOST:
                self._grow()

    @staticmethod
    def _hash(text: object) -> int:
        return hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1  # 0 means free

    def _place(self, number: int) -> int:
        """Return the slot of a number, or the free slot for it."""
        last = len(self._slots) - 1
        place = number & last
        while (stored := self._slots[place]) and stored != number:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        numbers = self._slots
        self._slots = array("Q", bytes(16 * len(numbers)))
        for number in filter(None, numbers):
            self._slots[self._place(number)] = number


class Checks:
    """Checks of replies against those received so far.

    Attributes:
        last: the id of the last row; None where no row was received, or it carried no id.
    """

    def __init__(
        self,
        gaps: Gaps,
        key: str,
        operation: str,
        identity_field: str | None,
        *,
        identities: Iterable[str] = (),
        second: Strategy | None = None,
        ranges: Iterable[Strategy] = (),
    ) -> None:
        """Begin without replies.

        Args:
            gaps: knows the rows that samples found.
            key: the name of the key in filters.
            operation: the operation of the list, for messages.
            identity_field: another field that no two rows share; None where every row has an id.
            identities: those of rows without ids that were received before this walk.
            second: a strategy to request every window by as well; None to compare only where there is a reason.
            ranges: equivalent strategies, for comparisons; `like` replaces those that the server does not honour.
        """
        self._key, self._operation, self._identity_field = key, operation, identity_field
        self._gaps = gaps
        self._identities = Identities()
        self._identities.add(identities)
        self._second = second
        self._ranges = list(ranges)
        self._pages = 0  # with rows
        self.last: int | None = None
        self._density: float | None = None  # of the rows of the last page
        self._confirmed = False  # two replies for the current window agree
        self._highest = ""  # identity received so far
        self._outliers = 0  # pages with a number far from the others that was correct
        self._rising = True  # the identities of each page were above the earlier ones

    def confirm(
        self,
        reply: Reply,
        request: WindowRequest,
        window: IdRange,
        new: int,
        *,
        own: bool,
        after_rows: bool,
        least: int,
    ) -> Flow[Reply]:
        """Return a confirmed reply: this one, or one on which two calls agree.

        Args:
            reply: the reply to check.
            request: the request that it answers.
            window: the ids it covers.
            new: the first of them that no earlier call covered.
            own: the request used the walk's own strategy.
            after_rows: the window before it returned rows.
            least: number of rows that exist, according to a wider window.

        Raises:
            FilterIgnoredError: the server misread a condition, or answers differently each time.
        """
        self._confirmed = False
        request = replace(request, following=None, check=True)
        if self._second is None and reply.rows:
            reply = yield from self._recheck_blocks(reply, request, window)
        names = [token for token in reply.tokens if isinstance(token, str)]
        repeated = self.repeated_identities(reply)
        outlier = False
        if self._second is not None:
            reply = yield from self._agreed(reply, request, self._second_request(request, window, self._second), window)
        elif repeated and window.last < MAX_ID:  # maybe a dropped condition: use another strategy
            reply = yield from self._agreed(reply, request, self._universal(request, window), window)
        elif (
            repeated
            or not least <= len(reply.rows) <= len(window)
            or self._gaps.sampled_ids(window).difference(reply.tokens)
            or (self._rising and names and row_order(names[0]) < row_order(self._highest))
            or (outlier := self._has_outlier(names))
            or self._too_few(reply, IdRange(new, window.last), request.strategy, after_rows=after_rows)
        ):
            reply = yield from self._agreed(reply, request, self._equivalent(reply, request, window), window)
            self._outliers += outlier
        elif own and self._comparison_due(reply):
            reply = yield from self._cross_checked(reply, request, window)
        for name in repeated:
            if name in reply.tokens:
                yield from self._check_identity_shared(name, window)
        return reply

    def repeated_identities(self, reply: Reply) -> list[str]:
        """Return the identities in a reply that were received before."""
        return [token for token in reply.tokens if isinstance(token, str) and token in self._identities]

    def _has_outlier(self, names: list[str]) -> bool:
        """Return whether one number is further from the others than they are from each other, which is rare."""
        numbers = [int(name) for name in names if name.isdecimal()]
        if len(numbers) < WORTH_A_CALL or self._outliers >= MOST_OUTLIERS:
            return False
        lowest, first, *_, last, highest = numbers
        return max(highest - last, first - lowest) > last - first

    def _second_request(self, request: WindowRequest, window: IdRange, second: Strategy) -> WindowRequest:
        """Return the same request by the second strategy, or by one that takes the window where that cannot."""
        if len(window) > widest(second) or request.strategy.name == second.name:
            end = window.last == MAX_ID and not isinstance(request.strategy, SingleFilter)
            second = SingleFilter(self._key) if end else Prefix(self._key)
        return replace(request, strategy=second, window=window)

    def _comparison_due(self, reply: Reply) -> bool:
        """Return whether a comparison is due: on some pages, and on the first one of a list whose rows carry no ids."""
        first = not reply.by_ids and not self._identities
        return bool(reply.rows) and self._pages % COMPARED_EVERY == 0 and (self._pages > 0 or first)

    def _check_identity_shared(self, identity: str, window: IdRange) -> Flow[None]:
        """Check that several rows share an identity that was received twice.

        Raises:
            FilterIgnoredError: only one row has it, so the server sent it with a wrong page.
        """
        query = Query((Condition(str(self._identity_field), "eq", identity),), IdRange(0, MAX_ID))
        reply = yield WindowRequest(Exactly(query), query.span, unchecked=2, any_row=True, check=True, tokens_only=True)
        if len(reply.rows) == 1:
            raise FilterIgnoredError(
                f"{self._operation}: {self._identity_field} {identity} was returned twice, the second time for ids "
                f"{window}, but only one row has it: the server, or a cache in front of it, sent a row with a wrong "
                "page; the rows received so far cannot be trusted: start again from the beginning",
                span=window,
            )

    def check_inserted(self, answer: Reply, window: IdRange) -> Flow[None]:
        """Check that a row below a gap is new: `like` would have returned an older one."""
        below = next((number for number in answer.ids if number < window.first), None)
        if below is None:
            return
        span = IdRange(below, below)
        reply = yield WindowRequest(Prefix(self._key), span)
        if below not in reply.ids:
            raise FilterIgnoredError(
                f"{self._operation}: row {below} exists, but like does not return it: this server honours no filter "
                f"that a walk needs, as with WS-I on Magento 1.5.1 to 1.6.2; {WITHOUT_WSI}",
                span=span,
            )

    def tail_start(self, reply: Reply, window: IdRange, strategy: Strategy) -> int | None:
        """Return the first id after the last row of a window; None where the window has none, or rows carry no ids.

        The next window covers those ids again, which costs no call.
        """
        if not reply.rows:
            return window.first
        if not reply.by_ids or is_decimal(strategy) or reply.ids[-1] == window.last:
            return None  # the last row's id is unknown; or beginning there takes many calls
        return reply.ids[-1] + 1

    def rows_likely(self, reply: Reply, window: IdRange, *, after_rows: bool) -> bool:
        """Return whether rows are likely in the ids after the last row of a window, so that a call is worthwhile.

        Args:
            reply: the confirmed reply.
            window: the ids it covers.
            after_rows: the window before it returned rows.
        """
        ids = reply.ids
        if self._confirmed:
            return False
        if ids and window.last == MAX_ID:
            return len(ids) >= WORTH_A_CALL and not self._gaps.rules_out_anywhere(len(ids))
        if ids:
            return self._many_missing(len(ids), ids[-1] + 1, window.last, ids[-NEAREST:])
        if reply.rows or self._density is None:
            return False
        if window.last == MAX_ID:
            return True  # the end of the list is worth a call
        expected = self._density * len(window)
        return after_rows and expected >= WORTH_A_CALL and not self._gaps.rules_out(window, self._density)

    def _many_missing(self, rows: int, first: int, last: int, nearest: list[int], *, before: bool = False) -> bool:
        """Return whether at least half as many rows as were returned may be missing from ids next to them.

        Args:
            rows: number of returned rows.
            first: the first of those ids.
            last: the last of them; below `first` where there is none.
            nearest: the ids of the rows next to them, which show the density.
            before: those ids are below the rows.
        """
        density = (len(nearest) - 1) / max(1, nearest[-1] - nearest[0])
        count = min(last + 1 - first, int(rows / density) if density else 0)
        if count * density < max(WORTH_A_CALL, DOUBTFUL * rows):
            return False
        ids = IdRange(last + 1 - count, last) if before else IdRange(first, first + count - 1)
        return not self._gaps.rules_out(ids, density)

    def accepted(self, reply: Reply, window: IdRange) -> None:
        """Remember the rows of a page that was delivered."""
        if not reply.rows:
            return
        self._pages += 1
        self._identities.add(token for token in reply.tokens if isinstance(token, str))
        last = reply.ids[-1] if reply.by_ids else window.last
        self.last = last if reply.by_ids else None
        if last < MAX_ID:
            density = len(reply.rows) / max(1, last + 1 - window.first)
            if not reply.by_ids:  # after a gap the first row's id is unknown
                density = max(density, (7 * (self._density or 0.0) + density) / 8)
            self._density = density
        if not reply.by_ids:
            names = [str(token) for token in reply.tokens]
            self._rising = self._rising and row_order(names[0]) > row_order(self._highest)
            self._highest = max(self._highest, names[-1], key=row_order)

    def _too_few(self, reply: Reply, window: IdRange, strategy: Strategy, *, after_rows: bool) -> bool:
        """Return whether many rows may be missing from a reply; `rows_likely` judges the ids after its last row."""
        rows, ids = len(reply.rows), reply.ids
        if ids and is_decimal(strategy):  # each of several blocks was checked by itself
            ids = [number for number in ids if number in window]
            return not reply.by_query and self._lacks_rows(window, ids, 0.0)
        if ids:
            return self._many_missing(rows, window.first, ids[0] - 1, ids[:NEAREST], before=True)
        if not rows or self._density is None:
            return False
        if window.last == MAX_ID or not after_rows:
            return rows >= WORTH_A_CALL  # after a gap the expected number is unknown
        return self._density * len(window) - rows >= max(WORTH_A_CALL, DOUBTFUL * rows)

    def _recheck_blocks(self, reply: Reply, request: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Return a reply to several queries, after requesting again the blocks that returned too few rows.

        Such a block has few ids. A block of ten times as many is requested instead where it must return known rows.

        Raises:
            FilterIgnoredError: the server answers differently each time.
        """
        of_blocks = [len(tokens) / len(block) for block, tokens in reply.by_query if 1 < len(block) >= len(tokens)]
        density = max([self._density or len(reply.rows) / len(window), *of_blocks])
        covered = -1
        for block, tokens in reply.by_query:
            if block.last <= covered or not self._lacks_rows(block, tokens, density):
                continue
            wide = self._wider(block, reply.ids, window)
            part = IdRange(max(wide.first, window.first), min(wide.last, window.last))
            own = {token for other, some in reply.by_query if part.first <= other.first <= part.last for token in some}
            before = Reply(tuple(pair for pair in reply.rows if pair[0] in own))
            agreed = yield from self._agreed(before, replace(request, window=part), replace(request, window=wide), part)
            rows = [*agreed.rows, *(pair for pair in reply.rows if pair[0] not in own)]
            reply = replace(reply, rows=tuple(sorted(rows, key=lambda pair: row_order(pair[0]))))
            covered = part.last
        self._confirmed = False
        return reply

    def _wider(self, block: IdRange, ids: list[int], window: IdRange) -> IdRange:
        """Return a block that is ten times as wide where it holds other known rows, otherwise the block itself."""
        width, first = 10 * len(block), block.first - block.first % (10 * len(block))
        wide = IdRange(first, first + width - 1)
        known = any(number in wide and number not in block for number in ids)
        decimal = next(wide.blocks()) == wide
        return wide if known and decimal and width <= max(WORTH_A_CALL, len(window)) else block

    def _lacks_rows(self, block: IdRange, tokens: Sequence[Token], density: float) -> bool:
        """Return whether rows seem to be missing from a block, or it has more rows than ids.

        Args:
            block: the ids of one query.
            tokens: the identifiers of the returned rows.
            density: rows per id next to the block.
        """
        rows, gap = len(tokens), block
        missing = density * len(block) - rows
        if rows > len(block):
            return True
        if ids := sorted(token for token in tokens if isinstance(token, int)):
            ends = [block.first - 1, *ids, block.last + 1]
            before, after = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
            if after - before == 1:
                return False
            gap = IdRange(before + 1, after - 1)
            density = max(density, rows / (len(block) - len(gap)))
            missing = density * len(gap)
        least = max(FEW_MISSING, DOUBTFUL * rows) if rows else DOUBTFUL
        return missing >= least and not self._gaps.rules_out(gap, density)

    def _equivalent(self, reply: Reply, request: WindowRequest, window: IdRange) -> WindowRequest:
        """Return an equivalent request that no cache has seen: it begins at the last known row, or one id earlier."""
        strategy = request.strategy
        if window.first == 0 and window.last < MAX_ID and not isinstance(strategy, SingleFilter | Prefix):
            return self._universal(request, window)
        first = self.last if reply.by_ids and self.last is not None else max(0, window.first - 1)
        ids = IdRange(min(first, window.first), window.last)
        takes = len(ids) <= widest(strategy) and not is_decimal(strategy)
        return replace(request, window=ids) if takes else request

    def _universal(self, request: WindowRequest, window: IdRange) -> WindowRequest:
        """Return the request in a form that every server honours: one bound at the low end of the ids, else `like`."""
        low = window.first == 0 and not isinstance(request.strategy, SingleFilter)
        return replace(request, strategy=SingleFilter(self._key) if low else Prefix(self._key), window=window)

    def _agreed(self, reply: Reply, request: WindowRequest, other: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Repeat both requests in turn until two replies agree; three, where both are the same decimal blocks."""
        own: list[Reply] = [reply]
        others: list[Reply] = []
        while len(own) + len(others) < MOST_REQUESTS:
            sent, mine, theirs = (request, own, others) if len(own) <= len(others) else (other, others, own)
            new = yield sent
            if mine is others and other.window.first == self.last and self.last not in new.tokens:
                self.last = None if others else self.last  # it may have been deleted
                others.append(Reply())
                continue
            for version in theirs:
                first, second = (new, version) if mine is own else (version, new)
                if self._same_rows(first, second, window):
                    alike = 1 + sum(self._same_rows(first, version, window) for version in (*own, *others))
                    thrice = other == request and is_decimal(request.strategy)
                    if alike >= (3 if thrice and len(own) + len(others) < MOST_VERSIONS else 2):
                        self._confirmed = True
                        return replace(first, ahead=reply.ahead)
                    break
            mine.append(new)
            if len(others) > 1 and self._same_rows(own[-1], own[-2], window) and others[-1].tokens == others[-2].tokens:
                break
        if other == request and _only_changed([reply for pair in zip_longest(own, others) for reply in pair if reply]):
            return replace((others if len(own) == len(others) else own)[-1], ahead=reply.ahead)
        differing = set(own[-1].tokens).symmetric_difference(others[-1].tokens)
        raise FilterIgnoredError(
            f"{self._operation}: {request.strategy.name} and {other.strategy.name} disagree about ids {window}: only "
            f"one of them returns row {min(map(str, differing), default='?')}; the server misreads a condition or "
            f"answers differently each time; {strategy_advice(self._operation)}",
            span=window,
        )

    def _same_rows(self, own: Reply, other: Reply, window: IdRange) -> bool:
        """Return whether two versions have the same rows; the other one may also have rows from before the window."""
        ours, theirs = set(own.tokens), set(other.tokens)
        more = {token for token in theirs - ours if not self._received_before(token, window)}
        if not ours <= theirs or not more:
            return ours <= theirs
        newest = max((token for token in ours if isinstance(token, int)), default=MAX_ID)
        at_end = window.last == MAX_ID and all(isinstance(token, int) and token > newest for token in more)
        return at_end and len(more) <= MOST_NEW

    def _received_before(self, token: Token, window: IdRange) -> bool:
        return token not in window if isinstance(token, int) else token in self._identities

    def _cross_checked(self, reply: Reply, request: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Compare a page with an equivalent query: of rows with ids, only its widest decimal block.

        The query is another key range, which scans no table. It is one that every server honours where this one honours
        no other range, and where rows carry no ids, because fewer other checks apply to these.
        """
        if isinstance(request.strategy, Prefix) and self._pages == 0 < window.first:
            # No earlier row shows what to expect.
            return (yield from self._agreed(reply, request, request, window))
        if isinstance(request.strategy, Prefix) or (window.last == MAX_ID and not reply.by_ids):
            return reply
        block = max(_blocks(window, reply.ids), key=len) if reply.by_ids else window
        ours = Reply(tuple((token, {}) for token in reply.tokens if isinstance(token, str) or token in block))
        failed = []
        for other in self._ranges if reply.by_ids and not isinstance(request.strategy, InList) else ():
            if other.name == request.strategy.name or len(block) > widest(other):
                continue
            second = yield from attempt(replace(request, strategy=other, window=block, known=None))
            if isinstance(second, Reply) and self._same_rows(ours, second, block):
                return reply
            failed.append(other)
        second = yield replace(self._universal(request, block), window=block)
        if self._same_rows(ours, second, block):
            self._ranges = [other for other in self._ranges if other not in failed]
            return reply
        ids = IdRange(window.first, max(block.last, reply.ids[-1])) if window.last == MAX_ID else window
        return (yield from self._agreed(reply, request, self._universal(request, ids), window))


def _blocks(window: IdRange, ids: list[int]) -> list[IdRange]:
    """Return the decimal blocks around the row in the middle that lie within a window.

    >>> [str(block) for block in _blocks(IdRange(2_000, 7_999), [2_345, 5_678, 6_000])]
    ['5678-5678', '5670-5679', '5600-5699', '5000-5999']
    """
    middle = ids[len(ids) // 2]
    widths = (10**power for power in range(len(str(middle))))
    blocks = (IdRange(middle - middle % width, middle - middle % width + width - 1) for width in widths)
    return [block for block in blocks if window.first <= block.first and block.last <= window.last]


def _only_changed(versions: Sequence[Reply]) -> bool:
    """Return whether no row changed twice over several versions: rows may be added or deleted meanwhile, once each."""
    present = [set(version.tokens) for version in versions]
    changes = (before ^ after for before, after in pairwise(present))
    changed = [token for tokens in changes for token in tokens]
    return len(changed) == len(set(changed))
