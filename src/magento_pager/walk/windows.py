"""How wide the next window is: growth over emptiness, sampling before a grown window is asked for, aiming at a size.

Everything here is pure: it is told what came back and says what to ask next; it never asks. Three ideas:

- **Pace.** Where rows are, widths aim at a number of rows and a time per call, by a weighted average of what the last
  windows held (as pt-table-checksum does). Where none are, each width is the next power of ten. Windows end just below
  a multiple of their width, which is what keeps `like` and regexps short.
- **Soundings.** A window wider than what may be asked for unseen is first *sounded*: a `like` with fixed digits in the
  middle takes a small, evenly spread part of it, whatever the server's version: runs of neighbours at even distances.
  The runs meet every last digit (auto_increment steps leave whole residues empty), the distances meet every dense
  stretch longer than they are. Coarse soundings go first, so that a table of ten million rows still answers each with
  few. As long as they meet nothing the window reaches on, to ever higher powers of ten, at last to the end of all ids:
  then one call proves that nothing is there.
- **Narrowing.** What a sounding finds is scaled up to the window. Where that is too much for one reply, the window
  shrinks to the part that holds a bearable number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import TYPE_CHECKING

from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import LARGEST_NUMBER, IdRange
from magento_pager.walk.strategies import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

SPACINGS = {1_000_000: 1_000, 10_000: 10, 100: 10}
"""Soundings, coarse to fine: ids from one run to the next, and in a run.

