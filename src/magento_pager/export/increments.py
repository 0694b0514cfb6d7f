"""Increments: what a nightly run remembers, so that the next one reads all rows changed since, and few others.

What lives here: the state file, its lock, and the times in it. This module does not know lists, outputs or servers: it
is given the query and the time by the server's clock. A state file has for each list of a shop:

    last    begun   meaning                     the next run reads
    -----   -----   -------------------------   -------------------------------------------------------
    none    set     a first run in progress     all rows
    set     none    between two runs            rows changed since `last`, and shortly before
    set     set     a later run in progress     the rows of the run in progress, from where that stopped

and `new_from`: no complete run has returned a row with this id or a higher one. Such rows are read whatever their time
of change is. It never decreases. Where rows carry no ids, it may be too low; some rows are then read again.

`last` is a time at which the last complete run had *not yet started*, because a row may change during the run after it
was read. "Shortly before" allows for transactions that were not committed yet. A run that is resumed keeps its first
start. `last` changes only once the output is safe: a process killed between the two reads the same changes again.

No clock can be trusted to tell that time: changes are dated by the clock of PHP or of the database, which may differ
from the one of the `Date` header, and either may be wrong for one run. So `last` is the time of the newest change that
was received, minus the time from the start of the run to its receipt (`Newest`): by the clock that dates changes, the
run started then or later. Where rows have no time of change, it is the earlier of the server's clock and this
machine's, minus two days; where no row was received, it stays. A time too early costs rows that are read twice; a time
too late could lose a change.

A run locks FILE.lock, which is never deleted. The system releases the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magento_pager.errors import CheckpointMismatchError, option
from magento_pager.export.checkpoints import Fingerprint, shop_key
from magento_pager.export.files import replace_file
from magento_pager.walk.changes import FIELD, LONG_AGO, format_timestamp, timestamp_of
from magento_pager.walk.increment import LastRun
from magento_pager.walk.ranges import MAX_ID, read_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from magento_pager.lists import ListSpec
    from magento_pager.walk.pages import Row

KIND, VERSION = "magento-pager state", 1
TIME = "{time}"
"""Placeholder in the name of an output for the time at which its run started."""
LATE = timedelta(minutes=10)
"""Time before the last run that is read once more: a transaction begun then may have been committed after it."""
A_DAY = timedelta(days=1)
MARGIN = timedelta(days=2)
"""How far the clock that dates changes may be from the other clocks, where no row has a time of change."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        begun: when it first started, by the server's clock.
        since: rows changed at this time or later are read; None for all.
        new_from: rows with this id or a higher one are read whenever they changed; None where only the time counts.
        out: path of the output; None for standard output.
        latest: the earlier of the server's clock and this machine's at the start; None if an older version started it.
        resumed: True where it was started before, with the same output, and not completed.
        newest: id of the most recently changed row in the previous run; None if unknown, or for a resumed run.
        rows: how many rows all previous runs returned; None as for `newest`.
    """

    begun: datetime
    since: datetime | None
    out: str | None
    latest: datetime | None = None
    resumed: bool = False
    new_from: int | None = None
    newest: int | None = None
    rows: int | None = None

    def last_run(self, spec: ListSpec) -> LastRun | None:
        """Return what the previous run left to confirm the time condition with; None where that is too little."""
        dated = spec.reports_changes
        if self.since is None or not self.new_from or self.resumed or (dated and self.newest is None):
            return None
        overlaps = self.begun - self.since < 2 * MARGIN  # the previous run was less than that ago
        return LastRun(dated, self.newest, self.rows, overlaps)


@dataclass(frozen=True, slots=True)
class _Entry:
    """State of one list.

    Attributes:
        fingerprint: the query of its runs; `since` is not part of it.
        last: a time at which the last complete run had not yet started; None before the first one.
        run: the run in progress, or the one that was stopped; None between runs.
        dated_by_rows: True where `last` comes from the rows and not from a clock.
        new_from: no row so far has this id or a higher one; None if unknown.
        newest: id of the most recently changed row; None if unknown.
        rows: number of different rows so far; None if unknown.
    """

    fingerprint: Fingerprint
    last: datetime | None = None
    run: Run | None = None
    dated_by_rows: bool = False
    new_from: int | None = None
    newest: int | None = None
    rows: int | None = None


class State:
    """Content of a state file; use `locked_state` to lock the file as well.

    Attributes:
        path: the file.
        clock_went_back: True where the server's clock is now before the last run, so that all rows that have a time of
            change are read again.

    Raises:
        ValueError: it is not a state file, or another version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock_went_back = False
        self._entries = _read(path)
        self._current: _Entry | None = None

    @property
    def last(self) -> datetime | None:
        """Start of the time range of the planned run, before `late` is subtracted; None where it reads all rows."""
        return self._current.last if self._current else None

    def plan(
        self,
        requested: Fingerprint,
        now: datetime,
        *,
        local_now: datetime | None = None,
        late: timedelta = LATE,
        out: str | None = None,
        moved_from: str | None = None,
    ) -> Run:
        """Return the next run, or the one to resume. Nothing is written yet.

        Where `last` comes from a clock, and that clock is now before it, one of the two times is wrong: all rows that
        have a time of change are read again.

        Args:
            requested: the query.
            now: the time by the server's clock, before any row was read.
            local_now: the time by this machine's clock; None for `now`.
            late: time before the last run that is read once more.
            out: path of the output, with `TIME` for the time at which the run started; None for standard output.
            moved_from: an address that the shop had before; None if it had none.

        Raises:
            CheckpointMismatchError: the state of this list is of another query.
        """
        requested = replace(requested, since="", new_from=None)
        entry = self._entry_of(requested, moved_from)
        if differences := entry.fingerprint.differences(requested):
            raise CheckpointMismatchError(
                f"{self.path} is the state of a different dump: {'; '.join(differences)}. Repeat the options of that "
                f"dump, or start over with another {option('state')}.",
                differences=differences,
            )
        before = run = entry.run
        if run is None:
            self.clock_went_back = (
                entry.last is not None and not entry.dated_by_rows and now < earlier(entry.last, late)
            )
            entry = replace(entry, last=LONG_AGO) if self.clock_went_back else entry
            now = now.replace(microsecond=0)
            since, new_from = (earlier(entry.last, late), entry.new_from) if entry.last else (None, None)
            latest = min(now, local_now or now)
            run = Run(now, since, None, latest, new_from=new_from, newest=entry.newest, rows=entry.rows)
        path = output_path(out, run.begun)
        run = replace(run, out=path, resumed=before is not None and before.out == path)
        self._current = replace(entry, run=run)
        return run

    def _entry_of(self, requested: Fingerprint, moved_from: str | None) -> _Entry:
        """Return the state of a list; after a move, that of the shop's old address, now under the new one."""
        key = shop_key(requested.shop), requested.entity
        if moved_from and key not in self._entries:
            old = self._entries.pop((shop_key(moved_from), requested.entity), None)
            if old is not None:
                self._entries[key] = replace(old, fingerprint=replace(old.fingerprint, shop=requested.shop))
        if key in self._entries:
            return self._entries[key]
        known = [entry.fingerprint for entry in self._entries.values()]
        if other_shops := [other.shop for other in known if other.entity == requested.entity]:
            warnings.warn(
                f"{self.path} has the state of {requested.entity} of {' and '.join(other_shops)}, but not of "
                f"{requested.shop}, so all rows are dumped. If this is the same shop at a new address, stop this dump "
                f"and set {option('moved-from')} to the old address.",
                stacklevel=2,
            )
        return _Entry(requested)

    def begin(self) -> None:
        """Record that the run has started; raise OSError where the state file cannot be written."""
        if self._current is not None:
            self._write(self._current)

    def complete(
        self,
        start: datetime,
        *,
        dated_by_rows: bool = False,
        highest_id: int = -1,
        newest: int | None = None,
        new_rows: int = 0,
    ) -> None:
        """Record that all rows of the run are safe; if this fails, the next run repeats this one.

        Args:
            start: where the time range of the next run starts, see `next_start`.
            dated_by_rows: True where `start` comes from the rows and not from a clock.
            highest_id: a row with this id or a higher one has arrived; -1 for none.
            newest: id of the most recently changed row; None if no row has a time of change.
            new_rows: number of rows that no earlier run returned.
        """
        entry = self._current
        if entry is not None:
            new_from = entry.new_from
            if highest_id >= 0 or entry.last is None:  # unknown after increments of an older version without any row
                new_from = max(new_from or 0, highest_id + 1)
            self._write(
                replace(
                    entry,
                    last=start,
                    run=None,
                    dated_by_rows=dated_by_rows or (entry.dated_by_rows and start == entry.last),
                    new_from=new_from,
                    newest=entry.newest if newest is None else newest,
                    rows=new_rows if entry.last is None else None if entry.rows is None else entry.rows + new_rows,
                )
            )

    def warn_of_clock(self, now: datetime) -> None:
        """Warn where the server's clock went back, or is certainly wrong."""
        if self.clock_went_back:
            warnings.warn(
                f"The shop's clock was set back: it says {iso(now)}, which is before the last run. All rows that have "
                "a time of change are read again.",
                stacklevel=2,
            )
        else:
            warn_of_clock(now)

    def _write(self, entry: _Entry) -> None:
        self._entries[shop_key(entry.fingerprint.shop), entry.fingerprint.entity] = entry
        content = {"kind": KIND, "version": VERSION, "lists": list(map(_content, self._entries.values()))}
        replace_file(self.path, json.dumps(content, indent=1, default=iso).encode() + b"\n")


