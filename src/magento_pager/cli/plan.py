"""`plan`: what a dump will be like, before it is begun."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from magento_pager.cli.ending import as_usage_error, stoppable
from magento_pager.cli.lists import asked, asking_options, width_options, widths
from magento_pager.cli.shops import connected, shop_options
from magento_pager.cli.values import WholeNumber
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.lists import ListName
    from magento_pager.walk.paginator import Paginator

QUERIES = 10


@click.command()
@click.argument("entity", type=click.Choice(list(LISTS)), default="orders")
@shop_options
@width_options
@asking_options
@click.option("--offline", is_flag=True, help="Print the queries of a --strategy, and call no shop.")
@click.option(
    "--queries",
    "count",
    type=WholeNumber(min=1),
    default=QUERIES,
    show_default=True,
    metavar="N",
    help="With --offline: how many of them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def plan(entity: ListName, *, offline: bool, count: int, as_json: bool, **options: Any) -> None:
    """Say how many rows a list has, about, and what a dump of it would cost.

    Makes at most 60 calls, most of them small, and reads at most 1,000 rows of any. The number of rows is sampled and
    comes with its error.
    """
    import json

    if offline:
        with as_usage_error():
            queries = list(map(str, islice(_offline(entity, options).queries(), count)))
        click.echo(json.dumps(queries, indent=2) if as_json else "\n".join(queries))
        return
    with as_usage_error(), stoppable(), connected(options) as pager:
        found = pager.list(entity, **(widths(options) | asked(options))).plan()
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else str(found))


def _offline(entity: ListName, options: dict[str, Any]) -> Paginator:
    """The paginator of a shop that is not there."""
    from magento_pager.pager import Pager

    if options["strategy"] == "auto":
        raise ValueError("which strategy holds is found out by asking the shop: offline, name one by --strategy")
    # Nothing is asked of it: queries depend on the strategy alone.
    return Pager(None).list(entity, **(widths(options) | asked(options)))  # type: ignore[arg-type]
