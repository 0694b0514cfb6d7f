"""Increments: what a nightly run must remember, so that the next one asks for all that changed since, and hardly more.

What lives here: the state file, its lock, and the times in it. It does not know lists, outputs or servers: it is given
what is asked for, and the time by the server's own clock. A state file holds for each list of a shop:

    last    begun   that is                     the next run asks for
    -----   -----   -------------------------   -------------------------------------------------------
    none    there   a first run on its way      all rows
    there   none    between two runs            what changed since `last`, and a little before
    there   there   a later run on its way      the same as the one before, and resumes where that stopped

and `new_from`, the first id that no complete run brought a row of, nor of a higher one: rows of the ids from there on
are wanted whatever their time says. It never falls. Where rows carry no ids, it is at most that; rows then come again.

`last` is a time at which the last complete run had *not yet begun*: what changed while it went on may lie behind where
it was. The little before is for transactions that were on their way then. A run that is begun again keeps its first
beginning. `last` moves only once the output is safe: who is killed between the two reads the same changes again.

No clock can be trusted to say that time: changes are dated by the clock of PHP or of the database, which may be behind
that of the `Date` header, and either may be wrong for one run. So it is the time of the newest change that was
received, less the time from the beginning to its receipt (`Newest`): by the clock that dates changes, the run began
then or later. Where rows do not say when they were changed, it is the earlier of the server's clock and ours, less two
days; where nothing was received, it stays. An earlier time costs rows that come twice; a later one could cost a change.

A run holds a lock on FILE.lock, which stays. The system lifts it when the process ends, however it ends.
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
"""What in the name of an output stands for the time at which its run began."""
LATE = timedelta(minutes=10)
"""How much before the last run is read once more: what was begun then may have been committed after it."""
A_DAY = timedelta(days=1)
MARGIN = timedelta(days=2)
"""How much earlier than clocks say a run may have begun, by the clock that dates changes, where no row says more."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        begun: when it began, the first time, by the server's clock.
        since: rows that changed then or later are wanted; None for all.
        new_from: the first id of rows that are wanted whenever they changed; None where only the time counts.
        out: where they go; None for standard output.
        latest: the earlier of the server's clock and ours when it began; None where an older version began it.
        resumed: True where it was begun before, with the same output, and was not completed.
        newest: the id of the row that was changed last in the run before; None where that is unknown, or this run was
            begun before.
        rows: how many there were then, likewise.
    """

    begun: datetime
    since: datetime | None
    out: str | None
    latest: datetime | None = None
    resumed: bool = False
    new_from: int | None = None
    newest: int | None = None
    rows: int | None = None

    def left(self, spec: ListSpec) -> LastRun | None:
        """Return what the run before left behind that proves the condition on time; None where it does not suffice."""
        says = spec.reports_changes
        if self.since is None or not self.new_from or self.resumed or (says and self.newest is None):
            return None
        overlaps = self.begun - self.since < 2 * MARGIN  # less than that since the run before
        return LastRun(says, self.newest, self.rows, overlaps)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is remembered of one list.

    Attributes:
        asked: what was asked for; `since` is not part of it.
        last: a time at which the last complete run had not yet begun; None before there was one.
        begun: the run on its way, or that was stopped; None where there is none.
        sure: True where rows said so of `last`, and no clock.
        new_from: where new ids begin; None where that is unknown.
        newest: the id of the row that was changed last; None where that is unknown.
        rows: how many rows came so far, each once; None where that is unknown.
    """

    asked: Fingerprint
    last: datetime | None = None
    begun: Run | None = None
    sure: bool = False
    new_from: int | None = None
    newest: int | None = None
    rows: int | None = None