class Newest:
    """Time of the newest change among the rows of a run, minus the time between the run's start and its receipt.

    That is not later than the start, whatever clock dates the change. Times in the future, which imports and wrong
    clocks leave, are ignored.

    Attributes:
        time: the latest such time; None if no row has one.
        id: id of the most recently changed row, future times included; None if no row has a time, or rows carry no ids.

    Args:
        latest: the time at which the run started, or a later one.
        clock: returns the server's time, which may jump; None if the server does not send it.
        id_field: name of the id column.
    """

    def __init__(self, latest: datetime, clock: Callable[[], datetime | None], id_field: str = "") -> None:
        self.time: datetime | None = None
        self.id: int | None = None
        self._last_change = ""  # the time of that row
        self._id_field = id_field
        self._latest = latest
        self._clock = clock
        self._date = clock()
        self._forward = timedelta()
        self._began = time.monotonic()

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows that were just received."""
        date = self._clock()
        if date is not None and self._date is not None:
            self._forward += max(date - self._date, timedelta())
        self._date = date or self._date
        passed = max(self._forward, timedelta(seconds=ceil(time.monotonic() - self._began)))
        with suppress(OverflowError):  # a clock that jumped by thousands of years
            limit = format_timestamp(self._latest + passed)
            dated = [row for row in rows if isinstance(row.get(FIELD), str)]
            newest = timestamp_of(max((row[FIELD] for row in dated if row[FIELD] <= limit), default=None))
            if newest is not None:
                self.time = max(newest - passed, self.time or LONG_AGO)
            last = max(dated, key=itemgetter(FIELD), default={})
            if last and last[FIELD] >= self._last_change:
                self.id, self._last_change = _id_of(last.get(self._id_field)), last[FIELD]


def next_start(run: Run, last: datetime | None, *, rows: int, newest: datetime | None) -> datetime:
    """Return where the time range of the next run starts: a time at which this run had not yet started.

    Args:
        run: this run, complete.
        last: where its own time range started; None where it read all rows.
        rows: number of rows that it returned.
        newest: the time of `Newest`, if every row was added to it; None otherwise.

    >>> noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    >>> for rows, newest in ((0, None), (5, None), (5, noon - timedelta(minutes=15))):
    ...     print(next_start(Run(noon, None, None, latest=noon), None, rows=rows, newest=newest))
    1970-01-02 00:00:00+00:00
    2024-04-29 12:00:00+00:00
    2024-05-01 11:45:00+00:00
    """
    before = last or LONG_AGO
    return max(before, newest or earlier(run.latest or run.begun, MARGIN)) if rows else before


def earlier(time: datetime, by: timedelta) -> datetime:
    """Return a time minus a time span, but not before 1970-01-02.

    >>> earlier(datetime(2024, 5, 1, tzinfo=UTC), timedelta(weeks=999_999)).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return time - min(by, max(time - LONG_AGO, timedelta()))


