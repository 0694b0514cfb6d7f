"""Which shop, and how it is reached: the options that say so, and what they lead to."""

from __future__ import annotations

import stat
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from magento_pager.cli.ending import say
from magento_pager.cli.options import InputFile, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.fake.declarations import Flavour
    from magento_pager.pager import Pager
    from magento_pager.shop.transport import HttpOptions

VARIABLES = {"url": "MAGENTO_URL", "user": "MAGENTO_API_USER", "key": "MAGENTO_API_KEY"}


@dataclass(frozen=True, slots=True, repr=False)  # it holds the key
class ShopOptions:
    """Which shop, and how it is reached."""

    url: str | None = option(
        "--url URL",
        "The shop's base address, its SOAP endpoint, or the address of its WSDL.",
        envvar=VARIABLES["url"],
        show_envvar=True,
    )
    user: str | None = option("--user NAME", "The API user.", envvar=VARIABLES["user"], show_envvar=True)
    key: str | None = option(
        "--key KEY",
        "The API key. Others on this machine can read it on a command line: prefer the environment or --key-file; a "
        "terminal is asked for it.",
        envvar=VARIABLES["key"],
        show_envvar=True,
    )
    key_file: str | None = option("--key-file FILE", "A file whose first line is the API key.", type=InputFile())
    demo: bool = option("--demo", "Use an embedded shop of 2,000 orders instead.")
    profile: str | None = option("--profile VERSION", "The embedded shop's version.  [default: 20.0.20]")
    flavour: Flavour | None = option(
        "--flavour", "The embedded shop's flavour.  [default: rpc]", choices=["rpc", "wsi"]
    )
    timeout: float = option("--timeout SECONDS", "What one call may take in all.", 120.0)
    wait: float = option(
        "--wait SECONDS",
        "Keep trying so long to reach the shop and log in; for runs that nobody watches.",
        0.0,
        show_default=True,
    )
    headers: tuple[str, ...] = option(
        "--header NAME:VALUE", "Sent to the shop with every request; may be repeated.", multiple=True
    )
    basic_auth: str | None = option("--basic-auth USER:PASSWORD", "For the web server's own protection.")
    ca_bundle: str | None = option("--ca-bundle FILE", "The certificates to trust.", type=InputFile(dir_okay=True))
    proxy: str | None = option("--proxy URL", "An HTTP proxy.  [default: HTTP_PROXY, HTTPS_PROXY]")
    legacy_tls: bool = option("--legacy-tls", "Also accept TLS 1.0 and the ciphers of its time.")
    insecure_http: bool = option("--insecure-http", "Send the key over plain http to another machine.")
    allow_hosts: tuple[str, ...] = option(
        "--allow-host HOST[:PORT]",
        "Another host, or another port, that the WSDL may send calls to, with the key, and that its documents may "
        "come from; may be repeated.",
        multiple=True,
    )

    @property
    def alias(self) -> str:
        """What checkpoints call the embedded shop, which is at another port each time; empty for a real one."""
        return f"the demo {self.profile or ''} {self.flavour or ''}".strip() if self.demo else ""

    @contextmanager
    def connected(self) -> Iterator[Pager]:
        """The pager of the shop, logged in."""
        from magento_pager.pager import Pager
        from magento_pager.shop.connection import Connection

        with self.opened() as where, Pager(Connection(*where)) as pager:
            pager.connection.alias = self.alias
            pager.connection.login()
            yield pager

    @contextmanager
    def opened(self) -> Iterator[tuple[str, str, str, HttpOptions]]:
        """Where the shop is, or an embedded one until the block ends, and how it is reached."""
        from magento_pager.shop.transport import HttpOptions

        with ExitStack() as stack:
            url, user, key = self.url or "", self.user or "", self.key or ""
            shown = click.get_current_context().get_parameter_source("key") is ParameterSource.COMMANDLINE
            if self.key_file and shown:
                raise ValueError("give --key or --key-file, not both")
            if self.key_file:
                key = _key_in(Path(self.key_file))
            if self.demo:
                from magento_pager.fake import Shop

                shop = stack.enter_context(Shop(profile=self.profile or "20.0.20", flavour=self.flavour or "rpc"))
                url, user, key = shop.url, shop.user, shop.key
            elif self.profile or self.flavour:
                raise ValueError("--profile and --flavour choose the embedded shop's: give --demo as well")
            if url and user and not key and sys.stdin is not None and sys.stdin.isatty():
                key = click.prompt("API key", hide_input=True, err=True)
            for name, value in {"url": url, "user": user, "key": key}.items():
                if not value:
                    raise ValueError(f"which shop? Give --{name} or {VARIABLES[name]}, or try --demo")
            if shown:
                say(
                    "warning: others on this machine can read --key on the command line; prefer MAGENTO_API_KEY or "
                    "--key-file"
                )
            pairs = [_pair(one, "--header is NAME:VALUE") for one in self.headers]
            reached = HttpOptions(
                timeout=self.timeout,
                patience=self.wait,
                headers={name.strip(): value.strip() for name, value in pairs},
                basic_auth=_pair(self.basic_auth, "--basic-auth is USER:PASSWORD") if self.basic_auth else None,
                ca_bundle=self.ca_bundle,
                proxy=self.proxy,
                legacy_tls=self.legacy_tls,
                insecure_http=self.insecure_http,
                allow_hosts=frozenset(self.allow_hosts),
            )
            yield url, user, key, reached


def _key_in(path: Path) -> str:
    """The key in the first line of a file."""
    import shlex

    from magento_pager.shop.keys import first_line

    key, mode = first_line(path), path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"warning: others on this machine can read {path}; chmod 600 {shlex.quote(str(path))}")
    return key


def _pair(text: str, form: str) -> tuple[str, str]:
    left, colon, right = text.partition(":")
    if not (left and colon):
        raise ValueError(form)  # what was given instead may be a secret
    return left, right
