"""Which shop, and how it is reached: the options that commands share, and what they lead to."""

from __future__ import annotations

import stat
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from magento_pager.cli.ending import say
from magento_pager.cli.values import InputFile, Number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from magento_pager.pager import Pager
    from magento_pager.shop.transport import HttpOptions

VARIABLES = {"url": "MAGENTO_URL", "user": "MAGENTO_API_USER", "key": "MAGENTO_API_KEY"}


OPTIONS = [
    click.option(
        "--url",
        envvar="MAGENTO_URL",
        show_envvar=True,
        metavar="URL",
        help="The shop's base address, its SOAP endpoint, or the address of its WSDL.",
    ),
    click.option("--user", envvar="MAGENTO_API_USER", show_envvar=True, metavar="NAME", help="The API user."),
    click.option(
        "--key",
        envvar="MAGENTO_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help="The API key. Others on this machine can read it on a command line: prefer the environment or "
        "--key-file; a terminal is asked for it.",
    ),
    click.option(
        "--key-file",
        type=InputFile(),
        metavar="FILE",
        help="A file whose first line is the API key.",
    ),
    click.option("--demo", is_flag=True, help="Use an embedded shop of 2,000 orders instead."),
    click.option("--profile", metavar="VERSION", help="The embedded shop's version.  [default: 20.0.20]"),
    click.option("--flavour", type=click.Choice(["rpc", "wsi"]), help="The embedded shop's flavour.  [default: rpc]"),
    click.option(
        "--timeout",
        type=Number(),
        default=120.0,
        show_default=True,
        metavar="SECONDS",
        help="What one call may take in all.",
    ),
    click.option(
        "--wait",
        type=Number(),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="Keep trying so long to reach the shop and log in; for runs that nobody watches.",
    ),
    click.option(
        "--header",
        "headers",
        multiple=True,
        metavar="NAME:VALUE",
        help="Sent to the shop with every request; may be repeated.",
    ),
    click.option("--basic-auth", metavar="USER:PASSWORD", help="For the web server's own protection."),
    click.option("--ca-bundle", type=InputFile(dir_okay=True), metavar="FILE", help="The certificates to trust."),
    click.option("--proxy", metavar="URL", help="An HTTP proxy.  [default: HTTP_PROXY, HTTPS_PROXY]"),
    click.option("--legacy-tls", is_flag=True, help="Also accept TLS 1.0 and the ciphers of its time."),
    click.option("--insecure-http", is_flag=True, help="Send the key over plain http to another machine."),
    click.option(
        "--allow-host",
        "allow_hosts",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Another host, or another port, that the WSDL may send calls to, with the key, and that its documents "
        "may come from; may be repeated.",
    ),
]
"""Those that say which shop, and how it is reached."""


def shop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which shop, and how it is reached."""
    return with_options(OPTIONS, command)


def with_options(options: list[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with some options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def shop(options: dict[str, Any]) -> Iterator[tuple[str, str, str, HttpOptions]]:
    """Where the shop is that the options name, or an embedded one, and how it is reached."""
    from pathlib import Path

    from magento_pager.shop.transport import HttpOptions

    with ExitStack() as stack:
        where = {name: options[name] for name in ("url", "user", "key")}
        from_command_line = click.get_current_context().get_parameter_source("key") is ParameterSource.COMMANDLINE
        if options["key_file"] and from_command_line:
            raise ValueError("give --key or --key-file, not both")
        if options["key_file"]:
            where["key"] = _key_in(Path(options["key_file"]))
        if options["demo"]:
            from magento_pager.fake import Shop

            shop = Shop(profile=options["profile"] or "20.0.20", flavour=options["flavour"] or "rpc")
            stack.enter_context(shop)
            where = {"url": shop.url, "user": shop.user, "key": shop.key}
        elif options["profile"] or options["flavour"]:
            raise ValueError("--profile and --flavour choose the embedded shop's: give --demo as well")
        if where["url"] and where["user"] and not where["key"] and sys.stdin is not None and sys.stdin.isatty():
            where["key"] = click.prompt("API key", hide_input=True, err=True)
        for name, value in where.items():
            if not value:
                raise ValueError(f"which shop? Give --{name} or {VARIABLES[name]}, or try --demo")
        if from_command_line:
            say(
                "warning: others on this machine can read --key on the command line; prefer MAGENTO_API_KEY or "
                "--key-file"
            )
        basic_auth = options["basic_auth"]
        yield (
            *where.values(),
            HttpOptions(
                timeout=options["timeout"],
                patience=options["wait"],
                headers=dict(map(_header, options["headers"])),
                basic_auth=_pair(basic_auth, "--basic-auth is USER:PASSWORD") if basic_auth else None,
                ca_bundle=options["ca_bundle"],
                proxy=options["proxy"],
                legacy_tls=options["legacy_tls"],
                insecure_http=options["insecure_http"],
                allow_hosts=frozenset(options["allow_hosts"]),
            ),
        )


@contextmanager
def connected(options: dict[str, Any]) -> Iterator[Pager]:
    """The pager of the shop that the options name, logged in."""
    from magento_pager.pager import Pager
    from magento_pager.shop.connection import Connection

    with shop(options) as where, Pager(Connection(*where)) as pager:
        pager.connection.login()
        yield pager


def _key_in(path: Path) -> str:
    """The key in the first line of a file."""
    import shlex

    from magento_pager.shop.keys import first_line

    key, mode = first_line(path), path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"warning: others on this machine can read {path}; chmod 600 {shlex.quote(str(path))}")
    return key


def _header(text: str) -> tuple[str, str]:
    name, value = _pair(text, "--header is NAME:VALUE")
    return name.strip(), value.strip()


def _pair(text: str, form: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    if not (left and colon):
        raise ValueError(form)  # what was given instead may be a secret
    return left, right