The first meets whatever is thin and wide: its runs hold every residue of a thousand. The second meets every dense
stretch longer than 10,000. Both take one id in a thousand, so that a million rows answer with 1,000. The third takes
one in ten: it is for small replies, and for windows too narrow for the others.
"""

LITTLE_MORE = 1.3  # times as many ids as are wanted
SMALL = 1_000  # rows: replies are small where no more are expected of a window
WIDEST = 10_000_000_000  # a power of ten above every id: a window of this width ends with the last one


@dataclass(frozen=True, slots=True)
class Goal:
    """What one call should bring.

    Attributes:
        rows: rows in one reply, about, from 1 to 2^63 - 1.
        seconds: time of one call, about, more than 0.
    """

    rows: int = 2_000
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= LARGEST_NUMBER and 0 < self.seconds < inf):
            raise ValueError(f"a call aims at 1 row or more and at more than 0 seconds, not at {self}")


@dataclass(frozen=True, slots=True)
class Pace:
    """How wide the next window is, and why.

    Attributes:
        goal: what one call should bring.
        fixed: the user's own width, in ids: no window that returns rows is wider, and none narrower; None to adapt.
        decimal: widths are 10^k or 2*10^k, for strategies that ask once per decimal block.
        width: of the next window, in ids.
        share: the part of the goal, or of the user's width, that the server can bear; below 1 after a reply was too
            large for it.
        failed: the share at which that was; it is come back to slowly.
        density: rows per id where rows are, as far as that can be relied on; None before the first row.
        seconds_per_row: a weighted average over windows with rows; None before the first.

    >>> pace = Pace.start(Goal(rows=2000))
    >>> pace.window(0, last=10_000)
    IdRange(first=0, last=999)

    Half of the ids exist, so twice as many ids are asked for as rows are wanted, in steps of 1, 2 and 5:

    >>> pace.after(IdRange(0, 999), rows=500, seconds=0.1).width
    5000

    Nothing there: the next power of ten.

    >>> pace.after(IdRange(0, 999), rows=0, seconds=0.1).window(1000, last=99_999)
    IdRange(first=1000, last=9999)
    """

    goal: Goal
    fixed: int | None
    decimal: bool
    width: int
    share: float = 1.0
    failed: float = inf
    density: float | None = None
    seconds_per_row: float | None = None

    @classmethod
    def start(cls, goal: Goal, fixed: int | None = None, *, decimal: bool = False) -> Pace:
        """Before the first answer.

        Raises:
            ValueError: `fixed` is below 1.
        """
        if fixed is not None and fixed < 1:
            raise ValueError(f"a window is at least 1 id wide, not {fixed}")
        if fixed is not None and decimal:
            fixed = _decimal_below(fixed)
        first = fixed or _decimal_below(min(1_000, goal.rows))
        return cls(goal, fixed, decimal, first)

    @property
    def rows(self) -> int:
        """Rows that a reply should bring, as far as the server can bear them."""
        return max(1, int(self.goal.rows * self.share))

    @property
    def own(self) -> int | None:
        """The user's own width, as far as the server can bear it; None to adapt."""
        if self.fixed is None or self.share == 1:
            return self.fixed
        width = max(1, int(self.fixed * self.share))
        return _decimal_below(width) if self.decimal else width

    @property
    def safe(self) -> int:
        """The most ids asked for without a sounding: were each of them a row, the reply would still be bearable."""
        return self.own or 3 * self.rows

    @property
    def allowance(self) -> int:
        """The most rows a sounded window may be expected to hold."""
        return self.own or 2 * self.rows

    def window(self, position: int, last: int) -> IdRange:
        """The next window, from `position` to just below the next multiple of the width, at most to `last`.

        A window that needs a sounding keeps to ids of one length, since `like` does.
        """
        start = position if self.share < 1 and self.fixed and not self.decimal else position - position % self.width
        window = IdRange(position, min(last, start + self.width - 1))
        if len(window) > self.safe:
            return IdRange(position, min(window.last, 10 ** len(str(position)) - 1))
        return window

    def after(self, window: IdRange, rows: int, seconds: float) -> Pace:
        """The pace once `window` was answered with so many rows in so many seconds."""
        if rows == 0:
            return replace(self, width=min(WIDEST, 10 ** len(str(self.width))))
        settled = self.density is not None and 2 * len(window) * self.density >= self.rows  # as wide as it should be
        density = _crowded(self.density, rows / len(window), settled=settled)
        per_row = _averaged(self.seconds_per_row, seconds / rows)
        pace = replace(self._relieved(window), density=density, seconds_per_row=per_row)
        if pace.own:
            return replace(pace, width=pace.own)
        wanted = min(pace.rows, self.goal.seconds / per_row) if per_row else pace.rows
        width = min(max(1, round(wanted / density)), 10 * len(window), WIDEST)
        if self.decimal:
            return replace(pace, width=_decimal_near(width) if pace.share == 1 else _decimal_below(width))
        return replace(pace, width=_stepped(width))

    def at_rows(self) -> Pace:
        """The pace where rows are known to begin: the width falls back to what may be asked for without a sounding."""
        return replace(self, width=min(self.width, self.own or _decimal_below(min(1_000, self.rows))))

    def strained(self, window: IdRange) -> Pace:
        """The pace once the reply to `window` was too large for the server: half as much.

        >>> pace = Pace.start(Goal(rows=2000)).strained(IdRange(0, 9_999))
        >>> pace.rows, pace.after(IdRange(0, 999), rows=1000, seconds=0.1).rows
        (1000, 1050)
        """
        asked = len(window) / self.fixed if self.fixed else len(window) * (self.density or 1) / self.goal.rows
        failed = min(self.share, asked)
        pace = replace(self, share=max(failed / 2, 1e-6), failed=failed)
        return replace(pace, width=min(self.width, pace.own or pace.rows))

    def _relieved(self, window: IdRange) -> Pace:
        """The pace once the server bore a window: twice as much, or a little more where twice as much was too much."""
        if self.share == 1 or 2 * len(window) < self.width:  # a sliver says nothing
            return self
        share = self.share * (2 if self.share * 2 < self.failed else 1.05)
        return replace(self, share=min(share, 1.0), failed=inf if share > self.failed else self.failed)

    def steady(self, window: IdRange) -> Pace:
        """The pace after an empty window when rows are known to lie ahead, nobody knows where: as wide again."""
        return replace(self, width=max(self.at_rows().width, 10 ** _places_below(len(window) + 1)))


@dataclass(frozen=True, slots=True)
class Sounding:
    """A thin, even sample of a window.

    Attributes:
        query: what to ask; its span is the decimal block around the window.
        spacing: ids from one run of sampled neighbours to the next, a power of ten.
        run: neighbours in a run, a power of ten.
    """

    query: Query
    spacing: int
    run: int

    @property
    def ids_per_sampled(self) -> int:
        """How many ids of the window each sampled one stands for."""
        return self.spacing // self.run


