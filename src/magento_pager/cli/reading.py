"""Commands that only read: `plan`, `verify` and `doctor` from a shop, `regexp` from nothing."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from magento_pager.cli.ending import as_usage_error, stoppable
from magento_pager.cli.help import Argument, Helped
from magento_pager.cli.options import Selection, ShopOptions, WidthOptions
from magento_pager.cli.parameters import (
    QUIET,
    VERBOSE,
    InputFile,
    WholeNumber,
    list_argument,
    option,
    options,
    plain_number,
)
from magento_pager.cli.terminal import doing, messages, output, quiet, say

if TYPE_CHECKING:
    from magento_pager.lists import ListName


JSON = option("Print JSON instead of text.", name="--json", group="Output")


@click.command(
    cls=Helped,
    examples=[
        ("Try it without a shop", "magento-pager plan orders --demo"),
        ("What is new since an id", "magento-pager plan orders --first 100000"),
        ("The queries of a strategy, without a shop", "magento-pager plan orders --offline --strategy prefix"),
    ],
)
@list_argument("List to examine", default="orders")
@options(
    shop=ShopOptions,
    widths=WidthOptions,
    selection=Selection,
    offline=option("Print the queries of a --strategy without calling a shop.", group="Output"),
    count=option("With --offline: number of queries.", "N", 10, type=WholeNumber(1), name="--queries", group="Output"),
    as_json=JSON,
    quiet=QUIET,
    verbose=VERBOSE,
)
def plan(
    *,
    entity: ListName,
    shop: ShopOptions,
    widths: WidthOptions,
    selection: Selection,
    offline: bool,
    count: int,
    as_json: bool,
) -> None:
    """Estimate how many rows a list has, and what a dump of it costs.

    Makes about six small calls, and up to about thirty at an old server whose rows carry no ids. The number of rows is
    an estimate from a sample, with its error.
    """
    if offline:
        from magento_pager.pager import Pager

        with as_usage_error():
            if selection.strategy == "auto":
                raise ValueError("--offline cannot find out which strategy the shop honours. Name one with --strategy.")
            # No shop is needed: queries depend on the strategy alone.
            paginator = selection.paginator(Pager(None), entity, widths)()  # type: ignore[arg-type]
            queries = list(map(str, islice(paginator.queries(), count)))
        click.echo(json.dumps(queries, indent=2) if as_json else "\n".join(queries))
        return
    with as_usage_error(), stoppable(), messages(), shop.connected() as pager:
        doing(f"Sampling {entity}...")
        estimate = selection.paginator(pager, entity, widths)().plan()
    click.echo(json.dumps(estimate.as_json(), indent=2) if as_json else str(estimate))


def _fraction(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    number = text.removesuffix("%")
    fraction = float(number) / (100 if text.endswith("%") else 1) if plain_number(number) else 0.0
    if not 0 < fraction <= 1:
        raise click.BadParameter(f"{text!r} is not a fraction. Use a form such as 2% or 0.02.")
    return fraction


@click.command(
    cls=Helped,
    examples=[
        ("Compare all rows", "magento-pager verify orders.ndjson --report orders.json"),
        ("Compare a sample", "magento-pager verify orders.ndjson --report orders.json --sample 2%"),
        ("A list in a database with several", "magento-pager verify shop.sqlite customers"),
    ],
)
@click.argument(
    "path",
    cls=Argument,
    help="Output of a dump: a file, a folder of Parquet files or a SQLite database.",
    metavar="FILE",
    type=InputFile(dir_okay=True),
)
@list_argument("List in FILE, if its columns do not show which", required=False)
@options(
    shop=ShopOptions,
    selection=Selection,
    sample=option(
        "Fraction of the windows to compare, such as 2% or 0.02. [default: all]",
        "FRACTION",
        callback=_fraction,
        group="Comparison",
    ),
    seed=option(
        "With --sample: number that selects the same windows in every run. [default: random]",
        "N",
        type=WholeNumber(),
        group="Comparison",
    ),
    report=option(
        "Report of the dump: which rows were requested, by which strategy, and since when.",
        "FILE",
        type=InputFile(),
        group="Comparison",
    ),
    quiet=QUIET,
    verbose=VERBOSE,
)
def verify(
    *,
    path: str,
    entity: ListName | None,
    shop: ShopOptions,
    selection: Selection,
    sample: float | None,
    seed: int | None,
    report: str | None,
) -> None:
    """Compare FILE, made by `dump`, with the shop row by row, through another strategy.

    Prints each difference: rows that are missing, extra or changed. The exit status is 1 if there are any.
    """
    from magento_pager.export.stored import stored
    from magento_pager.export.verification import Origin, verify

    given = click.get_current_context().get_parameter_source("first") is ParameterSource.COMMANDLINE
    first = selection.first if given else None
    with stoppable(), as_usage_error(), messages():
        file = stored(path, entity)
        origin, where = Origin.of(report, file.path), selection.conditions
        with shop.connected() as pager:
            compare = partial(verify, pager, file, report=origin, sample=sample, seed=seed)
            compare = partial(compare, wire=selection.wire, columns=selection.column_set, found=output, progress=doing)
            compared = compare(strategy=selection.strategy, where=where or None, first=first, last=selection.last)
    if not quiet():
        say(str(compared))
    if not compared.ok:
        click.get_current_context().exit(1)


@click.command(
    cls=Helped,
    examples=[
        ("Try it without a shop", "magento-pager doctor --demo"),
        ("An old version", "magento-pager doctor --demo --profile 1.7.0.2"),
        ("All evidence, for a bug report", "magento-pager doctor --json"),
    ],
)
@options(shop=ShopOptions, as_json=JSON, quiet=QUIET, verbose=VERBOSE)
def doctor(*, shop: ShopOptions, as_json: bool) -> None:
    """Check whether each list of a shop can be exported, by which strategy, and what to do if not.

    The exit status is 1 if a list that the shop has cannot be exported.
    """
    from magento_pager.examination import examine

    with as_usage_error(), stoppable(), messages(), shop.opened() as where:
        diagnosis = examine(*where, progress=doing)
    click.echo(json.dumps(diagnosis.as_json(), indent=2) if as_json else str(diagnosis))
    if not diagnosis.healthy:
        click.get_current_context().exit(1)


@click.command(
    cls=Helped,
    examples=[
        ("A pattern for a column of integers", "magento-pager regexp 12345 12444"),
        ("A pattern for a column of text", "magento-pager regexp 12345 12444 --field increment_id"),
        ("How it is found", "magento-pager regexp 12345 12444 --explain"),
    ],
)
@click.argument("first", cls=Argument, help="First id.", metavar="FIRST", type=WholeNumber(noun="id", largest=inf))
@click.argument("last", cls=Argument, help="Last id.", metavar="LAST", type=WholeNumber(noun="id", largest=inf))
@options(
    field=option(
        "Field to match. For any but the integer keys of the six lists, which may hold text, the pattern is strict.",
        "NAME",
        "entity_id",
    ),
    strict=option("Use [0-9] instead of . and [^...], as for a field of text."),
    explained=option("Print the tree of digits, and how it becomes the pattern.", name="--explain"),
)
def regexp(*, first: int, last: int, field: str, strict: bool, explained: bool) -> None:
    """Print the shortest portable regular expression that matches the ids from FIRST to LAST, inclusive."""
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.regexps import explain, range_regexp
    from magento_pager.walk.strategies import INTEGER_KEYS

    with as_usage_error():
        IdRange(first, last)
        click.echo((explain if explained else range_regexp)(first, last, strict=strict or field not in INTEGER_KEYS))
