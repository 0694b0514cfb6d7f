"""Checks: what a reply leaves out shows only beside others.

What lives here: what makes a reply doubtful, and who is believed then. As flows; which windows are asked for is known
to `walk`.

- A row that a sample met must be in the reply to its window.
- A row without an id that came before has been sent again: as far back as the walk remembers.
- Far fewer rows than those before make likely, an empty reply among full ones, or half a page: the ids behind the last
  row are covered once more by the next window, which begins there; a whole reply is asked for again.
- The end of the list is asked for once more where a sample does not vouch for it.
- On every sixteenth page another strategy must bring the same rows: a filter that is misread shows in no other way. An
  `in` list or another key range, so that no table is scanned; `like` where the server honours none, or rows carry no
  ids.

A doubtful reply is asked for again in another form, and delivered only in a version that both forms agree on. A single
row that a server drops, and a replica that lags behind, cannot be seen by any of this for sure.
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

CHECKED_EVERY = 16  # pages with rows
HALF = 0.5  # of the rows that came: so many more are missed at least in a reply that is doubtful
LITTLE = 2  # rows: where fewer are missing of a query that brought some, it is no surprise
WORTH_A_CALL = 10  # rows: where fewer are likely, none is no surprise
NEW = 10  # rows at most that may have been added between two calls
LATEST = 100  # rows that tell how densely those behind them lie
MOST_ODD = 3  # pages, before numbers that are far from all others are no surprise
CHANGING = 4  # versions, of which no three are alike: rows come and go
MOST_ASKED = 8  # times that a doubtful window is asked for


class Identities:
    """Which of many texts came before, by a hash of 64 bits each: at most 3 million, which take 32 MB.

    >>> came = Identities()
    >>> came.add(["100000001", "100000002"])
    >>> "100000001" in came, "100000003" in came
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
        """Remember texts; no more once there are too many."""
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
        return hash(text) & 0xFFFF_FFFF_FFFF_FFFF or 1  # 0 is a free place

    def _place(self, number: int) -> int:
        """Return where a number stands, or the free place for it."""
        last = len(self._slots) - 1
        place = number & last
        while (there := self._slots[place]) and there != number:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        numbers = self._slots
        self._slots = array("Q", bytes(16 * len(numbers)))
        for number in filter(None, numbers):
            self._slots[self._place(number)] = number


