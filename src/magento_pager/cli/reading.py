"""Commands that only read: `plan`, `verify` and `doctor` ask a shop, `regexp` asks nobody."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from magento_pager.cli.ending import as_usage_error, stoppable
from magento_pager.cli.options import Asking, InputFile, ShopOptions, WholeNumber, Widths, option, options, plain_number
from magento_pager.cli.terminal import say
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.lists import ListName


@click.command()
@click.argument("entity", type=click.Choice(list(LISTS)), default="orders")
@options(
    shop=ShopOptions,
    widths=Widths,
    asking=Asking,
    offline=option("Print the queries of a --strategy, and call no shop."),
    count=option("With --offline: how many of them.", "N", 10, type=WholeNumber(1), name="--queries"),
    as_json=option("Print JSON instead of text.", name="--json"),
)
def plan(
    *, entity: ListName, shop: ShopOptions, widths: Widths, asking: Asking, offline: bool, count: int, as_json: bool
) -> None:
    """Say how many rows a list has, about, and what a dump of it would cost.

    Makes about six small calls, and up to some thirty at an old server whose rows carry no ids. The number of rows is
    sampled and comes with its error.
    """
    if offline:
        from magento_pager.pager import Pager

        with as_usage_error():
            if asking.strategy == "auto":
                words = "which strategy holds is found out by asking the shop: offline, name one by --strategy"
                raise ValueError(words)
            # Nothing is asked of a shop: queries depend on the strategy alone.
            paginator = asking.of(Pager(None), entity, widths)()  # type: ignore[arg-type]
            queries = list(map(str, islice(paginator.queries(), count)))
        click.echo(json.dumps(queries, indent=2) if as_json else "\n".join(queries))
        return
    with as_usage_error(), stoppable(), shop.connected() as pager:
        found = asking.of(pager, entity, widths)().plan()
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else str(found))


def _fraction(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    number = text.removesuffix("%")
    found = float(number) / (100 if text.endswith("%") else 1) if plain_number(number) else 0.0
    if not 0 < found <= 1:
        raise click.BadParameter(f"{text!r} is no share such as 2% or 0.02")
    return found


@click.command()
@click.argument("path", metavar="FILE", type=InputFile(dir_okay=True))
@click.argument("entity", type=click.Choice(list(LISTS)), required=False)
@options(
    shop=ShopOptions,
    asking=Asking,
    sample=option("Compare only so much of it, such as 2%.", "SHARE", callback=_fraction),
    seed=option(
        "With --sample: draw the same windows as another run did.  [default: others each time]", "N", type=WholeNumber()
    ),
    report=option(
        "The report of the dump: says how rows were asked for, which, and since when.", "FILE", type=InputFile()
    ),
)
def verify(
    *,
    path: str,
    entity: ListName | None,
    shop: ShopOptions,
    asking: Asking,
    sample: float | None,
    seed: int | None,
    report: str | None,
) -> None:
    """Compare FILE, which `dump` made, with the shop, row by row, through another strategy than the dump's.

    Prints each difference: rows that are missing, extra or changed. Exit status 1 if there are any.
    """
    from magento_pager.export.stored import stored
    from magento_pager.export.verification import Origin, verify

    given = click.get_current_context().get_parameter_source("first") is ParameterSource.COMMANDLINE
    first = asking.first if given else None
    with stoppable(), as_usage_error():
        file = stored(path, entity)
        origin, where = Origin.of(report, file.path), asking.conditions
        with shop.connected() as pager:
            compare = partial(verify, pager, file, report=origin, sample=sample, seed=seed, found=click.echo)
            compare = partial(compare, wire=asking.wire, columns=asking.column_set)
            compared = compare(strategy=asking.strategy, where=where or None, first=first, last=asking.last)
        say(str(compared))
    if not compared.ok:
        click.get_current_context().exit(1)


@click.command()
@options(shop=ShopOptions, as_json=option("Print JSON instead of text.", name="--json"))
def doctor(*, shop: ShopOptions, as_json: bool) -> None:
    """Say whether this shop can be paged, by which strategies, and what to do where not.

    Exit status 1 if a list that the shop has cannot be paged.
    """
    from magento_pager.examination import examine

    with as_usage_error(), stoppable(), shop.opened() as where:
        diagnosis = examine(*where)
    click.echo(json.dumps(diagnosis.as_json(), indent=2) if as_json else str(diagnosis))
    if not diagnosis.healthy:
        click.get_current_context().exit(1)


@click.command()
@click.argument("first", type=WholeNumber(noun="id", largest=inf))
@click.argument("last", type=WholeNumber(noun="id", largest=inf))
@options(
    field=option(
        "The field it is for. Any but the integer keys of the six lists may hold text: the pattern is strict.",
        "NAME",
        "entity_id",
    ),
    strict=option("Use [0-9] instead of . and [^...], as for a field of text."),
    explained=option("Print the tree of digits and how it becomes the pattern.", name="--explain"),
)
def regexp(*, first: int, last: int, field: str, strict: bool, explained: bool) -> None:
    """Print the shortest portable regexp that matches the ids from FIRST to LAST, inclusive."""
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.regexps import explain, range_regexp
    from magento_pager.walk.strategies import INTEGER_KEYS

    with as_usage_error():
        IdRange(first, last)
        click.echo((explain if explained else range_regexp)(first, last, strict=strict or field not in INTEGER_KEYS))
