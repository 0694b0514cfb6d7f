"""The shortest known patterns for a range or a set of ids, in a syntax that every engine reads alike.

The alphabet is ``^ $ ( ) | [ ] - .``, digits, ``{n}`` and ``{m,n}``. Never ``?``: Magento's query builder replaces it,
and the pattern then silently matches nothing. An id has no leading zeros, so ``.`` is a digit and ``[^9]`` is any other
digit; strict patterns use neither, for columns that may hold other text.

A set of ids is a tree of digits in which equal branches are one. A branch with a single range consists of a middle and
two sides, each of several steps: from 345 to 444 the steps are 34[5-9] and 3[5-9]. below, 4[0-3]. and 44[0-4] above.
A step is some digits of a bound, one class, and free digits. Three choices are made, and the shortest result wins:

1. how one side is written: its steps side by side, or under their common digits, or before their common free
   digits (`_Side.written`);
2. how the sides meet: layer by layer around the middle, factoring out more and more free digits (`_joined`);
3. whether a few overlapping alternatives replace more disjoint ones (`_overlaps`).

docs/explanation/regexps.md states what is proved and what is measured.
This module knows digits; it knows no field, no operator and no server.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

MOST_DIGITS = 99
"""Length of the longest id that an open-ended pattern matches."""

_DIGITS = "0123456789"
_Spans: TypeAlias = "tuple[tuple[str, str], ...]"
"""The disjoint ranges of one branch, in order, as digits of one length that follow the digits already written."""


def range_regexp(first: int, last: int | None, *, strict: bool = False) -> str:
    """Return the pattern of the ids from `first` to `last`, both included; None stands for every id from `first` on.

    Args:
        first: the least id, at least 0.
        last: the greatest id; None matches ids of up to `MOST_DIGITS` digits.
        strict: match only these integers even in a column of text; the pattern is a little longer.

    Raises:
        TypeError, ValueError: as for IdRange; also for a bound of more than `MOST_DIGITS` digits.

    >>> range_regexp(12345, 12444)
    '^12(34[5-9]|3[5-9].|4[0-3].|44[0-4])$'
    >>> range_regexp(0, 999), range_regexp(5, None)
    ('^.{1,3}$', '^([5-9]|.{2,99})$')
    >>> range_regexp(12345, 12444, strict=True)
    '^12(34[5-9]|(3[5-9]|4[0-3])[0-9]|44[0-4])$'
    """
    window = IdRange(first, 10**MOST_DIGITS - 1 if last is None else last)
    return _pattern([(window.first, window.last)], _STRICT if strict else _PORTABLE)


def ids_regexp(ids: Iterable[int | IdRange], *, strict: bool = False) -> str:
    """Return the pattern of ids and ranges of ids: a window and a canary, a window with gaps, single ids.

    Raises:
        TypeError, ValueError: as for IdRange; also where there is no id, or an id of more than `MOST_DIGITS` digits.

    >>> ids_regexp([IdRange(12345, 12444), 99])
    '^(99|12(34[5-9]|3[5-9].|4[0-3].|44[0-4]))$'
    """
    ranges = (item if isinstance(item, IdRange) else IdRange(item, item) for item in ids)
    in_order = sorted((window.first, window.last) for window in ranges)
    if not in_order:
        raise ValueError("no id was given, and no pattern matches nothing on every engine")
    return _pattern(_runs(in_order), _STRICT if strict else _PORTABLE)


def _runs(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield ranges in order, after merging those that overlap or touch.

    >>> list(_runs([(1, 3), (2, 5), (6, 6), (8, 9)]))
    [(1, 6), (8, 9)]
    """
    ranges = iter(ranges)
    first, last = next(ranges)
    for low, high in ranges:
        if low > last + 1:
            yield first, last
            first, last = low, high
        else:
            last = max(last, high)
    yield first, last


