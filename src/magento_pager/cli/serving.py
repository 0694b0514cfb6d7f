"""`serve`: an embedded shop that runs until it is told to end."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import click

from magento_pager.cli.ending import StoppedError, as_usage_error, stoppable
from magento_pager.cli.options import ID, InputFile, WholeNumber, option, options
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.fake.declarations import Flavour

OUTAGES = ["maintenance", "database", "wsdl", "schema", "firewall", "redirect"]


@dataclass(frozen=True, slots=True)
class Served:
    """The arguments of the embedded shop; see `magento_pager.fake.Shop`."""

    profile: str = option("The version the shop plays.", "VERSION", "20.0.20")
    flavour: Flavour = option("The SOAP flavour.", default="rpc", choices=["rpc", "wsi"])
    orders: int = option("How many orders to make up; the other lists follow.", "N", 2000)
    rows: str | None = option("Rows to serve instead, as JSON.", "FILE", type=InputFile())
    database: str = option(
        "Keep the tables in a MariaDB, as mysql://USER:PASSWORD@HOST:PORT/NAME; NAME must be empty or not exist.",
        "URL",
        "",
    )
    port: int = option("0 takes a free one.", "N", 0, type=WholeNumber(0, 65535), show_default=True)
    user: str = option("The API user.", "NAME", "demo")
    key: str = option("The API key.", "KEY", "demo-key")
    php5: bool = option("Play an old version as one on PHP 5.")
    broken_wsi: bool = option("Let 1.6.2.0 speak WS-I, in which it breaks every filter.")
    latency: float = option("What each call takes at least.", "SECONDS", 0.0)
    latency_per_row: float = option("What each row adds to that.", "SECONDS", 0.0)
    memory_limit_rows: int = option("A list with more rows exhausts PHP's memory.", "N", 0)
    memory_failure: str = option("What that looks like.", default="fault", choices=["fault", "empty"])
    max_execution_time: float = option("PHP gives a call up after so long.", "SECONDS", 0.0)
    workers: int = option("PHP workers; 0: as many as needed.", "N", 0)
    wsdl_cache: bool = option("PHP keeps the WSDL; without, each call needs a second worker.")
    socket_timeout: float = option("A call waits so long for its own WSDL.", "SECONDS", 60.0)
    session_timeout: float = option("A session expires after so long without a call.", "SECONDS", 3600.0)
    body_limit: int = option("A longer request is refused.", "BYTES", 1_048_576)
    gzip: bool = option("Compress replies for clients that accept it.")
    outage: str = option(
        "What is wrong with the whole shop.", callback=lambda _, __, value: value or "", choices=OUTAGES
    )
    denied: tuple[str, ...] = option(
        "A list the API user has no right to; may be repeated.", multiple=True, choices=list(LISTS)
    )
    duplicate_address: tuple[int, ...] = option(
        "An order with two billing addresses: lists with it fault.", "ID", multiple=True, type=ID
    )
    invalid_utf8: tuple[int, ...] = option("An order with a name that is not UTF-8.", "ID", multiple=True, type=ID)
    control_characters: tuple[int, ...] = option(
        "An order with a control character in a name.", "ID", multiple=True, type=ID
    )
    broken_records: tuple[int, ...] = option("An order whose record in full is a fault.", "ID", multiple=True, type=ID)
    trouble: str = option(
        "What is wrong with replies, such as fault, notice, bot-check or http-504; any other name lists all.",
        "NAME",
        "",
    )
    trouble_rows: tuple[int, ...] = option(
        "Only replies that hold this row are in trouble; may be repeated.", "ID", multiple=True, type=ID
    )
    trouble_list: str = option("The list that those rows are of.", default="orders", choices=list(LISTS))
    trouble_at: str = option(
        "Without rows: which replies are in trouble; with rows: lists or records alone, or else both.",
        default="calls",
        choices=["calls", "wsdl", "everything", "lists", "records"],
    )
    trouble_by: str = option("Whose replies are in trouble.", default="both", choices=["both", "soap", "xmlrpc"])
    nested_arrays_lost: bool = option('As 1.9.3.0: an array inside an array becomes the text "Array".')
    no_xmlrpc: bool = option("Nothing answers where XML-RPC should be.")
    base_url: str = option("The address the shop believes it has.", "URL", "")
    clock: str = option("Where the shop's clock stands still, in UTC.", "TIME", "")


@click.command()
@options(served=Served, control=option("Read commands from standard input, a JSON object on each line."))
def serve(*, served: Served, control: bool) -> None:
    """Run an embedded shop until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is ready: url, user and key. `url` takes the calls; url + "?wsdl=1" is the WSDL.
    With --control it can be changed while it runs: {"profile": "1.7.0.2"}, {"knobs": {"latency": 0.5}}, {"insert":
    ["orders", {"entity_id": 5}]}, {"update": ["orders", 5, {"status": "closed"}]}, {"delete": ["orders", 5]}, {"log":
    true}; each line is answered with one.
    """
    from magento_pager.fake import Shop
    from magento_pager.fake.control import execute

    with as_usage_error():
        shop = Shop(**{one.name: getattr(served, one.name) for one in fields(served)})
    try:
        with suppress(StoppedError), stoppable(), shop:
            click.echo(json.dumps({"url": shop.url, "user": shop.user, "key": shop.key}))
            for line in sys.stdin if control else ():
                click.echo(json.dumps(execute(shop, line)))
            while True:
                time.sleep(3600)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"the shop cannot start: {error}") from None
