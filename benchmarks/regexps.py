"""Our patterns compared with those of other tools: bytes, time and correctness, in one table.

Run with `python -m benchmarks.regexps`. Peers that are not installed are skipped, with the reason. Lengths are those of
anchored patterns in portable syntax (`portable`), which replaces what a server would misread.
"""

from __future__ import annotations

import importlib
import json
import random
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magento_pager.walk import regexps
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Unavailable(Exception):  # noqa: N818 - a reason, not a failure
    """The peer is not installed here."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool: its call, and whether it needs every id as an argument."""

    package: str
    call: Callable[[Any, Iterable[int]], str] | Callable[[Any, int, int], str] | None
    enumerates: bool = False

    def patterns(self, ranges: Sequence[tuple[int, int]]) -> list[str]:
        """Return the tool's pattern of each range.

        Raises:
            Unavailable: it is not installed.
        """
        if self.call is None:
            return _to_regex_range(ranges)
        module = self.module()
        if self.enumerates:
            return [self.call(module, range(first, last + 1)) for first, last in ranges]  # type: ignore[call-arg, arg-type]
        return [self.call(module, first, last) for first, last in ranges]  # type: ignore[call-arg, arg-type]

    def of_set(self, ids: Sequence[int]) -> str:
        """Return the tool's pattern of a set; only for tools that need every id as an argument."""
        return self.call(self.module(), ids)  # type: ignore[call-arg, misc, arg-type]

    def module(self) -> Any:
        """Return the tool's module."""
        try:
            return importlib.import_module(self.package)
        except ImportError as why:
            raise Unavailable(f"{self.package} is not installed: {why}") from why


PEERS = {
    "range-regex": Peer("range_regex.range_regex", lambda tool, first, last: tool.regex_for_range(first, last)),
    "range-ex": Peer("range_ex", lambda tool, first, last: tool.range_regex(first, last)),
    "grex": Peer(
        "grex", lambda tool, ids: tool.RegExpBuilder.from_test_cases([*map(str, ids)]).build(), enumerates=True
    ),
    "trieregex": Peer("trieregex", lambda tool, ids: tool.TrieRegEx(*map(str, ids)).regex(), enumerates=True),
    "to-regex-range": Peer("to-regex-range", None),
}

_NODE = """
const lines = require("fs").readFileSync(0, "utf8");
const tool = require("to-regex-range");
const ranges = JSON.parse(lines);
const started = process.hrtime.bigint();
const patterns = ranges.map(([first, last]) => tool(first, last, { wrap: true }));
const took = Number(process.hrtime.bigint() - started) / 1e3;
console.log(JSON.stringify([took, patterns]));
"""


def _node(ranges: Sequence[tuple[int, int]]) -> tuple[float, list[str]]:
    """Return the microseconds and the patterns of to-regex-range, found by NODE_PATH, for the ranges."""
    node = shutil.which("node")
    if node is None:
        raise Unavailable("node is not installed")
    process = subprocess.run([node, "-e", _NODE], input=json.dumps(ranges), capture_output=True, text=True, check=False)
    if process.returncode:
        raise Unavailable("to-regex-range is not installed in NODE_PATH")
    microseconds_, patterns = json.loads(process.stdout)
    return microseconds_, patterns


def _to_regex_range(ranges: Sequence[tuple[int, int]]) -> list[str]:
    return _node(ranges)[1]


def portable(pattern: str) -> str:
    r"""Return a peer's pattern, anchored, in syntax that every engine reads alike, as short as such a rewriting can be.

    >>> portable(r"[5-9]|[1-8]\d|9\d?"), portable("^(?:1|2)$"), portable(r"\b(7)\b")
    ('^([5-9]|[1-8][0-9]|9[0-9]{0,1})$', '^(1|2)$', '^7$')
    >>> portable("^[0-9][0-9]?$")
    '^[0-9]{1,2}$'
    """
    plain = pattern.replace(r"\b", "").replace(r"\d", "[0-9]").replace("(?:", "(").removeprefix("^").removesuffix("$")
    plain = re.sub(r"(\[[^]]*\]|\d)\1\?", r"\1{1,2}", plain).replace("?", "{0,1}")
    depth = [0]
    for letter in plain:
        depth.append(depth[-1] + (letter == "(") - (letter == ")"))
    bars = {depth[index] for index, letter in enumerate(plain) if letter == "|"}
    if 0 in bars:
        return f"^({plain})$"
    if plain.startswith("(") and 0 not in depth[1:-1] and 1 not in bars:
        return f"^{plain[1:-1]}$"
    return f"^{plain}$"


