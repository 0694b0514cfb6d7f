"""`verify`: whether an output holds what the shop holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import as_usage_error, say, stoppable
from magento_pager.cli.lists import asked, asking_options
from magento_pager.cli.shops import connected, shop_options
from magento_pager.cli.values import InputFile, WholeNumber, plain_number
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.lists import ListName


def share(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """A share of all, given as `2%` or `0.02`."""
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
@shop_options
@asking_options
@click.option("--sample", callback=share, metavar="SHARE", help="Compare only so much of it, such as 2%.")
@click.option(
    "--seed",
    type=WholeNumber(),
    metavar="N",
    help="With --sample: draw the same windows as another run did.  [default: others each time]",
)
@click.option(
    "--report",
    type=InputFile(),
    metavar="FILE",
    help="The report of the dump: says how rows were asked for, which, and since when.",
)
def verify(path: str, entity: ListName | None, **options: Any) -> None:
    """Compare FILE, which `dump` made, with the shop, row by row, through another strategy than the dump's.

    Prints each difference: rows that are missing, extra or changed. Exit status 1 if there are any.
    """
    from magento_pager.export.stored import stored
    from magento_pager.export.verification import Origin, verify

    source = click.get_current_context().get_parameter_source
    with stoppable(), as_usage_error():
        file = stored(path, entity)
        origin = Origin.of(options["report"], file.path)
        given = {name: value for name, value in asked(options).items() if source(name) is ParameterSource.COMMANDLINE}
        draw = {name: options[name] for name in ("sample", "seed")}
        with connected(options) as pager:
            compared = verify(pager, file, report=origin, found=click.echo, **draw, **given)
        for line in compared.lines:
            say(line)
    if not compared.ok:
        click.get_current_context().exit(1)
