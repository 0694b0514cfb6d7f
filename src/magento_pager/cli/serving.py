"""`serve`: an embedded shop that runs until it is told to end."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from magento_pager.cli.ending import StoppedError, as_usage_error, stoppable
from magento_pager.cli.values import Id, InputFile, Number, WholeNumber
from magento_pager.lists import LISTS


@click.command()
@click.option("--profile", default="20.0.20", show_default=True, metavar="VERSION", help="The version the shop plays.")
@click.option(
    "--flavour", type=click.Choice(["rpc", "wsi"]), default="rpc", show_default=True, help="The SOAP flavour."
)
@click.option(
    "--orders",
    type=WholeNumber(),
    default=2000,
    show_default=True,
    metavar="N",
    help="How many orders to make up; the other lists follow.",
)
@click.option("--rows", type=InputFile(), metavar="FILE", help="Rows to serve instead, as JSON.")
@click.option(
    "--database",
    default="",
    metavar="URL",
    help="Keep the tables in a MariaDB, as mysql://USER:PASSWORD@HOST:PORT/NAME; NAME must be empty or not exist.",
)
@click.option(
    "--port", type=WholeNumber(max=65535), default=0, show_default=True, metavar="N", help="0 takes a free one."
)
@click.option("--user", default="demo", show_default=True, metavar="NAME", help="The API user.")
@click.option("--key", default="demo-key", show_default=True, metavar="KEY", help="The API key.")
@click.option("--php5", is_flag=True, help="Play an old version as one on PHP 5.")
@click.option("--broken-wsi", is_flag=True, help="Let 1.6.2.0 speak WS-I, in which it breaks every filter.")
@click.option("--latency", type=Number(), default=0.0, metavar="SECONDS", help="What each call takes at least.")
@click.option("--latency-per-row", type=Number(), default=0.0, metavar="SECONDS", help="What each row adds to that.")
@click.option(
    "--memory-limit-rows",
    type=WholeNumber(),
    default=0,
    metavar="N",
    help="A list with more rows exhausts PHP's memory.",
)
@click.option(
    "--memory-failure",
    type=click.Choice(["fault", "empty"]),
    default="fault",
    show_default=True,
    help="What that looks like.",
)
@click.option(
    "--max-execution-time", type=Number(), default=0.0, metavar="SECONDS", help="PHP gives a call up after so long."
)
@click.option("--workers", type=WholeNumber(), default=0, metavar="N", help="PHP workers; 0: as many as needed.")
@click.option("--wsdl-cache", is_flag=True, help="PHP keeps the WSDL; without, each call needs a second worker.")
@click.option(
    "--socket-timeout",
    type=Number(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="A call waits so long for its own WSDL.",
)
@click.option(
    "--session-timeout",
    type=Number(),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="A session expires after so long without a call.",
)
@click.option(
    "--body-limit",
    type=WholeNumber(),
    default=1_048_576,
    show_default=True,
    metavar="BYTES",
    help="A longer request is refused.",
)
@click.option("--gzip", is_flag=True, help="Compress replies for clients that accept it.")
@click.option(
    "--outage",
    type=click.Choice(["maintenance", "database", "wsdl", "schema", "firewall", "redirect"]),
    default=None,
    help="What is wrong with the whole shop.",
)
@click.option(
    "--denied",
    multiple=True,
    type=click.Choice(list(LISTS)),
    help="A list the API user has no right to; may be repeated.",
)
@click.option(
    "--duplicate-address",
    multiple=True,
    type=Id(),
    metavar="ID",
    help="An order with two billing addresses: lists with it fault.",
)
@click.option("--invalid-utf8", multiple=True, type=Id(), metavar="ID", help="An order with a name that is not UTF-8.")
@click.option(
    "--control-characters", multiple=True, type=Id(), metavar="ID", help="An order with a control character in a name."
)
@click.option(
    "--broken-records", multiple=True, type=Id(), metavar="ID", help="An order whose record in full is a fault."
)
@click.option(
    "--nested-arrays-lost", is_flag=True, help='As 1.9.3.0: an array inside an array becomes the text "Array".'
)
@click.option("--no-xmlrpc", is_flag=True, help="Nothing answers where XML-RPC should be.")
@click.option("--base-url", default="", metavar="URL", help="The address the shop believes it has.")
@click.option("--clock", default="", metavar="TIME", help="Where the shop's clock stands still, in UTC.")
@click.option("--control", is_flag=True, help="Read commands from standard input, a JSON object on each line.")
def serve(*, control: bool, **options: Any) -> None:
    """Run an embedded shop until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is ready: url, user and key. `url` takes the calls; url + "?wsdl=1" is the WSDL.
    With --control it can be changed while it runs: {"profile": "1.7.0.2"}, {"knobs": {"latency": 0.5}}, {"insert":
    ["orders", {"entity_id": 5}]}, {"update": ["orders", 5, {"status": "closed"}]}, {"delete": ["orders", 5]}, {"log":
    true}; each line is answered with one.
    """
    import json

    from magento_pager.fake import Shop
    from magento_pager.fake.control import obey

    options["outage"] = options["outage"] or ""
    with as_usage_error():
        shop = Shop(**options)
    try:
        with stoppable(), shop:
            click.echo(json.dumps({"url": shop.url, "user": shop.user, "key": shop.key}))
            for line in sys.stdin if control else ():
                click.echo(json.dumps(obey(shop, line)))
            while True:
                time.sleep(3600)
    except StoppedError:
        return
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the shop cannot start: {error}") from None
