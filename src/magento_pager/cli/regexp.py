"""`regexp`: the pattern of a range of ids."""

from __future__ import annotations

import click

from magento_pager.cli.ending import as_usage_error
from magento_pager.cli.values import Id


@click.command()
@click.argument("first", type=Id(largest=None))
@click.argument("last", type=Id(largest=None))
@click.option(
    "--field",
    default="entity_id",
    show_default=True,
    metavar="NAME",
    help="The field it is for. Any but the integer keys of the six lists may hold text: the pattern is strict.",
)
@click.option("--strict", is_flag=True, help="Use [0-9] instead of . and [^...], as for a field of text.")
@click.option("--explain", "explained", is_flag=True, help="Print the tree of digits and how it becomes the pattern.")
def regexp(first: int, last: int, *, field: str, strict: bool, explained: bool) -> None:
    """Print the shortest portable regexp that matches the ids from FIRST to LAST, inclusive."""
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.regexps import explain, range_regexp
    from magento_pager.walk.strategies import INTEGER_KEYS

    with as_usage_error():
        IdRange(first, last)
        click.echo((explain if explained else range_regexp)(first, last, strict=strict or field not in INTEGER_KEYS))