def sounding(
    window: IdRange,
    pace: Pace,
    key: str = KEY,
    *,
    below: int = WIDEST,
    since: int | None = None,
    failures: int = 0,
    met: bool = False,
) -> Sounding | None:
    """The next thing to ask about `window` before it is asked for whole, or None where it may be.

    Args:
        window: ids all of one length, as `Pace.window` gives it.
        pace: says what may be asked for without a sounding.
        key: what filters call the key.
        below: only a sounding finer than this; they are taken from coarse to fine.
        since: the first id of the stretch that is sounded, where the window is only a part of it: the same digits are
            fixed all along, so that no dense stretch hides between two parts.
        failures: how often it failed; each time other digits are fixed.
        met: True where a coarser one met rows. The few of them that were met say little of how many there are, when
            gaps may hide a run or two, so the finest is asked as well.

    >>> pace, window = Pace.start(Goal()), IdRange(10**6, 10**7 - 1)
    >>> str(sounding(window, pace).query), str(sounding(window, pace, below=10**6).query)
    ("entity_id like '_052___'", "entity_id like '___820_'")
    >>> sounding(window, pace, below=10**4), sounding(IdRange(10, 99), pace)
    (None, None)
    """
    for spacing, run in SPACINGS.items():
        fit = met or spacing > 100 or pace.allowance <= SMALL or len(window) < 10_000  # noqa: PLR2004
        if spacing < below and spacing <= len(window) and fit:
            seed = f"{window.first if since is None else since}/{spacing}" + "/" * failures
            return _sounding(window, spacing, run, key, seed)
    return None


def further(window: IdRange, last: int) -> IdRange | None:
    """The ids to sound next, behind a window in which nothing was met; None where all were.

    They reach to the next power of ten, and keep to one length.

    >>> further(IdRange(5_600, 9_999), 4_294_967_295), further(IdRange(102_000, 109_999), 4_294_967_295)
    (IdRange(first=10000, last=99999), IdRange(first=110000, last=199999))
    >>> further(IdRange(5_600, 9_000), 9_000) is None
    True
    """
    first = window.last + 1
    if first > last:
        return None
    digits = str(first)
    power = 10 ** (len(digits) - len(digits.rstrip("0")) + 1)
    return IdRange(first, min(last, first - first % power + power - 1, 10 ** len(digits) - 1))


def narrowed(window: IdRange, sounded: Sounding, found: Sequence[int] | None, count: int, pace: Pace) -> IdRange:
    """What is left of `window` once a sounding of it brought `count` rows.

    Args:
        window: what was sounded.
        sounded: the sounding.
        found: the ids of the rows inside the window; None where rows carry no id.
        count: how many rows lie inside, or may.
        pace: says how many rows one reply may hold.

    Returns:
        The window itself where it may be asked for; else a shorter one with the same first id, which may still need
        finer soundings. It ends where the stretch that holds too much may begin: a spacing's multiple before what was
        found or, without ids, the first of the window's ten parts.

    >>> pace, window = Pace.start(Goal()), IdRange(10**6, 10**7 - 1)
    >>> first = sounding(window, pace)
    >>> narrowed(window, first, [], 0, pace) == window
    True
    >>> narrowed(window, first, [5_052_000 + n for n in range(999)], 999, pace)
    IdRange(first=1000000, last=4999999)
    >>> narrowed(window, first, None, 999, pace)
    IdRange(first=1000000, last=1999999)
    """
    bearable = pace.allowance // sounded.ids_per_sampled  # so many sampled ids stand for as many rows as may come
    if count <= bearable:
        return window
    if found:
        begins = sorted(found)[bearable] // sounded.spacing * sounded.spacing
        end = max(begins, window.first)  # they may begin right here: then as little is asked for as where rows are
    else:
        power = 10 ** _places_below(len(window))
        end = window.first - window.first % power + power
    least = window.first + pace.at_rows().width
    return IdRange(window.first, min(window.last, max(end, least) - 1))


def part(window: IdRange, *, decimal: bool) -> int:
    """The width in which a window is asked for again where it failed: about half, or the next lower power of ten.

    >>> part(IdRange(0, 1999), decimal=False), part(IdRange(0, 1999), decimal=True), part(IdRange(7, 8), decimal=True)
    (1000, 1000, 1)
    """
    return 10 ** _places_below(len(window)) if decimal else (len(window) + 1) // 2