def _pattern(runs: Iterable[tuple[int, int]], letters: _Letters) -> str:
    """Return the pattern of ranges that are in order and do not touch."""
    alternatives: list[_Alternative] = []
    branches: dict[int, list[tuple[str, str]]] = {}
    for first, last in runs:
        low, high = str(first), str(last)
        if len(high) > MOST_DIGITS:
            raise ValueError(f"an id of more than {MOST_DIGITS} digits cannot be matched")
        if len(low) == len(high):
            branches.setdefault(len(low), []).append((low, high))
        else:
            alternatives += _across_lengths(low, high, letters)
    if len(branches) == 1 and not alternatives:
        (spans,) = branches.values()
        return f"^{_counted(_factor(tuple(spans), letters, leading=True))}$"
    for spans in branches.values():
        alternatives += _branch(tuple(spans), letters, leading=True)
    return f"^{_counted(_group(_shared(alternatives, letters), letters))}$"


# --- letters ---------------------------------------------------------------------------------------------------------


class _Alternative(NamedTuple):
    """An alternative of a group: a text, then a number of free digits."""

    text: str
    free: int


class _Letters:
    """The notation of classes and free digits, for a column of integers or of any text."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        digit = "[0-9]" if strict else "."
        self.free = [min(digit * n, f"{digit}{{{n}}}", key=len) for n in range(MOST_DIGITS + 1)]
        """The pattern of any n digits, by n."""
        self.one_of = cache(self._one_of)
        """The shortest class of all digits in the first text, and possibly some of those in the second."""

    def _one_of(self, needed: str, spare: str = "") -> str:
        absent = "".join(sorted(set(_DIGITS) - set(needed) - set(spare)))
        if not absent:
            return self.free[1]
        if len(needed) == 1:
            return needed
        classes = [f"[{_listed(needed)}]", f"[{_listed(needed, spare)}]"]
        if not self.strict:  # first: of equally short classes, the wider one may equal its neighbour
            classes[:0] = [f"[^{_listed(absent)}]", f"[^{_listed(absent, spare)}]"]
        return min(classes, key=len)

    def between(self, low: int, high: int, *, leading: bool = False) -> str:
        """Return the class of the digits from `low` to `high`; with `leading`, 0 is free: no id begins with it."""
        return self.one_of(_DIGITS[low : high + 1], "0" if leading and not self.strict else "")

    def lengths(self, least: int, most: int) -> str:
        """Return the pattern of all ids of `least` to `most` digits, except 0 if strict; empty where `most` is less."""
        if least > most:
            return ""
        if self.strict:
            tail = self.free[least - 1] if least == most else f"[0-9]{{{least - 1},{most - 1}}}"
            return f"[1-9]{tail}"
        if least == most:
            return self.free[least]
        return ".|.." if (least, most) == (1, 2) else f".{{{least},{most}}}"


def _listed(digits: str, spare: str = "") -> str:
    """Return the inside of a class: gaps are filled with spare digits where possible, then runs become first-last."""
    runs: list[str] = []
    for digit in digits:
        gap = _DIGITS[int(runs[-1][-1]) + 1 : int(digit)] if runs else "x"
        if set(gap) <= set(spare):
            runs[-1] += gap + digit
        else:
            runs.append(digit)
    return "".join(run if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs)  # noqa: PLR2004 - "345" is "3-5"


_PORTABLE, _STRICT = _Letters(strict=False), _Letters(strict=True)


def _loose(alternative: str) -> str:
    """Return an alternative as it stands among others: `8|9` is a byte shorter than `[89]`.

    >>> _loose("[89]"), _loose("[^9]"), _loose("1[89]")
    ('8|9', '[^9]', '1[89]')
    """
    if len(alternative) == len("[89]") and alternative[0] == "[" and alternative[1] != "^":
        return f"{alternative[1]}|{alternative[2]}"
    return alternative


def _counted(pattern: str) -> str:
    """Return the pattern with counts in place of repeated parts, where that is shorter.

    >>> _counted("10000005"), _counted("[^0][^0]5"), _counted("1005")
    ('10{6}5', '[^0]{2}5', '1005')
    """
    return re.sub(
        r"(?P<one>\d)(?P=one){4,}|(?P<class>\[[^]]*\])(?P=class)+(?!\{)",
        lambda run: f"{(unit := run['one'] or run['class'])}{{{len(run[0]) // len(unit)}}}",
        pattern,
    )


# --- sets: a tree of digits ------------------------------------------------------------------------------------------


def _factor(spans: _Spans, letters: _Letters, *, leading: bool = False) -> str:
    """Return a branch as one factor: its common first digits, then a group of the rest."""
    common = _common(spans)
    if common:
        spans, leading = _without(common, spans), False
    if len(spans) == 1:
        return common + _range_factor(*spans[0], letters, leading=leading)
    return common + _group(_branch(spans, letters, leading=leading), letters)


def _common(spans: _Spans) -> str:
    """Return the common first digits of a branch."""
    first, last = spans[0][0], spans[-1][1]
    for place, (digit, other) in enumerate(zip(first, last, strict=False)):
        if digit != other:
            return first[:place]
    return first


def _without(common: str, spans: _Spans) -> _Spans:
    return tuple((low[len(common) :], high[len(common) :]) for low, high in spans)


def _group(alternatives: Sequence[_Alternative], letters: _Letters) -> str:
    """Return the alternatives as one factor; a free digit at the end of all of them is written once."""
    texts = [text + letters.free[free] for text, free in alternatives]
    if len(texts) == 1:
        return texts[0]
    digit, shared = letters.free[1], 0
    while all(text.endswith(digit) and text != digit for text in texts):
        texts, shared = [text.removesuffix(digit) for text in texts], shared + 1
    return f"({'|'.join(map(_loose, texts))}){letters.free[shared]}"


def _branch(spans: _Spans, letters: _Letters, *, leading: bool = False) -> list[_Alternative]:
    """Return the alternatives of a branch."""
    low, high = spans[0][0], spans[-1][1]
    size = len(low)
    if len(spans) == 1 and not low.strip("0") and not high.strip("9"):
        return [_Alternative("", size)]
    if size == 1:
        return [_Alternative(letters.one_of("".join(_DIGITS[int(low) : int(high) + 1] for low, high in spans)), 0)]
    if low[:1] == high[:1]:
        return _under("", spans, letters)
    if len(spans) == 1:
        return list(_range(low, high, letters, leading=leading))
    by_beginning = _by_beginning(spans, letters, leading=leading)
    by_ending = _by_ending(spans, letters, leading=leading)
    if by_ending and len(_group(by_ending, letters)) < len(_group(by_beginning, letters)):
        return by_ending
    return by_beginning


def _by_beginning(spans: _Spans, letters: _Letters, *, leading: bool) -> list[_Alternative]:
    """Return the alternatives of a branch by its first digits, grouping digits with the same continuation."""
    rows = _rows_alike(spans)
    alternatives: list[_Alternative] = []
    for row, digits in rows.items():
        # The class may include digits of a row that contains this one: the other ids of that row match elsewhere.
        wider = (more for other, more in rows.items() if other != row and len(digits) > 1 and _within(row, other))
        spare = "".join(wider)
        if leading and not letters.strict:
            spare += "0"
        alternatives += _under(letters.one_of(digits, spare), row, letters)
    return _shared(alternatives, letters)


def _by_ending(spans: _Spans, letters: _Letters, *, leading: bool) -> list[_Alternative]:
    """Return the alternatives by last digits, grouping equal beginnings; empty where few are equal."""
    size = len(spans[0][0]) - 1
    endings: dict[str, list[tuple[int, int]]] = {}
    for beginning, digits in _ends(spans).items():
        endings.setdefault(digits, []).append(beginning)
    if 2 * len(endings) > sum(len(beginnings) for beginnings in endings.values()):
        return []
    alternatives = []
    for digits, beginnings in endings.items():
        before = tuple((f"{first:0{size}}", f"{last:0{size}}") for first, last in _runs(sorted(beginnings)))
        head = _factor(before, letters, leading=leading)
        free = int(digits == _DIGITS)
        alternatives.append(_Alternative(head if free else head + letters.one_of(digits), free))
    return alternatives


def _ends(spans: _Spans) -> dict[tuple[int, int], str]:
    """Return the last digits of the ids, by the range of the digits before them.

    >>> _ends((("123", "149"), ("155", "155")))
    {(12, 12): '3456789', (13, 13): '0123456789', (14, 14): '0123456789', (15, 15): '5'}
    """
    ends: dict[tuple[int, int], str] = {}
    for low, high in spans:
        (first, since), (last, until) = divmod(int(low), 10), divmod(int(high), 10)
        for beginning, digits in (
            ((first, first), _DIGITS[since : until + 1 if first == last else None]),
            ((first + 1, last - 1), _DIGITS if first + 1 < last else ""),
            ((last, last), _DIGITS[: until + 1] if first < last else ""),
        ):
            if digits:
                ends[beginning] = ends.get(beginning, "") + digits
    return ends


def _under(head: str, row: _Spans, letters: _Letters) -> list[_Alternative]:
    """Return the alternatives of a row, each with its own head or all with a common one."""
    common = _common(row)
    if common:
        head, row = head + common, _without(common, row)
    rest = _branch(row, letters)
    if (len(rest) - 1) * len(head) <= len("()"):
        return [_Alternative(head + text, free) for text, free in rest]
    return [_Alternative(head + _group(rest, letters), 0)]


def _rows_alike(spans: _Spans) -> dict[_Spans, str]:
    """Return, for each continuation, the first digits that it follows."""
    rows: list[list[tuple[str, str]]] = [[] for _ in _DIGITS]
    rest = len(spans[0][0]) - 1
    least, most = "0" * rest, "9" * rest
    for low, high in spans:
        first, last = int(low[0]), int(high[0])
        for digit in range(first, last + 1):
            rows[digit].append((low[1:] if digit == first else least, high[1:] if digit == last else most))
    alike: dict[_Spans, str] = {}
    for head, row in zip(_DIGITS, rows, strict=True):
        if row:
            alike[tuple(row)] = alike.get(tuple(row), "") + head
    return alike


def _within(inner: _Spans, outer: _Spans) -> bool:
    """Return whether the second branch contains the first one."""
    return all(any(least <= low and high <= most for least, most in outer) for low, high in inner)


def _shared(alternatives: list[_Alternative], letters: _Letters) -> list[_Alternative]:
    """Return the alternatives, with free digits at the end of several written once where that is shorter."""
    saved, free = max(
        ((sum(alternative.free >= n for alternative in alternatives) - 1) * len(letters.free[n]) - len("()"), n)
        for n in {alternative.free for alternative in alternatives}
    )
    if saved <= 0:
        return alternatives
    inside = [_Alternative(text, more - free) for text, more in alternatives if more >= free]
    outside = [alternative for alternative in alternatives if alternative.free < free]
    return [_Alternative(_group(_shared(inside, letters), letters), free), *outside]


# --- ranges: a middle between two sides ------------------------------------------------------------------------------

_FEW = 3
"""The most steps that are one factor next to others, and the most layers around one before the outermost.