def exact(pattern: str, first: int, last: int, chooser: random.Random) -> bool:
    """Return whether a pattern agrees with integer comparison around the bounds and at a few other ids."""
    search = re.compile(pattern).search
    near = [bound + step for bound in (first, last) for step in (-1, 0, 1)]
    inside = [chooser.randint(first, last) for _ in range(5)]
    others = [first // 10, last * 10, *(chooser.randrange(last + 1) for _ in range(5))]
    return all(
        (search(str(number)) is not None) == (first <= number <= last)
        for number in (*near, *inside, *others)
        if number >= 0
    )


def lengths(patterns: Sequence[str]) -> float:
    """Return the mean length, in bytes."""
    return sum(map(len, patterns)) / len(patterns)


def microseconds(work: Callable[[], object], count: int) -> float:
    """Return the minimum time of five runs, divided by the number of patterns."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) / count * 1e6


WIDTHS = (10, 100, 250, 1000, 10_000)


def _pair(below: int, chooser: random.Random) -> tuple[int, int]:
    """Return a random range below a number."""
    bounds = chooser.choices(range(below), k=2)
    return min(bounds), max(bounds)


def main() -> None:
    """Print the table."""
    chooser = random.Random(20)  # noqa: S311 - no secret
    samples: dict[int | str, list[tuple[int, int]]] = {
        width: [(a, a + width - 1) for a in chooser.choices(range(10**8), k=20_000)] for width in WIDTHS
    }
    samples["aligned"] = [(a, a + 99) for a in range(0, 10**6, 500)]
    hundred = samples[100][:2000]
    across_lengths = [_pair(3000, chooser) for _ in range(2000)]
    five = [[number for a in chooser.choices(range(10**6), k=5) for number in range(a, a + 100)] for _ in range(1000)]
    holes = [chooser.sample(range(a, a + 1000), 950) for a in chooser.choices(range(10**8), k=200)]
    thousand = [chooser.sample(range(10**6), 1000) for _ in range(3)]

    heads = ["aligned", *WIDTHS, "two lengths", "5 windows", "5 % holes", "1000 ids", "µs", "ms/set", "wrong"]
    print(f"{'mean bytes':15}" + "".join(f"{head:>10}" for head in heads))

    def row(name: str, *figures: object) -> None:
        print(
            f"{name:15}"
            + "".join(f"{figure:10.1f}" if isinstance(figure, float) else f"{figure!s:>10}" for figure in figures)
        )

    def errors(patterns: Sequence[str], ranges: Sequence[tuple[int, int]]) -> str:
        pairs = zip(patterns, ranges, strict=True)
        return f"{sum(not exact(pattern, *bounds, chooser) for pattern, bounds in pairs)}/{len(patterns)}"

    for strict in (False, True):
        patterns = {
            head: [regexps.range_regexp(a, b, strict=strict) for a, b in ranges] for head, ranges in samples.items()
        }
        across = [regexps.range_regexp(a, b, strict=strict) for a, b in across_lengths]
        sets = [lengths([regexps.ids_regexp(ids, strict=strict) for ids in group]) for group in (five, holes, thousand)]
        row(
            "ours, strict" if strict else "ours",
            *(lengths(patterns[head]) for head in ("aligned", *WIDTHS)),
            lengths(across),
            *sets,
            microseconds(lambda: [regexps.range_regexp(a, b, strict=strict) for a, b in hundred], len(hundred)),  # noqa: B023
            microseconds(lambda: [regexps.ids_regexp(ids, strict=strict) for ids in thousand], 3) / 1000,  # noqa: B023
            errors([*patterns[100][: len(hundred)], *across], [*hundred, *across_lengths]),
        )
    for name, peer in PEERS.items():
        many = 200 if peer.enumerates else 20_000
        try:
            peer.patterns([(1, 2)])
        except Unavailable as reason:
            print(f"{name:15}  skipped: {reason}")
            continue
        figures: list[object] = []
        for head in ("aligned", *WIDTHS):
            ranges = samples[head][: many if head != WIDTHS[-1] else many // 10]
            figures.append(lengths([portable(pattern) for pattern in peer.patterns(ranges)]))
        across = [portable(pattern) for pattern in peer.patterns(across_lengths[:many])]
        few = hundred[:many]
        row(
            name,
            *figures,
            lengths(across),
            *(
                lengths([portable(peer.of_set(ids)) for ids in group[:20]]) if peer.enumerates else "-"
                for group in (five, holes, thousand)
            ),
            _node(few)[0] / len(few) if peer.call is None else microseconds(lambda: peer.patterns(few), len(few)),  # noqa: B023
            microseconds(lambda: [peer.of_set(ids) for ids in thousand], 3) / 1000 if peer.enumerates else "-",  # noqa: B023
            errors([*map(portable, peer.patterns(few)), *across], [*few, *across_lengths[:many]]),
        )
    _slowest(chooser)


def _slowest(chooser: random.Random) -> None:
    """Print the time of a range that was not used before; the cache is cleared before each."""
    for name, ranges in (
        ("a window of 100", [(a, a + 99) for a in chooser.choices(range(10**8), k=500)]),
        ("any INT range", [_pair(4_294_967_296, chooser) for _ in range(500)]),
    ):
        times = []
        for first, last in ranges:
            tries = []
            for _ in range(5):
                regexps._range_factor.cache_clear()  # noqa: SLF001 - a benchmark may use internals
                started = time.perf_counter()
                regexps.ids_regexp([IdRange(first, last)])
                tries.append(time.perf_counter() - started)
            times.append(min(tries) * 1e6)
        print(f"{name}, not used before: mean {sum(times) / len(times):.0f} µs, slowest {max(times):.0f} µs")


if __name__ == "__main__":
    main()
