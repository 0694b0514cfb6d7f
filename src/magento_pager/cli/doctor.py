"""`doctor`: whether a shop can be paged."""

from __future__ import annotations

from typing import Any

import click

from magento_pager.cli.ending import as_usage_error, stoppable
from magento_pager.cli.shops import shop, shop_options


@click.command()
@shop_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(*, as_json: bool, **options: Any) -> None:
    """Say whether this shop can be paged, by which strategies, and what to do where not.

    Exit status 1 if a list that the shop has cannot be paged.
    """
    import json

    from magento_pager.examination import examine

    with as_usage_error(), stoppable(), shop(options) as where:
        diagnosis = examine(*where)
    click.echo(json.dumps(diagnosis.as_json(), indent=2) if as_json else str(diagnosis))
    if not diagnosis.healthy:
        click.get_current_context().exit(1)