def shop_time(clock: datetime | None) -> datetime:
    """Return the time by the shop's clock; raise ValueError where the shop does not send it."""
    if clock is None:
        raise ValueError(
            "The shop does not send its time (no Date header, or no time in it). Set "
            f"{option('since')} to a time such as 2024-05-01T10:00:00Z, and {option('out')} to a name without {TIME}."
        )
    return clock


def warn_of_clock(now: datetime) -> None:
    """Warn where the shop's clock or this machine's is certainly wrong."""
    local_now = datetime.now(UTC)
    if abs(now - local_now) > A_DAY:
        warnings.warn(
            f"The shop's clock says {iso(now)}, but this machine's clock says {iso(local_now)}. Correct the wrong one.",
            stacklevel=2,
        )


@contextmanager
def locked_state(path: str | Path) -> Iterator[State]:
    """Lock a state file until the block ends, and yield its content.

    Raises:
        BlockingIOError: another run has locked it.
        ValueError: see `State`.
        OSError: its folder cannot be written to.
    """
    path = Path(path)
    lock = path.with_name(path.name + ".lock")
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            advice = f"Wait until it ends, or use a separate {option('state')} for each list."
            raise BlockingIOError(f"Another run that uses {path} has not ended: it holds {lock}. {advice}") from None
        yield State(path)