class State:
    """A state file; use `held` to have it for us alone.

    Attributes:
        path: the file.
        clock_went_back: True where the server's clock is now before the last run, so that all rows that have a time of
            change are read again.

    Raises:
        ValueError: it is no state file, or one that a newer version wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock_went_back = False
        self._entries = _read(path)
        self._current: _Entry | None = None

    @property
    def last(self) -> datetime | None:
        """From when on the planned run asks, but for `late`; None where it asks for all rows."""
        return self._current.last if self._current else None

    def plan(
        self,
        asked: Fingerprint,
        now: datetime,
        *,
        ours: datetime | None = None,
        late: timedelta = LATE,
        out: str | None = None,
        moved_from: str | None = None,
    ) -> Run:
        """Return the run to come, or the one to resume. Nothing is written yet.

        Where only a clock said when the last run began, and it is back behind that now, one of the two times is wrong:
        then all rows that say when they were changed are read again.

        Args:
            asked: what is asked for.
            now: the time by the server's clock, before anything was read.
            ours: the time by the clock of this machine; None for `now`.
            late: how much before the last run to read once more.
            out: where rows go, with `TIME` for the time at which the run began; None for standard output.
            moved_from: an address that the shop had before; None for none.

        Raises:
            CheckpointMismatchError: what is remembered of this list is of something else.
        """
        asked = replace(asked, since="", new_from=None)
        entry = self._entry_of(asked, moved_from)
        if differences := entry.asked.differences(asked):
            raise CheckpointMismatchError(
                f"{self.path} is of runs that asked for something else: {'; '.join(differences)}; ask for the same "
                f"again, or begin anew with another {option('state')}",
                differences=differences,
            )
        before = run = entry.begun
        if run is None:
            self.clock_went_back = entry.last is not None and not entry.sure and now < earlier(entry.last, late)
            entry = replace(entry, last=LONG_AGO) if self.clock_went_back else entry
            now = now.replace(microsecond=0)
            since, new_from = (earlier(entry.last, late), entry.new_from) if entry.last else (None, None)
            latest = min(now, ours or now)
            run = Run(now, since, None, latest, new_from=new_from, newest=entry.newest, rows=entry.rows)
        path = output_path(out, run.begun)
        run = replace(run, out=path, resumed=before is not None and before.out == path)
        self._current = replace(entry, begun=run)
        return run

    def _entry_of(self, asked: Fingerprint, moved_from: str | None) -> _Entry:
        """What is remembered of a list; of a shop that moved, under its new address from now on."""
        key = shop_key(asked.shop), asked.entity
        if moved_from and key not in self._entries:
            old = self._entries.pop((shop_key(moved_from), asked.entity), None)
            if old is not None:
                self._entries[key] = replace(old, asked=replace(old.asked, shop=asked.shop))
        if key in self._entries:
            return self._entries[key]
        if others := [one.asked.shop for one in self._entries.values() if one.asked.entity == asked.entity]:
            warnings.warn(
                f"{self.path} knows {asked.entity} of {' and '.join(others)}, and not of {asked.shop}: all rows are "
                f"dumped; if it is one shop that moved, stop, and give its old address as {option('moved-from')}",
                stacklevel=2,
            )
        return _Entry(asked)

    def begin(self) -> None:
        """Note that the run is on its way; an OSError where that cannot be written."""
        if self._current is not None:
            self._write(self._current)

    def complete(
        self, start: datetime, *, sure: bool = False, met: int = -1, newest: int | None = None, fresh: int = 0
    ) -> None:
        """Note that all rows of the run are safe where they go; where that fails, the next run is this one again.

        Args:
            start: from when on the next run asks, see `next_start`.
            sure: True where rows say that this one had not yet begun then.
            met: a row with this id or a higher one came; -1 for none.
            newest: the id of the row that was changed last; None where no row said so.
            fresh: how many rows came for the first time.
        """
        entry = self._current
        if entry is not None:
            sure = sure or (entry.sure and start == entry.last)
            new_from = entry.new_from
            if met >= 0 or entry.last is None:  # an older version's increments that brought no row do not tell
                new_from = max(new_from or 0, met + 1)
            newest = entry.newest if newest is None else newest
            rows = fresh if entry.last is None else None if entry.rows is None else entry.rows + fresh
            found = replace(entry, last=start, begun=None, sure=sure, new_from=new_from, newest=newest, rows=rows)
            self._write(found)

    def warn_of_clock(self, now: datetime) -> None:
        """Warn where the server's clock went back, or is certainly wrong."""
        if self.clock_went_back:
            words = f"the shop's clock is back at {iso(now)}, before the last run: all that changed is read again"
            warnings.warn(words, stacklevel=2)
        else:
            warn_of_clock(now)

    def _write(self, entry: _Entry) -> None:
        self._entries[shop_key(entry.asked.shop), entry.asked.entity] = entry
        content = {"kind": KIND, "version": VERSION, "lists": list(map(_content, self._entries.values()))}
        replace_file(self.path, json.dumps(content, indent=1, default=iso).encode() + b"\n")


