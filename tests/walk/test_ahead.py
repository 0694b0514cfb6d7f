"""Reading ahead: the limit of concurrent calls is kept, and the rows are the same."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import (
    Alias,
    FaultError,
    InList,
    Page,
    Paginator,
    Prefix,
    Query,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
    TransportError,
    connect,
)
from magento_pager.fake import Shop
from magento_pager.walk.ahead import MOST, Tuner
from magento_pager.walk.limiter import CallLimiter, CallsUnderWay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from magento_pager.walk.pages import Row

PATIENCE = 20.0  # seconds until a test stops waiting; only a broken walk takes this long


@dataclass
class Busy(MemorySource):
    """A list in memory that counts concurrent calls, and can delay them before their first row.

    Attributes:
        most: calls under way at once, at most so far.
        hold: called before a reply begins, with the query.
    """

    most: int = 0
    under_way: int = 0
    hold: Callable[[Query], None] = lambda _: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, once the call is released."""
        with self.changed:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.changed.notify_all()
        try:
            self.hold(query)
        finally:
            with self.changed:
                self.under_way -= 1
                self.changed.notify_all()
        yield from super().fetch(query)

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait until a condition is true; fail if it never is."""
        with self.changed:
            assert self.changed.wait_for(true, PATIENCE)


def walk(source: MemorySource, strategy: Strategy | None = None, **options: object) -> Paginator:
    """Return a walk over a list in memory that reads ahead."""
    options = {"lookahead": True, "window": 100, "last": 99_999} | options
    return Paginator(source, strategy or Range(), "id", None, "list", **options)  # type: ignore[arg-type]


def threads() -> set[threading.Thread]:
    """Return the threads that read windows."""
    return {one for one in threading.enumerate() if one.name.startswith("ids ")}


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fail if a thread of the block is still alive some time after it."""
    yield
    for one in threads():
        one.join(PATIENCE)
        assert not one.is_alive()


LAYOUTS = {
    "dense": [*range(1, 3000)],
    "gaps": [number for number in range(1, 9000) if number % 7 and not 700 <= number <= 4400],
    "a jump": [*range(1, 700), *range(50_000, 50_400), 99_999],
    "every 50th": [*range(13, 30_000, 50)],
    "none": [],
}
STRATEGIES: list[Strategy] = [Range(), Alias(), InList(), Prefix(), Regexp(), SingleFilter()]