Larger values hardly shorten any pattern, and take twice as long.
"""


class _Step(NamedTuple):
    """The first `prefix` digits of a bound, then a class, then free digits."""

    prefix: int
    digits: str
    free: int


class _Side:
    """The steps from a bound to the middle, the one nearest to the middle first.

    The farther from the middle, the more digits of the bound and the fewer free digits a step has. So consecutive steps
    share the digits of the first one and the free digits of the last one.
    """

    def __init__(self, bound: str, steps: Sequence[_Step], letters: _Letters, *, rising: bool) -> None:
        self.bound = bound
        self.steps = steps
        self.free = letters.free
        self.rising = rising
        self.groups: dict[tuple[int, int], str] = {}

    def written(self, prefix: int, start: int, end: int, free: int) -> str:
        """Return the steps from `start` to before `end`: one factor, or the first few as one and the others next to it.

        `prefix` digits of the bound and `free` free digits are written outside.
        """
        whole = self.factor(prefix, start, end, free)
        if start == end - 1 or self.steps[start].prefix > prefix + 1:  # two shared digits always pay for parentheses
            return whole
        divided = self.divided(prefix, start, end, free)
        return whole if len(whole) < len(divided) else divided

    def factor(self, prefix: int, start: int, end: int, free: int) -> str:
        """Return one step, or a group of steps after their common digits and before their common free digits."""
        digits, text, _ = self.steps[start]
        least = self.steps[end - 1].free
        if start < end - 1:
            key = start, end
            if key not in self.groups:
                self.groups[key] = f"({self.divided(digits, start, end, least)})"
            text = self.groups[key]
        return self.bound[prefix:digits] + text + self.free[least - free]

    def divided(self, prefix: int, start: int, end: int, free: int) -> str:
        """Return the first few steps as one factor, and the others next to it, in ascending order."""
        best = ""
        for split in range(start + 1, min(start + _FEW + 1, end)):
            near, far = self.factor(prefix, start, split, free), self.written(prefix, split, end, free)
            if not best or len(near) + len(far) + 1 < len(best):
                best = f"{far}|{near}" if self.rising else f"{near}|{far}"
        return best

    def count(self, free: int) -> int:
        """Return how many steps end in at least `free` free digits: the first ones."""
        return len([step for step in self.steps if step.free >= free])

    def tail(self, prefix: int, free: int) -> _Alternative | None:
        """Return the steps that share at least `prefix` digits and `free` free digits, as one factor without these."""
        start, end = len([step for step in self.steps if step.prefix < prefix]), self.count(free)
        if start >= end:
            return None
        common = self.steps[end - 1].free
        return _Alternative(self.factor(prefix, start, end, common), common - free)


def _side(bound: str, letters: _Letters, *, rising: bool, start: int = 1, leading: bool = False) -> _Side:
    """Return the steps from a bound that begin with at least `start` of its digits; none where only free digits follow.

    >>> _side("3450", _PORTABLE, rising=True).steps
    [_Step(prefix=1, digits='[5-9]', free=2), _Step(prefix=2, digits='[5-9]', free=1)]
    >>> _side("444", _PORTABLE, rising=False).steps
    [_Step(prefix=1, digits='[0-3]', free=1), _Step(prefix=2, digits='[0-4]', free=0)]
    """
    size = len(bound)
    end = max(start, len(bound.rstrip("0" if rising else "9")))
    steps = []
    if bound[start:].strip("0" if rising else "9"):
        for prefix in range(start, end):
            digit, beyond = int(bound[prefix]), int(prefix < end - 1)  # the last step holds the bound itself
            first = leading and prefix == 0 and size > 1
            low, high = (digit + beyond, 9) if rising else (int(first), digit - beyond)
            if low <= high:
                steps.append(_Step(prefix, letters.between(low, high, leading=first), size - 1 - prefix))
    return _Side(bound, steps, letters, rising=rising)


@lru_cache(maxsize=4096)
def _range_factor(low: str, high: str, letters: _Letters, *, leading: bool) -> str:
    """Return a range as one factor; cached, because windows of one width have few different tails."""
    return _group(_branch(((low, high),), letters, leading=leading), letters)


def _range(low: str, high: str, letters: _Letters, *, leading: bool) -> tuple[_Alternative, ...]:
    """Return the alternatives of a range whose bounds have one length and different first digits."""
    size = len(low)
    up, down = _side(low, letters, rising=True), _side(high, letters, rising=False)
    first, last = int(low[0]) + bool(up.steps), int(high[0]) - bool(down.steps)
    rows = letters.between(first, last, leading=leading) if first <= last else ""
    overlaps = partial(_overlaps, up, down, rows, letters, leading=leading)

    def middle(free: int, inner: int) -> str:
        return rows + letters.free[size - 1 - free] if rows and inner >= size else ""

    return _joined(up, down, middle, {size - 1} if rows else set(), overlaps)


def _across_lengths(low: str, high: str, letters: _Letters) -> tuple[_Alternative, ...]:
    """Return the alternatives of a range whose bounds differ in length; the middle is every complete length."""
    up = _side(low, letters, rising=True, start=0, leading=True)
    down = _side(high, letters, rising=False, start=0, leading=True)
    if low == str(10 ** (len(low) - 1)) and low != "1":
        up.steps = []  # every id of that length
    least, most = len(low) + bool(up.steps), len(high) - bool(down.steps)
    if low == "0" and letters.strict:  # 0 is separate, because every length is [1-9][0-9]{n}
        up.steps = [_Step(0, "0", 0)]

    def middle(free: int, inner: int) -> str:
        return letters.lengths(max(least, free + 1) - free, min(most, inner) - free)

    side_by_side = _joined(up, down, middle, {0, least - 1})
    size = len(_common(((low, high),)))
    below = _side(low[size:], letters, rising=True, start=0)
    above = _side(high[size:], letters, rising=False, start=0)
    if not (size and below.steps and above.steps):
        return side_by_side
    # Ids of both lengths begin alike: from 38 to 390 the pattern ends in 3(8|9|[^9].|90).
    inside = _joined(below, above, lambda _free, _inner: "", set())
    short_up = _Side(low, [step for step in up.steps if step.prefix < size], letters, rising=True)
    short_down = _Side(high, [step for step in down.steps if step.prefix < size], letters, rising=False)
    under = _Alternative(low[:size] + _group(inside, letters), 0)
    together = (*_joined(short_up, short_down, middle, {0, least - 1}), under)
    return min(side_by_side, together, key=lambda alternatives: len(_group(alternatives, letters)))


def _joined(
    up: _Side,
    down: _Side,
    middle: Callable[[int, int], str],
    whole: set[int],
    overlaps: Callable[[int], Iterable[tuple[int, list[_Alternative]]]] = lambda _free: (),
) -> tuple[_Alternative, ...]:
    """Return the shortest combination of two sides and the middle, found layer by layer.

    A layer is everything that ends in at least a number of free digits, which are written outside. It is written side
    by side; or as a layer nearer to the middle, in one group or in overlapping alternatives, next to the rest.
    `middle` returns the part of the middle that is in one layer and not in another, `whole` has the numbers of free
    digits at which it has any, and `overlaps` returns the overlapping alternatives of a layer, and the layer inside.
    """
    order = sorted({step.free for step in (*up.steps, *down.steps)} | whole, reverse=True)
    nothing = MOST_DIGITS + 1  # free digits: an empty layer
    counts = {nothing: (0, 0)} | {free: (up.count(free), down.count(free)) for free in order}
    layers: dict[int, str] = {}
    overlapping: dict[int, list[tuple[int, list[_Alternative]]]] = {}

    def within(free: int, inner: int) -> str:
        """Return a layer as written inside another one, or in itself; empty if it does not fit."""
        dots = inner - free
        ways = []
        for centre_layer, overlap in overlapping.get(inner, ()):
            texts = [text + up.free[more + dots] for text, more in overlap]
            ways.append("|".join(filter(None, [*texts, within(free, centre_layer)])))
        if dots and inner in layers:
            ways.append((f"({layers[inner]})" if "|" in layers[inner] else layers[inner]) + up.free[dots])
        return min(ways, key=len, default="")

    def around(free: int, inner: int, centre: str) -> str:
        """Return a layer with another one in its centre."""
        (start_low, start_high), (end_low, end_high) = counts[inner], counts[free]
        below = _loose(up.written(0, start_low, end_low, free)) if start_low < end_low else ""
        above = _loose(down.written(0, start_high, end_high, free)) if start_high < end_high else ""
        return "|".join([part for part in (below, middle(free, inner), centre, above) if part])

    for place, free in enumerate(order):
        ways = []
        if place <= _FEW or free == order[-1]:
            ways.append(around(free, nothing, ""))
            overlapping[free] = list(overlaps(free))
        inners = order[0 if free == order[-1] else max(0, place - _FEW) : place + 1]
        ways += [around(free, inner, centre) for inner in inners if (centre := within(free, inner))]
        layers[free] = min(ways, key=len)
    if "|" not in layers[free]:
        return (_Alternative(layers[free], free),)
    if free:
        return (_Alternative(f"({layers[free]})", free),)
    return tuple(_Alternative(text, 0) for text in _alternatives(layers[free]))


def _alternatives(text: str) -> Iterator[str]:
    """Yield the alternatives at the top level of a text.

    >>> list(_alternatives("1(2|3)|4"))
    ['1(2|3)', '4']
    """
    depth = start = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _overlaps(
    up: _Side, down: _Side, middle: str, letters: _Letters, free: int, *, leading: bool
) -> Iterator[tuple[int, list[_Alternative]]]:
    """Yield overlapping alternatives for a layer, fewer than disjoint ones, and the inner layer that they surround.

    A pattern matches only ids in a range exactly if its least and its greatest match are in the range, so a class may
    be widened as long as these two stay. Where the tails after both bounds together are everything, both can take the
    first digits of the middle, which is then not needed: from 05 to 98, 0[5-9], [1-8]. and 9[^9] become [^9][5-9] and
    [^0][^9]. Or one alternative serves both bounds, and what lies between stays as it is: from 1222 to 5292, the ids
    that begin with 12 or 52 are 1[^01]{3}, [15]2[3-9][0-2] and 52[^9]., around the layer (1[3-9]|[2-4].|5[01])...
    """
    low, high = up.bound, down.bound
    first, last = int(low[0]), int(high[0])
    between = partial(letters.between, leading=leading)
    two = _in_two(up, down, 1, free) if middle else None
    if two:
        yield len(low), _counted_each(_headed((between(first, last - 1), between(first + 1, last)), two))
    for alike, three in _in_three(up, down, free, letters):
        same = low[1:alike]
        spare = _DIGITS[first + 1 : last] + ("0" if leading and not letters.strict else "")
        both = letters.one_of(low[0] + high[0], spare) + same
        # The common digits may be widened where one bound is alone: a count may then include them.
        onward = low[0] + "".join([letters.between(int(digit), 9) for digit in same])
        back = high[0] + "".join([letters.between(0, int(digit)) for digit in same])
        heads = (low[:alike], both, high[:alike]), (onward, both, back)
        ways = zip(*(_counted_each(_headed(each, three)) for each in heads), strict=True)
        yield len(low) - alike, [min(way, key=lambda alternative: len(alternative.text)) for way in ways]
        if middle and alike == 1:
            wide = between(first, last - 1), between(first, last), between(first + 1, last)
            yield len(low), _counted_each(_headed(wide, three))


def _headed(heads: Iterable[str], tails: Iterable[_Alternative]) -> list[_Alternative]:
    return [_Alternative(head + text, free) for head, (text, free) in zip(heads, tails, strict=True)]


def _counted_each(alternatives: Iterable[_Alternative]) -> list[_Alternative]:
    return [_Alternative(_counted(text), free) for text, free in alternatives]


def _in_two(up: _Side, down: _Side, start: int, free: int) -> tuple[_Alternative, _Alternative] | None:
    """Return the tails after `start` digits of the lower and the upper bound, if together they are everything."""
    if not _meet(up.bound[start:], down.bound[start:], free):
        return None
    from_low, to_high = up.tail(start, free), down.tail(start, free)
    return (from_low, to_high) if from_low and to_high else None


def _in_three(up: _Side, down: _Side, free: int, letters: _Letters) -> Iterator[tuple[int, list[_Alternative]]]:
    """Yield three alternatives that replace four (for the lower, both and the upper bound), and the digits before them.

    They exist where the bounds part and one of them has its last possible digit, if two alternatives suffice one digit
    further on. Where the bounds have equal digits before, they also exist before these, each side with its own step.
    """
    low, high = up.bound, down.bound
    end = len(low) - 1 - free
    place = next((place for place in range(1, end) if low[place] < high[place]), end)
    if place == end or low[1:place] != high[1:place] or (low[place] != "0" and high[place] != "9"):
        return
    two = _in_two(up, down, place + 1, free)
    if not two:
        return
    since, until = int(low[place]), int(high[place])
    ways = []
    if high[place] == "9":
        heads = letters.between(since, 9), letters.between(since + 1, 9)
        ways.append([*_headed(heads, two), _Alternative(letters.between(0, 8), end - place)])
    if low[place] == "0":
        heads = letters.between(0, until - 1), letters.between(0, until)
        ways.append([_Alternative(letters.between(1, 9), end - place), *_headed(heads, two)])
    for way in ways:
        three = way
        yield place, three
        for before in range(place - 1, 0, -1):
            digit = int(low[before])
            below, both, above = _headed([low[before]] * 3, three)
            if low[before] != "9":
                step = _Alternative(letters.between(digit + 1, 9), end - before)
                below = _Alternative(_group([below, step], letters), 0)
            if low[before] != "0":
                step = _Alternative(letters.between(0, digit - 1), end - before)
                above = _Alternative(_group([step, above], letters), 0)
            three = [below, both, above]
            yield before, three


def _meet(low: str, high: str, free: int) -> bool:
    """Return whether numbers from `low` on and numbers up to `high` together are all, in blocks of free digits."""
    block = 10**free
    return bool(-(-int(low) // block) <= (int(high) + 1) // block)


# --- the tree, as text -----------------------------------------------------------------------------------------------


def explain(first: int, last: int, *, strict: bool = False) -> str:
    """Return the tree of digits of a window, its branches side by side, and its pattern, as lines of text.

    Raises:
        TypeError, ValueError: as for `range_regexp`.

    >>> print(explain(12345, 12444))
    12
    ├─ 3
    │  ├─ 4[5-9]
    │  └─ [5-9].
    └─ 4
       ├─ [0-3].
       └─ 4[0-4]
    <BLANKLINE>
    side by side:  ^(1234[5-9]|123[5-9].|124[0-3].|1244[0-4])$  (43 bytes)
    the pattern:   ^12(34[5-9]|3[5-9].|4[0-3].|44[0-4])$  (37 bytes)
    """
    pattern = range_regexp(first, last, strict=strict)
    letters = _STRICT if strict else _PORTABLE
    lines: list[str] = []
    paths: list[str] = []
    for length in range(len(str(first)), len(str(last)) + 1):
        low = max(first, 10 ** (length - 1) if length > 1 else 0)
        high = min(last, 10**length - 1)
        tree = _Tree.of(((str(low), str(high)),), letters)
        lines += tree.drawn()
        paths += tree.paths()
    together = f"^({'|'.join(paths)})$" if len(paths) > 1 else f"^{paths[0]}$"
    lines += ["", f"side by side:  {together}  ({len(together)} bytes)"]
    return "\n".join([*lines, f"the pattern:   {pattern}  ({len(pattern)} bytes)"])


class _Tree(NamedTuple):
    """A branch for display: its common first digits, then the branches it divides into."""

    label: str
    below: tuple[_Tree, ...]

    @classmethod
    def of(cls, spans: _Spans, letters: _Letters) -> _Tree:
        common = _common(spans)
        spans = _without(common, spans)
        low, high = spans[0][0], spans[-1][1]
        if not low.strip("0") and not high.strip("9"):
            return cls(common + letters.free[len(low)], ())
        branches = []
        for row, digits in _rows_alike(spans).items():
            label, below = cls.of(row, letters)
            branches.append(cls(letters.one_of(digits) + label, below))
        return cls(common, tuple(branches)) if len(branches) > 1 else cls(common + branches[0].label, branches[0].below)

    def paths(self, before: str = "") -> Iterator[str]:
        """Yield each path from the root to a leaf, as an alternative."""
        if not self.below:
            yield before + self.label
        for branch in self.below:
            yield from branch.paths(before + self.label)

    def drawn(self) -> Iterator[str]:
        """Yield the tree as lines; branches without common first digits begin at the left edge."""
        if self.label:
            yield self.label
        for number, branch in enumerate(self.below, 1):
            corner, edge = ("└─ ", "   ") if number == len(self.below) else ("├─ ", "│  ")
            for place, line in enumerate(branch.drawn()):
                yield (edge if place else corner) + line if self.label else line
