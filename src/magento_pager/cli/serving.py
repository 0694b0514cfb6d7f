"""`serve`: an embedded shop that runs until it is told to end."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import click

from magento_pager.cli.ending import StoppedError, as_usage_error, stoppable
from magento_pager.cli.options import InputFile, WholeNumber, option, options
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.fake.declarations import Flavour

OUTAGES = ["maintenance", "database", "wsdl", "schema", "firewall", "redirect"]
ID = WholeNumber(noun="id")


@dataclass(frozen=True, slots=True)
class Served:
    """The arguments of the embedded shop; see `magento_pager.fake.Shop`."""

    profile: str = option("--profile VERSION", "The version the shop plays.", "20.0.20")
    flavour: Flavour = option("--flavour", "The SOAP flavour.", "rpc", choices=["rpc", "wsi"])
    orders: int = option("--orders N", "How many orders to make up; the other lists follow.", 2000)
    rows: str | None = option("--rows FILE", "Rows to serve instead, as JSON.", type=InputFile())
    database: str = option(
        "--database URL",
        "Keep the tables in a MariaDB, as mysql://USER:PASSWORD@HOST:PORT/NAME; NAME must be empty or not exist.",
        "",
    )
    port: int = option("--port N", "0 takes a free one.", 0, type=WholeNumber(0, 65535), show_default=True)
    user: str = option("--user NAME", "The API user.", "demo")
    key: str = option("--key KEY", "The API key.", "demo-key")
    php5: bool = option("--php5", "Play an old version as one on PHP 5.")
    broken_wsi: bool = option("--broken-wsi", "Let 1.6.2.0 speak WS-I, in which it breaks every filter.")
    latency: float = option("--latency SECONDS", "What each call takes at least.", 0.0)
    latency_per_row: float = option("--latency-per-row SECONDS", "What each row adds to that.", 0.0)
    memory_limit_rows: int = option("--memory-limit-rows N", "A list with more rows exhausts PHP's memory.", 0)
    memory_failure: str = option("--memory-failure", "What that looks like.", "fault", choices=["fault", "empty"])
    max_execution_time: float = option("--max-execution-time SECONDS", "PHP gives a call up after so long.", 0.0)
    workers: int = option("--workers N", "PHP workers; 0: as many as needed.", 0)
    wsdl_cache: bool = option("--wsdl-cache", "PHP keeps the WSDL; without, each call needs a second worker.")
    socket_timeout: float = option("--socket-timeout SECONDS", "A call waits so long for its own WSDL.", 60.0)
    session_timeout: float = option(
        "--session-timeout SECONDS", "A session expires after so long without a call.", 3600.0
    )
    body_limit: int = option("--body-limit BYTES", "A longer request is refused.", 1_048_576)
    gzip: bool = option("--gzip", "Compress replies for clients that accept it.")
    outage: str = option(
        "--outage", "What is wrong with the whole shop.", callback=lambda _, __, value: value or "", choices=OUTAGES
    )
    denied: tuple[str, ...] = option(
        "--denied", "A list the API user has no right to; may be repeated.", multiple=True, choices=list(LISTS)
    )
    duplicate_address: tuple[int, ...] = option(
        "--duplicate-address ID", "An order with two billing addresses: lists with it fault.", multiple=True, type=ID
    )
    invalid_utf8: tuple[int, ...] = option(
        "--invalid-utf8 ID", "An order with a name that is not UTF-8.", multiple=True, type=ID
    )
    control_characters: tuple[int, ...] = option(
        "--control-characters ID", "An order with a control character in a name.", multiple=True, type=ID
    )
    broken_records: tuple[int, ...] = option(
        "--broken-records ID", "An order whose record in full is a fault.", multiple=True, type=ID
    )
    nested_arrays_lost: bool = option(
        "--nested-arrays-lost", 'As 1.9.3.0: an array inside an array becomes the text "Array".'
    )
    no_xmlrpc: bool = option("--no-xmlrpc", "Nothing answers where XML-RPC should be.")
    base_url: str = option("--base-url URL", "The address the shop believes it has.", "")
    clock: str = option("--clock TIME", "Where the shop's clock stands still, in UTC.", "")


@click.command()
@options(served=Served)
@click.option("--control", is_flag=True, help="Read commands from standard input, a JSON object on each line.")
def serve(served: Served, *, control: bool) -> None:
    """Run an embedded shop until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is ready: url, user and key. `url` takes the calls; url + "?wsdl=1" is the WSDL.
    With --control it can be changed while it runs: {"profile": "1.7.0.2"}, {"knobs": {"latency": 0.5}}, {"insert":
    ["orders", {"entity_id": 5}]}, {"update": ["orders", 5, {"status": "closed"}]}, {"delete": ["orders", 5]}, {"log":
    true}; each line is answered with one.
    """
    from magento_pager.fake import Shop
    from magento_pager.fake.control import obey

    with as_usage_error():
        shop = Shop(**{one.name: getattr(served, one.name) for one in fields(served)})
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