def output_path(out: str | None, begun: datetime) -> str | None:
    """Return the absolute path of an output, with the time at which its run started in place of `{time}`.

    >>> output_path("/exports/orders-{time}.ndjson", datetime(2024, 5, 1, 10, tzinfo=UTC))
    '/exports/orders-20240501T100000Z.ndjson'
    """
    stamp = f"{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return None if out is None else str(Path(out.replace(TIME, stamp)).absolute())


def iso(time: datetime) -> str:
    """Return a time as in RFC 3339, in UTC, to the second.

    >>> iso(datetime(2024, 5, 1, 10, tzinfo=UTC))
    '2024-05-01T10:00:00Z'
    """
    return f"{time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _read(path: Path) -> dict[tuple[str, str], _Entry]:
    try:
        content = json.loads(path.read_bytes())
        if (content["kind"], content["version"]) == (KIND, VERSION):
            entries = map(_entry, content["lists"])
            return {(shop_key(entry.fingerprint.shop), entry.fingerprint.entity): entry for entry in entries}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError(
        f"{path} is damaged, or is not a state file of this version of magento-pager. Move it to another folder and "
        f"start over, or use another {option('state')}."
    )


def _entry(content: dict[str, Any]) -> _Entry:
    fingerprint: dict[str, Any] = {
        name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in content["asked"].items()
    }
    run, begun = None, content["begun"]
    if begun:
        out = None if begun["out"] is None else str(begun["out"])
        latest, new_from = _optional_time(begun.get("latest")), _id(begun.get("new_from"))
        run = Run(_time(begun["begun"]), _optional_time(begun["since"]), out, latest, new_from=new_from)
    new_from = _id(content.get("new_from"))
    dated_by_rows, newest, rows = bool(content.get("sure", False)), _id(content.get("newest")), _id(content.get("rows"))
    last = _optional_time(content["last"])
    return _Entry(Fingerprint(**fingerprint), last, run, dated_by_rows, new_from, newest, rows)


def _id_of(number: object) -> int | None:
    try:
        return read_id(number)
    except ValueError:
        return None


def _content(entry: _Entry) -> dict[str, Any]:
    run = entry.run
    return {
        "asked": asdict(entry.fingerprint),
        "last": entry.last,
        "begun": run and {name: getattr(run, name) for name in ("begun", "since", "out", "latest", "new_from")},
        "sure": entry.dated_by_rows,
        "new_from": entry.new_from,
        "newest": entry.newest,
        "rows": entry.rows,
    }


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _id(number: int | None) -> int | None:
    """Return an id, or a number of rows, of a state file; raise ValueError where it is not valid."""
    if number is not None and (type(number) is not int or not 0 <= number <= MAX_ID + 1):
        raise ValueError
    return number


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    format_timestamp(time)  # refuses a time without a zone
    return time.astimezone(UTC)
