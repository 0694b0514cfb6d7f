"""`serve`: an embedded shop that runs until it is stopped."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import click

from magento_pager.cli.ending import StoppedError, as_usage_error, stoppable
from magento_pager.cli.help import Helped
from magento_pager.cli.parameters import (
    ID,
    InputFile,
    WholeNumber,
    option,
    options,
    server_option,
)
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from magento_pager.fake.declarations import Flavour

OUTAGES = ["maintenance", "database", "wsdl", "schema", "firewall", "redirect"]


limits_option, faults_option = (partial(option, group=group) for group in ("Limits and speed", "Faults to imitate"))


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The arguments of the embedded shop; see `magento_pager.fake.Shop`."""

    profile: str = server_option("Magento version to imitate.", "VERSION", "20.0.20")
    flavour: Flavour = server_option("SOAP flavour.", default="rpc", choices=["rpc", "wsi"])
    orders: int = server_option("Number of made-up orders; the other lists follow in proportion.", "N", 2000)
    rows: str | None = server_option("JSON file of rows to serve instead.", "FILE", type=InputFile())
    database: str = server_option(
        "MariaDB database for the tables, mysql://USER:PASSWORD@HOST:PORT/NAME; NAME must be empty or not exist.",
        "URL",
        "",
    )
    port: int = server_option(
        "Port to listen on; 0 takes a free one.", "N", 0, type=WholeNumber(0, 65535), show_default=True
    )
    user: str = server_option("Name of the API user.", "NAME", "demo")
    key: str = server_option("API key.", "KEY", "demo-key")
    base_url: str = server_option("Address that the shop believes it has.", "URL", "")
    clock: str = server_option("Time at which the shop's clock stands still, in UTC.", "TIME", "")
    php5: bool = server_option("Imitate PHP 5 below an old version.")
    broken_wsi: bool = server_option("Let 1.6.2.0 speak WS-I, where every filter of it is broken.")
    gzip: bool = server_option("Compress replies for clients that accept it.")
    no_xmlrpc: bool = server_option("Offer no XML-RPC.")
    latency: float = limits_option("Minimum duration of each call, in seconds.", "SECONDS", 0.0)
    latency_per_row: float = limits_option("Additional duration for each row, in seconds.", "SECONDS", 0.0)
    memory_limit_rows: int = limits_option("Number of rows in a reply above which PHP's memory is exhausted.", "N", 0)
    memory_failure: str = limits_option(
        "How exhausted memory shows: as a fault or as an empty reply.", default="fault", choices=["fault", "empty"]
    )
    max_execution_time: float = limits_option("PHP's time limit for a call, in seconds.", "SECONDS", 0.0)
    workers: int = limits_option("Number of PHP workers; 0 for as many as needed.", "N", 0)
    wsdl_cache: bool = limits_option("Cache the WSDL; otherwise each call needs a second worker.")
    socket_timeout: float = limits_option("Time limit for a call to load its own WSDL, in seconds.", "SECONDS", 60.0)
    session_timeout: float = limits_option(
        "Time without a call until a session expires, in seconds.", "SECONDS", 3600.0
    )
    body_limit: int = limits_option("Maximum length of a request, in bytes.", "BYTES", 1_048_576)
    outage: str = faults_option(
        f"Failure of the whole shop: {', '.join(OUTAGES[:-1])} or {OUTAGES[-1]}.",
        "OUTAGE",
        callback=lambda _, __, value: value or "",
        choices=OUTAGES,
    )
    denied: tuple[str, ...] = faults_option(
        "List that the API user may not read. May be repeated.", "LIST", multiple=True, choices=list(LISTS)
    )
    duplicate_address: tuple[int, ...] = faults_option(
        "Order with two billing addresses: a list with it is a fault. May be repeated.", "ID", multiple=True, type=ID
    )
    invalid_utf8: tuple[int, ...] = faults_option(
        "Order with a name that is not UTF-8. May be repeated.", "ID", multiple=True, type=ID
    )
    control_characters: tuple[int, ...] = faults_option(
        "Order with a control character in a name. May be repeated.", "ID", multiple=True, type=ID
    )
    broken_records: tuple[int, ...] = faults_option(
        "Order whose full record is a fault. May be repeated.", "ID", multiple=True, type=ID
    )
    nested_arrays_lost: bool = faults_option('Replace an array inside an array by the text "Array", as 1.9.3.0 does.')
    trouble: str = faults_option(
        "Fault in replies, such as fault, notice, bot-check or http-504; any other name lists all.", "NAME", ""
    )
    trouble_rows: tuple[int, ...] = faults_option(
        "Row whose replies get that fault. May be repeated. [default: all replies]", "ID", multiple=True, type=ID
    )
    trouble_list: str = faults_option("List of those rows.", "LIST", "orders", choices=list(LISTS))
    trouble_at: str = faults_option(
        "Replies that get the fault. Without --trouble-rows: calls, wsdl or everything; with it: lists or records, "
        "otherwise both.",
        "REPLIES",
        "calls",
        choices=["calls", "wsdl", "everything", "lists", "records"],
    )
    trouble_by: str = faults_option(
        "Protocol whose replies get the fault.", default="both", choices=["both", "soap", "xmlrpc"]
    )


@click.command(
    cls=Helped,
    examples=[
        ("A shop for your tests", "magento-pager serve --orders 500 --port 8080"),
        ("An old and slow one", "magento-pager serve --profile 1.7.0.2 --latency 0.5 --memory-limit-rows 500"),
        ("One with a row that breaks its replies", "magento-pager serve --duplicate-address 7"),
    ],
)
@options(
    served=ServeOptions,
    control=server_option("Read commands from standard input, a JSON object on each line."),
)
def serve(*, served: ServeOptions, control: bool) -> None:
    """Run an embedded shop until Ctrl-C or SIGTERM.

    Prints one line of JSON when it is ready: url, user and key. `url` takes the calls; url + "?wsdl=1" is the WSDL.

    With --control it can be changed while it runs: {"profile": "1.7.0.2"}, {"knobs": {"latency": 0.5}}, {"insert":
    ["orders", {"entity_id": 5}]}, {"update": ["orders", 5, {"status": "closed"}]}, {"delete": ["orders", 5]}, {"log":
    true}. Each line gets one line in reply.
    """
    from magento_pager.fake import Shop
    from magento_pager.fake.control import execute

    with as_usage_error():
        shop = Shop(**{each.name: getattr(served, each.name) for each in fields(served)})
    try:
        with suppress(StoppedError), stoppable(), shop:
            click.echo(json.dumps({"url": shop.url, "user": shop.user, "key": shop.key}))
            for line in sys.stdin if control else ():
                click.echo(json.dumps(execute(shop, line)))
            while True:
                time.sleep(3600)
    except (OSError, ValueError) as error:
        raise click.ClickException(f"The shop cannot start: {error}") from None