@pytest.mark.sampled
@pytest.mark.parametrize("window", [100, None])
@pytest.mark.parametrize("parallel", [1, 3, "auto"])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one.name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_concurrent_calls_keep_the_order_of_pages(
    layout: str, strategy: Strategy, parallel: int | str, window: int | None
) -> None:
    """Every row is delivered once, in order, and windows are in order, for any number of concurrent calls."""
    source = Busy(LAYOUTS[layout])
    with no_thread_left():
        pages = list(walk(source, strategy, parallel=parallel, window=window).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert [page.window.first for page in pages] == [0, *(page.window.last + 1 for page in pages[:-1])]
    assert pages[-1].window.last == 99_999
    assert source.most <= (parallel if isinstance(parallel, int) else MOST)


@pytest.mark.slow
@given(
    ids=st.sets(st.integers(0, 3000)),
    far=st.sets(st.integers(80_000, 80_020)),
    window=st.integers(1, 400),
    parallel=st.integers(1, 5),
)
@example(ids=set(range(1, 40)), far=set(range(80_000, 80_006)), window=5, parallel=1)
@pytest.mark.parametrize("with_ids", [True, False])
def test_any_ids_any_window_any_number_of_calls(
    ids: set[int], far: set[int], window: int, parallel: int, *, with_ids: bool
) -> None:
    """All rows are delivered in order of id, on any layout; by page and identity where they carry no id."""
    source = Busy(ids | far, with_ids=with_ids)
    paginator = walk(source, Alias(), window=window, parallel=parallel)
    assert list(replace(paginator, identity_field="increment_id")) == source.rows()
    assert source.most <= parallel


def test_lookahead_requests_the_next_window_while_a_page_is_used() -> None:
    """The next call is made before the page is delivered, and there is never more than one at a time."""
    source = Busy(range(1, 1000))
    with no_thread_left():
        for page in walk(source, last=999).pages():
            if 100 <= page.window.first < 900:
                behind = page.window.last + 1
                source.wait_until(lambda first=behind: any(query.span.first == first for query, _ in source.queries))  # type: ignore[misc]
    assert source.most == 1


def test_without_lookahead_no_window_is_requested_early() -> None:
    """Without lookahead, no thread is started."""
    source = Busy(range(1, 1000))
    for page in walk(source, lookahead=False).pages():
        windows = [query.span for query, _ in source.queries if query.conditions[0].operator != "like"]  # no samples
        assert max(window.last for window in windows) <= page.window.last
        assert not threads()


@pytest.mark.parametrize("parallel", [2, 4])
def test_the_allowed_number_of_concurrent_calls_is_used(parallel: int) -> None:
    """A server that waits for N concurrent calls before it answers gets them."""
    source = Busy(range(1, 3000))
    gate = threading.Barrier(parallel)

    def hold(query: Query) -> None:
        if 500 <= query.span.first < 500 + 100 * parallel:
            gate.wait(PATIENCE)

    source.hold = hold
    assert list(walk(source, parallel=parallel)) == source.rows()
    assert source.most == parallel


def test_pages_are_in_order_when_replies_are_not() -> None:
    """A late reply delays the pages after it, and none of them overtakes it."""
    source = Busy(range(1, 1500))

    def hold(query: Query) -> None:
        if query.span.first == 400:
            source.wait_until(lambda: any(query.span.first >= 600 for query, _ in source.queries))

    source.hold = hold
    assert list(walk(source, parallel=3)) == source.rows()
    order = [query.span.first for query, _ in source.queries]
    assert order.index(400) > order.index(600), "the late call was not overtaken, so the test proves nothing"


def test_gaps_cost_no_additional_calls() -> None:
    """Nothing is read ahead after an empty reply, so windows grow over gaps as with single calls."""
    ids = [*range(1, 450), *range(30_000, 30_450)]
    ahead, one_by_one = Busy(ids), Busy(ids)
    list(walk(ahead))
    list(walk(one_by_one, lookahead=False))
    assert len(ahead.queries) == len(one_by_one.queries)


def test_a_failure_discards_the_windows_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised after the pages before it, its cursor is the failed window, and resuming loses no row."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    source, down = Busy(range(1, 2000)), [True]

    def hold(query: Query) -> None:
        if query.span.first == 700 and down:
            source.wait_until(lambda: any(query.span.first > 700 for query, _ in source.queries))
            raise TransportError("refused", remedy="stop")

    source.hold = hold
    paginator, delivered = walk(source, parallel=3), list[Page]()
    with no_thread_left(), pytest.raises(TransportError) as caught:
        delivered.extend(paginator.pages())
    assert caught.value.cursor is not None
    assert caught.value.cursor.next_id == 700
    assert delivered[-1].window.last == 699
    down.clear()
    rest = [row for page in paginator.pages(caught.value.cursor) for row in page.rows]
    assert [row for page in delivered for row in page.rows] + rest == source.rows()


def test_a_temporary_failure_is_retried_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is requested again, with those read ahead after it, and the page counts the retries."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    source, failures = Busy(range(1, 2000)), [1, 2]

    def hold(query: Query) -> None:
        if query.span.first == 700 and failures:
            failures.pop()
            raise TransportError("reset", remedy="retry")

    source.hold = hold
    pages = list(walk(source, parallel=3).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert {page.window.first: page.stats.retries for page in pages if page.stats.retries} == {700: 2}


def test_a_window_that_is_too_large_is_split() -> None:
    """Windows that were read ahead are narrowed like all others."""
    source = Busy(range(1, 2000))

    def hold(query: Query) -> None:
        if len(query.span) > 40 and 900 <= query.span.first < 1200:
            raise FaultError("too much", code="1", text="memory", operation="list", remedy="split")

    source.hold = hold
    pages = list(walk(source, Alias(), parallel=3).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert not any(page.quarantined for page in pages)
    assert sum(page.stats.retries for page in pages) >= 1


def test_leaving_the_loop_ends_all_calls() -> None:
    """Leaving the loop ends the threads, and a call that waits for a slot is not made."""
    source = Busy(range(1, 5000))
    with no_thread_left():
        for page in walk(source, parallel=3).pages():
            if page.window.first == 500:
                break
    ahead = len(source.queries)
    time.sleep(0.05)
    assert len(source.queries) == ahead
    assert max(query.span.first for query, _ in source.queries) <= 500 + 100 * (3 + 2)


def test_blocked_workers_get_one_call_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """After concurrent calls fail for lack of a second worker: one call at a time, all rows, and a warning."""
    source = Busy(range(1, 3000))

    def hold(_: Query) -> None:
        with source.changed:
            starved = source.changed.wait_for(lambda: source.under_way >= 3, 0.01)
        if starved:
            raise FaultError("no WSDL", code="WSDL", text="SOAP-ERROR", operation="list", remedy="retry")

    source.hold = hold
    pages = list(walk(source, parallel=3, patience=60.0).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert pages[0].stats.parallel == 3
    assert pages[-1].stats.parallel == 1
    assert [record.message for record in caplog.records if "one at a time" in record.message]


def test_a_deadlocked_pool_of_workers_loses_no_row(caplog: pytest.LogCaptureFixture) -> None:
    """Two workers block each other for the WSDL, as in a default shop: every order is still delivered."""
    with (
        Shop(orders=1500, workers=2, wsdl_cache=False, socket_timeout=0.5) as shop,
        connect(shop.url, shop.user, shop.key) as pager,
    ):
        rows = list(pager.orders(window=100, last=2000, parallel=4, strategy="prefix"))
        assert [int(row["order_id"]) for row in rows] == [one for one in shop.database.ids("orders") if one <= 2000]
    assert "one at a time" in caplog.text


def test_a_slot_is_freed_at_the_first_row_or_the_end_of_a_call() -> None:
    """A slot is free once a row arrived or the call ended; the limit is never exceeded."""
    limiter = CallLimiter(2)
    with limiter.call(), limiter.call() as second:
        second.arrived()
        with limiter.call() as third:
            assert third.waited is None
    with limiter.call(), limiter.call():
        pass


def test_nice_pauses_after_each_call() -> None:
    """With `nice`, the pause before the next call is that multiple of the time of the last one."""
    limiter = CallLimiter(1, nice=3.0)
    with limiter.call() as turn:
        time.sleep(0.02)
    over = time.monotonic()
    with limiter.call():
        assert time.monotonic() - over >= 3 * (turn.waited or 0) * 0.9
    assert (turn.waited or 0) >= 0.02


@pytest.mark.parametrize("parallel", [0, -1, "many", 1.5])
def test_invalid_numbers_of_calls_are_refused(parallel: object) -> None:
    """The error is raised before any call."""
    with pytest.raises(ValueError, match="at least 1 call"):
        walk(Busy([]), parallel=parallel)


@pytest.mark.parametrize("nice", [-1.0, float("inf"), float("nan")])
def test_invalid_values_of_nice_are_refused(nice: float) -> None:
    """The error is raised before any call."""
    with pytest.raises(ValueError, match="nice is from 0 to"):
        walk(Busy([]), nice=nice)


def tuned(workers: int, calls: int, seed: int, tuner: Tuner | None = None) -> tuple[float, Tuner]:
    """Return the throughput of a tuned walk on a server with `workers` workers of slightly different speed."""
    chooser, tuner, spent = random.Random(seed), tuner or Tuner(), 0.0  # noqa: S311  not a secret
    for _ in range(calls):
        limit = tuner.limit
        seconds = max(1.0, limit / workers) * chooser.uniform(0.85, 1.15)
        spent += seconds / limit
        tuner.after(limit, seconds)
    return calls / spent, tuner


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 6, 8])
def test_the_tuner_finds_the_best_number_of_calls(workers: int) -> None:
    """After 200 calls it is within a factor of 1.15 of the best number, and rarely exceeds the number of workers."""
    for seed in range(20):
        _, tuner = tuned(workers, 200, seed)
        rate, tuner = tuned(workers, 400, seed, tuner)
        assert rate * 1.15 >= workers
        assert tuner.limit <= workers + 2


def test_the_tuner_follows_a_server_that_changes() -> None:
    """The number of calls falls when workers are removed, and rises when workers are added."""
    _, tuner = tuned(8, 200, 1)
    assert tuner.limit >= 6
    _, tuner = tuned(2, 2000, 2, tuner)
    assert tuner.limit <= 4
    _, tuner = tuned(6, 4000, 3, tuner)
    assert tuner.limit >= 4


def test_leaving_the_block_ends_the_session_of_all_threads(shop: Shop) -> None:
    """After the block nothing is sent, even if windows were being read ahead."""
    with no_thread_left(), connect(shop.url, shop.user, shop.key) as pager:
        for page in pager.orders(window=20, parallel=4).pages():
            if page.rows:
                break
    calls = len(shop.log)
    time.sleep(0.05)
    assert len(shop.log) == calls
    assert shop.log[-1].operation == "endSession"


def test_errors_in_threads_are_raised_by_the_walk() -> None:
    """The loop raises the error of a source unchanged, even if it is not a `PagerError`."""
    source = Busy(range(1, 1000))

    def hold(query: Query) -> None:
        if query.span.first == 500:
            raise ZeroDivisionError

    source.hold = hold
    with no_thread_left(), pytest.raises(ZeroDivisionError):
        list(walk(source))


@pytest.mark.parametrize(("parallel", "most"), [((1, 1), 1), ((1, 3), 3)])
def test_walks_over_lists_of_one_shop_share_the_limit(parallel: tuple[int, int], most: int) -> None:
    """Two concurrent walks together keep the limit of one of them, and both finish."""
    source = Busy(range(1, 3000))
    source.hold = lambda _: time.sleep(0.001)
    calls_under_way = CallsUnderWay()
    walks = [walk(source, parallel=one, calls_under_way=calls_under_way) for one in parallel]
    with ThreadPoolExecutor(len(walks)) as pool:
        assert list(pool.map(list, walks)) == [source.rows()] * len(walks)
    assert source.most == most