def crowd(found: Sequence[int], by: Sounding, asked: Sounding) -> int:
    """How many rows `asked` brings at most, about, of those that another sounding found a part of.

    >>> window, pace = IdRange(10**6, 10**7 - 1), Pace.start(Goal())
    >>> coarse, fine = sounding(window, pace), sounding(window, pace, below=10**6)
    >>> crowd([5_052_000 + n for n in range(1000)], coarse, fine)
    2000
    """
    known = [number for number in found if number in asked.query.span]
    runs = len({number // by.spacing for number in known})
    return (runs + 1) * len(known) * by.ids_per_sampled // (runs * asked.ids_per_sampled) if runs else 0


def apart(window: IdRange, found: Sequence[int]) -> IdRange:
    """The part of `window`, from its first id on, that lies in one decimal block with none of `found`.

    >>> apart(IdRange(2_345_600, 9_999_999), [2_400_123])
    IdRange(first=2345600, last=2399999)
    """
    power = 10 ** len(str(window.last))
    while power > 1 and any(number - number % power == window.first - window.first % power for number in found):
        power //= 10
    return IdRange(window.first, min(window.last, window.first - window.first % power + power - 1))


def before(met: int, spacing: int, key: str = KEY) -> list[Sounding]:
    """The next finer soundings of where a stretch may begin of which `met` is the lowest id that is known.

    Args:
        met: an id that exists.
        spacing: of the sounding that met it.
        key: what filters call the key.

    >>> [str(finer.query) for finer in before(5_052_013, 10_000)]
    ["entity_id like '505__9_'", "entity_id like '504__8_'"]
    >>> before(5_052_013, 100)
    []
    """
    finer = [(other, run) for other, run in SPACINGS.items() if other < spacing][:1]
    first = met - met % spacing
    blocks = [IdRange(start, start + spacing - 1) for start in (first, first - spacing) if start >= spacing]
    return [_sounding(block, *one, key, f"{block.first}/{one[0]}") for one in finer for block in blocks]


def _sounding(window: IdRange, spacing: int, run: int, key: str, seed: str) -> Sounding:
    shared, digits = window.prefix(), len(str(window.first))
    spread, free = _places(spacing), _places(run)
    # Fixed digits differ from sounding to sounding, and are the same when a walk is resumed: bytes must not depend on
    # how often it was interrupted.
    random = Random(seed)  # noqa: S311  no secret: an even spread
    fixed = "".join(str(random.randrange(10)) for _ in range(spread - free))
    pattern = shared + "_" * (digits - len(shared) - spread) + fixed + "_" * free
    block = IdRange(int(shared.ljust(digits, "0")), int(shared.ljust(digits, "9")))
    return Sounding(Query((Condition(key, "like", pattern),), block), spacing, run)


def _places(power_of_ten: int) -> int:
    return len(str(power_of_ten)) - 1


def _places_below(width: int) -> int:
    """The exponent of the greatest power of ten below `width`, which is at least 2."""
    return len(str(width - 1)) - 1


def _crowded(before: float | None, now: float, *, settled: bool) -> float:
    """Rows per id to reckon with: more at once; less only by and by once it is settled, as it may have been a gap.

    >>> _crowded(0.5, 0.75, settled=True), _crowded(0.5, 0.25, settled=True), _crowded(0.5, 0.25, settled=False)
    (0.75, 0.4375, 0.375)
    """
    if before is None or now > before:
        return now
    return (3 * before + now) / 4 if settled else (before + now) / 2


def _averaged(before: float | None, now: float) -> float:
    """A weighted average that forgets half of the past with each window: a server may slow down tenfold at noon."""
    return now if before is None else (before + now) / 2


def _decimal_below(width: int) -> int:
    """The greatest of 1, 2, 10, 20, 100, ... that is at most `width`.

    >>> [_decimal_below(width) for width in (1, 9, 10, 1873, 2000, 999)]
    [1, 2, 10, 1000, 2000, 200]
    """
    power: int = 10 ** (len(str(width)) - 1)
    return 2 * power if width >= 2 * power else power


def _decimal_near(width: int) -> int:
    """The greatest power of ten at most four times `width`: one `like` takes it, and no reply is above 4 goals."""
    power: int = 10 ** (len(str(width * 4)) - 1)
    return power


def _stepped(width: int) -> int:
    """The greatest of 1, 2, 5, 10, 20, 50, ... that is at most a little more: twice as much would be twice the memory.

    >>> [_stepped(width) for width in (1, 3, 4, 8, 1500, 1600, 6000)]
    [1, 2, 5, 10, 1000, 2000, 5000]
    """
    power: int = 10 ** (len(str(width)) - 1)
    return max(step for step in (power, 2 * power, 5 * power, 10 * power) if step <= width * LITTLE_MORE)