class Newest:
    """The newest change among the rows of a run, less the time that had passed since the run began.

    That is not later than the beginning, by whatever clock the change is dated. Times to come, which imports and wrong
    clocks leave, say nothing.

    Attributes:
        time: the latest such time; None where no row said one.
        id: of the row that was changed last, at whatever time; None where no row says so, or rows carry no ids.

    Args:
        latest: the time at which the run began, or a later one.
        clock: says what time it is there; None where it does not say. It may jump.
        id_field: what rows call the key.
    """

    def __init__(self, latest: datetime, clock: Callable[[], datetime | None], id_field: str = "") -> None:
        self.time: datetime | None = None
        self.id: int | None = None
        self._last_change = ""  # of that row
        self._id_field = id_field
        self._latest = latest
        self._clock = clock
        self._date = clock()
        self._forward = timedelta()
        self._began = time.monotonic()

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows that were just received."""
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
    """Return from when on the next run asks: a time at which this one had not yet begun.

    Args:
        run: this one, complete.
        last: from when on it asked; None where it asked for all rows.
        rows: how many it brought.
        newest: what `Newest` found, where it took every row; else None.

    >>> noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    >>> for rows, newest in ((0, None), (5, None), (5, noon - timedelta(minutes=15))):
    ...     print(next_start(Run(noon, None, None, latest=noon), None, rows=rows, newest=newest))
    1970-01-02 00:00:00+00:00
    2024-04-29 12:00:00+00:00
    2024-05-01 11:45:00+00:00
    """
    before = last or LONG_AGO
    return max(before, newest or earlier(run.latest or run.begun, MARGIN)) if rows else before


def earlier(moment: datetime, length: timedelta) -> datetime:
    """Return a time so much earlier, and none before there were shops.

    >>> earlier(datetime(2024, 5, 1, tzinfo=UTC), timedelta(weeks=999_999)).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return moment - min(length, max(moment - LONG_AGO, timedelta()))


def shop_time(clock: datetime | None) -> datetime:
    """Return the time by the shop's clock; a ValueError where it does not say it."""
    if clock is None:
        raise ValueError(
            "the shop does not say what time it is there (no Date header, or no time in it): give "
            f"{option('since')} a time, such as 2024-05-01T10:00:00Z, and {option('out')} a name without one"
        )
    return clock


def warn_of_clock(now: datetime) -> None:
    """Warn where the shop's clock, by which rows are asked for, is certainly wrong, or ours is."""
    ours = datetime.now(UTC)
    if abs(now - ours) > A_DAY:
        words = f"the shop's clock says {iso(now)}, and that of this machine {iso(ours)}: set the wrong one right"
        warnings.warn(words, stacklevel=2)


@contextmanager
def locked_state(path: str | Path) -> Iterator[State]:
    """Hold a state file until the block ends.

    Raises:
        BlockingIOError: another run holds it.
        ValueError: see `State`.
        OSError: its folder cannot be written.
    """
    path = Path(path)
    lock = path.with_name(path.name + ".lock")
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            advice = f"wait for it, or give each list a {option('state')} of its own"
            raise BlockingIOError(f"another run holds {lock}: it is still on its way; {advice}") from None
        yield State(path)


def output_path(out: str | None, begun: datetime) -> str | None:
    """The path of an output, absolute, with the time at which its run began.

    >>> output_path("/exports/orders-{time}.ndjson", datetime(2024, 5, 1, 10, tzinfo=UTC))
    '/exports/orders-20240501T100000Z.ndjson'
    """
    stamp = f"{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return None if out is None else str(Path(out.replace(TIME, stamp)).absolute())


def iso(moment: datetime) -> str:
    """A moment as in RFC 3339, in UTC, to the second.

    >>> iso(datetime(2024, 5, 1, 10, tzinfo=UTC))
    '2024-05-01T10:00:00Z'
    """
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _read(path: Path) -> dict[tuple[str, str], _Entry]:
    try:
        content = json.loads(path.read_bytes())
        if (content["kind"], content["version"]) == (KIND, VERSION):
            return {(shop_key(one.asked.shop), one.asked.entity): one for one in map(_entry, content["lists"])}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError(
        f"{path} is no state of this version of magento-pager, or a damaged one; begin anew with another "
        f"{option('state')}, or move it away"
    )


def _entry(content: dict[str, Any]) -> _Entry:
    asked: dict[str, Any] = {
        name: tuple(map(str, value)) if isinstance(value, list) else value for name, value in content["asked"].items()
    }
    run, begun = None, content["begun"]
    if begun:
        out = None if begun["out"] is None else str(begun["out"])
        latest, new_from = _moment(begun.get("latest")), _id(begun.get("new_from"))
        run = Run(_time(begun["begun"]), _moment(begun["since"]), out, latest, new_from=new_from)
    new_from = _id(content.get("new_from"))
    sure, newest, rows = bool(content.get("sure", False)), _id(content.get("newest")), _id(content.get("rows"))
    return _Entry(Fingerprint(**asked), _moment(content["last"]), run, sure, new_from, newest, rows)


def _id_of(number: object) -> int | None:
    try:
        return read_id(number)
    except ValueError:
        return None


def _content(entry: _Entry) -> dict[str, Any]:
    begun = entry.begun and {
        name: one for name, one in asdict(entry.begun).items() if name not in {"again", "newest", "rows"}
    }
    return asdict(entry) | {"begun": begun}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _id(number: int | None) -> int | None:
    """An id, or a number of rows, in a state; a ValueError where it is none."""
    if number is not None and (type(number) is not int or not 0 <= number <= MAX_ID + 1):
        raise ValueError
    return number


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    format_timestamp(found)  # refuses a time without a zone
    return found.astimezone(UTC)
