"""Which rows of a list, and how they are asked for: the options that commands share, and what they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from magento_pager.cli.shops import with_options
from magento_pager.cli.values import Id, Number, WholeNumber
from magento_pager.walk.names import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable


def width_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how wide windows are."""
    options = [
        click.option(
            "--window",
            type=WholeNumber(min=1),
            metavar="N",
            help="Ids in each window with rows.  [default: aims at 2,000 rows and 1 s a call]",
        ),
        click.option(
            "--rows-per-call",
            type=WholeNumber(min=1),
            metavar="N",
            help="Without --window: aim at so many rows a call.  [default: 2000]",
        ),
        click.option(
            "--seconds-per-call",
            type=Number(min_open=True),
            metavar="SECONDS",
            help="Without --window: aim at calls that take no longer.  [default: 1]",
        ),
    ]
    return with_options(options, command)


def asking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which rows are wanted, and by which strategy."""
    options = [
        click.option(
            "--strategy",
            type=click.Choice(STRATEGIES),
            default="auto",
            show_default=True,
            help="How a window is put to the server.",
        ),
        click.option(
            "--first",
            type=Id(),
            default=0,
            show_default=True,
            metavar="ID",
            help="The first id, inclusive.",
        ),
        click.option(
            "--last",
            type=Id(),
            metavar="ID",
            help="The last id, inclusive.  [default: the last there can be]",
        ),
        click.option(
            "--where",
            multiple=True,
            metavar="FIELD:OP:VALUE",
            help="A further condition, such as status:eq:complete; may be repeated, and all must hold.",
        ),
    ]
    return with_options(options, command)


def widths(options: dict[str, Any]) -> dict[str, Any]:
    """What `width_options` say, for `Pager.list`.

    Raises:
        ValueError: a width that is both fixed and adapted.
    """
    from magento_pager.walk.windows import Goal

    goals = {"rows": options["rows_per_call"], "seconds": options["seconds_per_call"]}
    goals = {name: value for name, value in goals.items() if value is not None}
    if options["window"] and goals:
        raise ValueError("--window fixes the width, and --rows-per-call and --seconds-per-call adapt it: give one kind")
    return {"window": options["window"], "goal": Goal(**goals)}


def asked(options: dict[str, Any]) -> dict[str, Any]:
    """What `asking_options` say, for `Pager.list`.

    Raises:
        ValueError: a condition that is none.
    """
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.ranges import MAX_ID

    return {
        "strategy": options["strategy"],
        "first": options["first"],
        "last": MAX_ID if options["last"] is None else options["last"],
        "where": [Condition.parse(text) for text in options["where"]],
    }
