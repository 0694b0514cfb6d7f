"""`verify`: whether an output holds what the shop holds."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import as_usage_error, say, stoppable
from magento_pager.cli.lists import asked, asking_options
from magento_pager.cli.shops import connected, shop_options
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from pathlib import Path

    from magento_pager.export.stored import Stored
    from magento_pager.export.verification import Index, Origin, Sample, Tally
    from magento_pager.lists import ListName
    from magento_pager.pager import Pager
    from magento_pager.walk.paginator import Paginator

DIFFERENT = 1
NAMED = 5  # columns


def share(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """A share of all, given as `2%` or `0.02`."""
    if text is None:
        return None
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise click.BadParameter(f"{text!r} is no share such as 2% or 0.02")
    return found


@click.command()
@click.argument("path", metavar="FILE", type=click.Path(exists=True))
@click.argument("entity", type=click.Choice(list(LISTS)), required=False)
@shop_options
@asking_options
@click.option("--sample", callback=share, metavar="SHARE", help="Compare only so much of it, such as 2%.")
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="With --sample: draw the same windows as another run did.  [default: others each time]",
)
@click.option(
    "--report",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The report of the dump: says how rows were asked for, which, and since when.",
)
def verify(path: str, entity: ListName | None, **options: Any) -> None:
    """Compare FILE, which `dump` made, with the shop, row by row, through another strategy than the dump's.

    Prints each difference: rows that are missing, extra or changed. Exit status 1 if there are any.
    """
    from pathlib import Path

    from magento_pager.export.verification import Index, Tally, differences, sampled

    with ExitStack() as stack:
        stack.enter_context(stoppable())
        stack.enter_context(as_usage_error())
        file = _stored(path, entity)
        origin = _origin(Path(path), options)
        pager = stack.enter_context(connected(options))
        paginator, how = _paginator(pager, file.entity, origin, options)
        index = stack.enter_context(Index(file, file.layout.schema, typed=file.typed))
        sample = None
        if options["sample"]:
            from magento_pager.walk.ranges import IdRange

            sample = sampled(index, options["sample"], IdRange(paginator.first, paginator.last), _seed(options))
        tally = Tally()
        for one in differences(paginator, index, origin, tally, sample):
            click.echo(one)
        for line in _account(file, index, origin, tally, sample=sample, how=how, told=bool(options["report"])):
            say(line)
    if tally.found.total():
        click.get_current_context().exit(DIFFERENT)


def _stored(path: str, entity: ListName | None) -> Stored:
    from magento_pager.export.stored import stored

    return stored(path, entity)


def _origin(path: Path, options: dict[str, Any]) -> Origin:
    """What the dump's report says; without one, that it was made when the file was."""
    import json
    from datetime import UTC, datetime
    from pathlib import Path

    from magento_pager.export.verification import Origin

    if not options["report"]:
        return Origin(began=datetime.fromtimestamp(path.stat().st_mtime, UTC))
    try:
        origin = Origin.told(json.loads(Path(options["report"]).read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{options['report']}: {error}") from None
    if not origin.complete:
        raise ValueError(f"{options['report']} says that the dump is not complete: go on with it before it is compared")
    if origin.asked.get("since"):
        raise ValueError(f"{path} holds only what changed since {origin.asked['since']}: compare a whole dump")
    return origin


def _paginator(pager: Pager, entity: ListName, origin: Origin, options: dict[str, Any]) -> tuple[Paginator, str]:
    """What asks the shop, and how that differs from how the dump asked, in words."""
    from dataclasses import replace

    from magento_pager.export.verification import other_strategy

    given = click.get_current_context().get_parameter_source
    of_dump = {
        name: origin.asked[name]
        for name in ("first", "last", "where")
        if name in origin.asked and given(name) is not ParameterSource.COMMANDLINE
    }
    chosen = asked(options | of_dump)
    chosen["password_hash"] = True  # the output may have it
    chosen["repair"] = origin.repaired
    paginator = pager.list(entity, **chosen)
    if options["strategy"] != "auto":
        return paginator, options["strategy"]
    probed = paginator.probe(exhaustive=True)
    used = origin.strategies or frozenset({probed.chosen or "prefix"})
    name = other_strategy(probed, used)
    by_name = {one.name: one for one in paginator.candidates}
    dumped = " and ".join(sorted(used)) if origin.strategies else f"{probed.chosen or 'prefix'}, as a dump would be"
    return replace(paginator, strategy=by_name[name]), f"{name} (dumped by {dumped})"


def _seed(options: dict[str, Any]) -> int:
    from random import SystemRandom

    return int(options["seed"]) if options["seed"] is not None else SystemRandom().randrange(1 << 32)


def _account(
    file: Stored, index: Index, origin: Origin, tally: Tally, *, sample: Sample | None, how: str, told: bool
) -> list[str]:
    """What was compared, and what came of it."""
    from magento_pager.export.verification import agreeing

    lines = []
    if sample is not None:
        lines.append(f"sample: {sample}")
    if index.alone:
        lines.append(f"not compared, as lists do not bring them: {_named(index.alone)}")
    if tally.not_compared:
        lines.append(f"not compared, as the file does not have them: {_named(sorted(tally.not_compared))}")
    if tally.unread:
        lines.append(f"not compared, as the shop cannot send them: {tally.unread} rows")
    if tally.left_out:
        lines.append(f"left out by the dump, as its report says: {tally.left_out} rows")
    if sample is None and origin.digests and (blocks := agreeing(origin, tally.digest)) is not None:
        lines.append(f"the digests of all {blocks} blocks of a million ids are those of the dump's report")
    ids = f", ids {index.first} to {index.last}" if index.by_ids and index.rows else ""
    what = f"{tally.rows} {file.entity} of the shop against the {index.rows} of {file.path}{ids}, by {how}"
    lines.append(f"compared {what}, {tally.calls} calls")
    lines.append(_verdict(origin, tally, sample, told=told))
    return lines


def _verdict(origin: Origin, tally: Tally, sample: Sample | None, *, told: bool) -> str:
    """The one line that matters."""
    moment = origin.began.isoformat(timespec="seconds").replace("+00:00", "Z") if origin.began else "its beginning"
    when = f"as of {moment}" + ("" if told and origin.began else " (the file's own time; give --report for the dump's)")
    counts = [
        f"{count} {kind}" + (f" ({tally.since[kind]} since then)" if tally.since[kind] else "")
        for kind, count in tally.found.items()
    ]
    scope = "" if sample is None else ", as far as the sample goes"
    if not counts:
        return f"no differences: complete {when}{scope}"
    if tally.unexplained == 0:
        return f"complete {when}{scope}, and since then the shop has changed: {', '.join(counts)}"
    return f"different: {', '.join(counts)}"


def _named(columns: list[str]) -> str:
    more = len(columns) - NAMED
    return ", ".join(columns[:NAMED]) + (f" and {more} more" if more > 0 else "")