class Checks:
    """What is known of the replies so far.

    Attributes:
        last: the id of the last row; None where none came, or it carried none.
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
        """Begin.

        Args:
            gaps: knows which rows samples met.
            key: what filters call the key.
            operation: the name of the list, for messages.
            identity_field: another field that no two rows share; None where every row has an id.
            identities: of rows without ids that came before this walk.
            second: asked for every window as well; None to ask only where there is a reason.
            ranges: key ranges in other words, for comparisons; of those that are not honoured `like` takes the place.
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
        self._sure = False  # the present window was answered twice
        self._highest = ""  # of the identities, in their order
        self._odd = 0  # pages in which one number was far from the others, and belonged there
        self._rising = True  # each page's identities were above those before

    def confirm(
        self, reply: Reply, request: WindowRequest, window: IdRange, fresh: int, *, own: bool, flowing: bool, least: int
    ) -> Flow[Reply]:
        """Return a reply that may be believed: this one, or one that two calls agree on.

        Args:
            reply: the reply to be checked.
            request: the window, and how to read it.
            window: the ids it covers.
            fresh: the first of them that no call covered before.
            own: the walk's own strategy asked.
            flowing: rows came from the ids before it.
            least: rows that are there, as far as a wider window said.

        Raises:
            FilterIgnoredError: the server misread a condition, or answers differently each time.
        """
        self._sure = False
        request = replace(request, following=None, check=True)
        if self._second is None and reply.rows:
            reply = yield from self._filled(reply, request, window)
        names = [token for token in reply.tokens if isinstance(token, str)]
        again = self.repeated_identities(reply)
        odd = False
        if self._second is not None:
            reply = yield from self._agreed(reply, request, self._by_second(request, window, self._second), window)
        elif again and window.last < MAX_ID:  # a dropped condition repeats rows as well, so the other form is no sister
            reply = yield from self._agreed(reply, request, self._universal(request, window), window)
        elif (
            again
            or not least <= len(reply.rows) <= len(window)
            or self._gaps.sampled_ids(window).difference(reply.tokens)
            or (self._rising and names and row_order(names[0]) < row_order(self._highest))
            or (odd := self._far_from_all_others(names))
            or self._few(reply, IdRange(fresh, window.last), request.strategy, flowing=flowing)
        ):
            reply = yield from self._agreed(reply, request, self._other(request, window, numbered=reply.by_ids), window)
            self._odd += odd
        elif own and self._due(reply):
            reply = yield from self._compared(reply, request, window)
        for name in again:
            if name in reply.tokens:
                yield from self._check_shared(name, window)
        return reply

    def repeated_identities(self, reply: Reply) -> list[str]:
        """Return what those rows without ids are known by that came before."""
        return [token for token in reply.tokens if isinstance(token, str) and token in self._identities]

    def _far_from_all_others(self, names: list[str]) -> bool:
        """Whether one number is further from the others than those are from each other, as seldom happens here."""
        numbers = [int(name) for name in names if name.isdecimal()]
        if len(numbers) < WORTH_A_CALL or self._odd >= MOST_ODD:
            return False
        lowest, first, *_, last, highest = numbers
        return max(highest - last, first - lowest) > last - first

    def _by_second(self, request: WindowRequest, window: IdRange, second: Strategy) -> WindowRequest:
        """Return the same request by the second strategy, or one that takes the window where that cannot."""
        if len(window) > widest(second) or request.strategy.name == second.name:
            end = window.last == MAX_ID and not isinstance(request.strategy, SingleFilter)
            second = SingleFilter(self._key) if end else Prefix(self._key)
        return replace(request, strategy=second, window=window)

    def _due(self, reply: Reply) -> bool:
        """Whether another strategy is to be asked; on the first page, where rows carry no ids and none came before."""
        first = not reply.by_ids and not self._identities
        return bool(reply.rows) and self._pages % CHECKED_EVERY == 0 and (self._pages > 0 or first)

    def _check_shared(self, identity: str, window: IdRange) -> Flow[None]:
        """Raise if only one row has an identity that came before, and comes again.

        Raises:
            FilterIgnoredError: the one that came before was of another page than it came with.
        """
        query = Query((Condition(str(self._identity_field), "eq", identity),), IdRange(0, MAX_ID))
        reply = yield WindowRequest(Exactly(query), query.span, unchecked=2, any_row=True, check=True, tokens_only=True)
        if len(reply.rows) == 1:
            raise FilterIgnoredError(
                f"{self._operation}: {self._identity_field} {identity} came twice, the second time for ids "
                f"{window}, and only one row has it: the server, or a cache before it, sent a row with the wrong page; "
                "what came before cannot be trusted: start anew",
                span=window,
            )

    def check_inserted(self, answer: Reply, window: IdRange) -> Flow[None]:
        """A row below a gap must be a new one: what was there before, `like` would have brought."""
        below = next((number for number in answer.ids if number < window.first), None)
        if below is None:
            return
        one = IdRange(below, below)
        reply = yield WindowRequest(Prefix(self._key), one)
        if below not in reply.ids:
            raise FilterIgnoredError(
                f"{self._operation}: row {below} exists, but like does not return it: this server honours no filter "
                f"that a walk needs, as with WS-I on Magento 1.5.1 to 1.6.2; {WITHOUT_WSI}",
                span=one,
            )

    def tail_start(self, reply: Reply, window: IdRange, strategy: Strategy) -> int | None:
        """Return the first of the ids at the end of a window that brought no row; None where there is none, or no id.

        Those are covered once more, by the next window, which costs no call.
        """
        if not reply.rows:
            return window.first
        if not reply.by_ids or is_decimal(strategy) or reply.ids[-1] == window.last:
            return None  # nobody knows where the last row is; or it takes many calls to begin there
        return reply.ids[-1] + 1

    def rows_likely(self, reply: Reply, window: IdRange, *, flowing: bool) -> bool:
        """Whether rows are likely in the ids at the end of a window that brought none, so that it is worth a call.

        Args:
            reply: the reply, checked.
            window: the ids it covers.
            flowing: rows came from the ids before it.
        """
        ids = reply.ids
        if self._sure:
            return False
        if ids and window.last == MAX_ID:
            return len(ids) >= WORTH_A_CALL and not self._gaps.rules_out_anywhere(len(ids))
        if ids:
            return self._half(len(ids), ids[-1] + 1, window.last, ids[-LATEST:])
        if reply.rows or self._density is None:
            return False
        if window.last == MAX_ID:
            return True  # the end of the list is worth a call
        return (
            flowing and self._density * len(window) >= WORTH_A_CALL and not self._gaps.rules_out(window, self._density)
        )

    def _half(self, rows: int, first: int, last: int, nearest: list[int], *, before: bool = False) -> bool:
        """Whether as many rows as came, or half of that, may be in ids beside them that brought none.

        Args:
            rows: that came.
            first: of those ids.
            last: of those ids; below `first` where there is none.
            nearest: the rows beside them, which tell how densely they lie.
            before: those ids are below the rows.
        """
        density = (len(nearest) - 1) / max(1, nearest[-1] - nearest[0])
        count = min(last + 1 - first, int(rows / density) if density else 0)
        if count * density < max(WORTH_A_CALL, HALF * rows):
            return False
        ids = IdRange(last + 1 - count, last) if before else IdRange(first, first + count - 1)
        return not self._gaps.rules_out(ids, density)

    def accepted(self, reply: Reply, window: IdRange) -> None:
        """Remember the rows of a page that is delivered."""
        if not reply.rows:
            return
        self._pages += 1
        self._identities.add(token for token in reply.tokens if isinstance(token, str))
        last = reply.ids[-1] if reply.by_ids else window.last
        self.last = last if reply.by_ids else None
        if last < MAX_ID:
            density = len(reply.rows) / max(1, last + 1 - window.first)
            if not reply.by_ids:  # behind a gap nobody knows where rows begin
                density = max(density, (7 * (self._density or 0.0) + density) / 8)
            self._density = density
        if not reply.by_ids:
            names = [str(token) for token in reply.tokens]
            self._rising = self._rising and row_order(names[0]) > row_order(self._highest)
            self._highest = max(self._highest, names[-1], key=row_order)

    def _few(self, reply: Reply, window: IdRange, strategy: Strategy, *, flowing: bool) -> bool:
        """Whether rows came, and as many more may be missing; of ids behind the last row `rows_likely` is asked."""
        rows, ids = len(reply.rows), reply.ids
        if ids and is_decimal(strategy):  # each of several blocks was looked at by itself
            ids = [number for number in ids if number in window]
            return not reply.by_query and self._lacks(window, ids, 0.0)
        if ids:
            return self._half(rows, window.first, ids[0] - 1, ids[:LATEST], before=True)
        if not rows or self._density is None:
            return False
        if window.last == MAX_ID or not flowing:
            return rows >= WORTH_A_CALL  # behind a gap nobody knows how many there should be
        return self._density * len(window) - rows >= max(WORTH_A_CALL, HALF * rows)

    def _filled(self, reply: Reply, request: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Return a reply that took several queries, with what those brought once more that brought too few rows.

        Such a query is for few ids, so a query for ten times as many is asked for where it must bring known rows too.

        Raises:
            FilterIgnoredError: the server answers differently each time.
        """
        of_blocks = [len(tokens) / len(block) for block, tokens in reply.by_query if 1 < len(block) >= len(tokens)]
        density = max([self._density or len(reply.rows) / len(window), *of_blocks])
        behind = -1
        for block, tokens in reply.by_query:
            if block.last <= behind or not self._lacks(block, tokens, density):
                continue
            wide = self._wider(block, reply.ids, window)
            part = IdRange(max(wide.first, window.first), min(wide.last, window.last))
            own = {token for other, some in reply.by_query if part.first <= other.first <= part.last for token in some}
            before = Reply(tuple(pair for pair in reply.rows if pair[0] in own))
            agreed = yield from self._agreed(before, replace(request, window=part), replace(request, window=wide), part)
            rows = [*agreed.rows, *(pair for pair in reply.rows if pair[0] not in own)]
            reply = replace(reply, rows=tuple(sorted(rows, key=lambda pair: row_order(pair[0]))))
            behind = part.last
        self._sure = False
        return reply

    def _wider(self, block: IdRange, ids: list[int], window: IdRange) -> IdRange:
        """Return a block that is ten times as wide where rows of a window came from there; else the block."""
        width, first = 10 * len(block), block.first - block.first % (10 * len(block))
        wide = IdRange(first, first + width - 1)
        known = any(number in wide and number not in block for number in ids)
        decimal = next(wide.blocks()) == wide
        return wide if known and decimal and width <= max(WORTH_A_CALL, len(window)) else block

    def _lacks(self, block: IdRange, tokens: Sequence[Token], density: float) -> bool:
        """Whether none of some likely rows came, or as many as came may be missing, or more came than there are ids.

        Args:
            block: the ids of one query.
            tokens: of the rows that came.
            density: rows per id beside it.
        """
        rows, hole = len(tokens), block
        missing = density * len(block) - rows
        if rows > len(block):
            return True
        if ids := sorted(token for token in tokens if isinstance(token, int)):
            ends = [block.first - 1, *ids, block.last + 1]
            before, after = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
            if after - before == 1:
                return False
            hole = IdRange(before + 1, after - 1)
            density = max(density, rows / (len(block) - len(hole)))
            missing = density * len(hole)
        least = max(LITTLE, HALF * rows) if rows else HALF
        return missing >= least and not self._gaps.rules_out(hole, density)

    def _other(self, request: WindowRequest, window: IdRange, *, numbered: bool) -> WindowRequest:
        """Return an equivalent request that no cache has seen: it begins at a row that must come, or before."""
        strategy = request.strategy
        if window.first == 0 and window.last < MAX_ID and not isinstance(strategy, SingleFilter | Prefix):
            return self._universal(request, window)
        first = self.last if numbered and self.last is not None else max(0, window.first - 1)
        ids = IdRange(min(first, window.first), window.last)
        takes = len(ids) <= widest(strategy) and not is_decimal(strategy)
        return replace(request, window=ids) if takes else request

    def _universal(self, request: WindowRequest, window: IdRange) -> WindowRequest:
        """Return a bounded request in a way that holds everywhere; at the low end of the ids that is one bound."""
        low = window.first == 0 and not isinstance(request.strategy, SingleFilter)
        return replace(request, strategy=SingleFilter(self._key) if low else Prefix(self._key), window=window)

    def _agreed(self, reply: Reply, request: WindowRequest, other: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Repeat both requests in turn until both bring the same rows; of decimal blocks, one form thrice."""
        own: list[Reply] = [reply]
        others: list[Reply] = []
        while len(own) + len(others) < MOST_ASKED:
            form, mine, theirs = (request, own, others) if len(own) <= len(others) else (other, others, own)
            came = yield form
            if mine is others and other.window.first == self.last and self.last not in came.tokens:
                self.last = None if others else self.last  # was it deleted?
                others.append(Reply())
                continue
            for version in theirs:
                one, two = (came, version) if mine is own else (version, came)
                if self._same(one, two, window):
                    alike = 1 + sum(self._same(one, some, window) for some in (*own, *others))
                    thrice = other == request and is_decimal(request.strategy) and len(own) + len(others) < CHANGING
                    if alike >= (3 if thrice else 2):
                        self._sure = True
                        return replace(one, ahead=reply.ahead)
                    break
            mine.append(came)
            if len(others) > 1 and self._same(own[-1], own[-2], window) and others[-1].tokens == others[-2].tokens:
                break
        if other == request and _only_changed([came for pair in zip_longest(own, others) for came in pair if came]):
            return replace((others if len(own) == len(others) else own)[-1], ahead=reply.ahead)
        lost = set(own[-1].tokens).symmetric_difference(others[-1].tokens)
        raise FilterIgnoredError(
            f"{self._operation}: {request.strategy.name} and {other.strategy.name} disagree about ids {window}: only "
            f"one brings row {min(map(str, lost), default='?')}; the server misreads a condition or answers "
            f"differently each time; {strategy_advice(self._operation)}",
            span=window,
        )

    def _same(self, own: Reply, other: Reply, window: IdRange) -> bool:
        """Whether two versions have the same rows; the other one may have some from before the window."""
        ours, theirs = set(own.tokens), set(other.tokens)
        more = {token for token in theirs - ours if not self._came(token, window)}
        if not ours <= theirs or not more:
            return ours <= theirs
        newest = max((token for token in ours if isinstance(token, int)), default=MAX_ID)
        return (
            len(more) <= NEW
            and window.last == MAX_ID
            and all(isinstance(token, int) and token > newest for token in more)
        )

    def _came(self, token: Token, window: IdRange) -> bool:
        return token not in window if isinstance(token, int) else token in self._identities

    def _compared(self, reply: Reply, request: WindowRequest, window: IdRange) -> Flow[Reply]:
        """Request a page in other words: of rows with ids, for its widest decimal block alone.

        By another key range, which scans no table; in a way that holds everywhere where the server honours none, and
        where rows carry no ids, which can be checked less.
        """
        if isinstance(request.strategy, Prefix) and self._pages == 0 < window.first:
            return (yield from self._agreed(reply, request, request, window))  # no row before it tells what is likely
        if isinstance(request.strategy, Prefix) or (window.last == MAX_ID and not reply.by_ids):
            return reply
        block = max(_blocks(window, reply.ids), key=len) if reply.by_ids else window
        ours = Reply(tuple((token, {}) for token in reply.tokens if isinstance(token, str) or token in block))
        failed = []
        for one in self._ranges if reply.by_ids and not isinstance(request.strategy, InList) else ():
            if one.name == request.strategy.name or len(block) > widest(one):
                continue
            second = yield from attempt(replace(request, strategy=one, window=block, known=None))
            if isinstance(second, Reply) and self._same(ours, second, block):
                return reply
            failed.append(one)
        second = yield replace(self._universal(request, block), window=block)
        if self._same(ours, second, block):
            self._ranges = [one for one in self._ranges if one not in failed]
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
    """Whether rows went or came from one version to the next, and none of them back: a list that changes does so."""
    present = [set(version.tokens) for version in versions]
    changes = (one ^ other for one, other in pairwise(present))
    changed = [token for some in changes for token in some]
    return len(changed) == len(set(changed))
