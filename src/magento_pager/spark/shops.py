"""The shops of a fleet, from a file: the address, limits and credentials of each.

What lives here: the file, and references to credentials. Only references are read, passed on, pickled or shown; the
credentials are looked up where the shop is called, and go nowhere else. This module does not know Spark.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from magento_pager.pager import connect
from magento_pager.shop.key_files import read_key

if TYPE_CHECKING:
    from magento_pager.pager import Pager

SCHEMES = ("env:", "file:")
MAX_PARALLEL, MAX_NICE = 64, 100.0


@dataclass(frozen=True, slots=True)
class FleetShop:
    """One shop of a fleet.

    Attributes:
        name: unique name of the shop.
        url: its address, as for `connect`, without a user or a password in it.
        user: the API user, or a reference to it.
        key: a reference to the API key: `env:NAME`, a variable, or `file:PATH`, the first line of a file.
        parallel: number of tasks that may call the shop at once, at least 1.
        nice: seconds to pause after a call, for each second that the call took.
        timeout: time limit for one call, in seconds.
        basic_auth: a reference to `user:password` of the web server's own protection; None without one.
        ca_bundle: path of the certificates to trust, instead of the default ones.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, HOST or HOST:PORT, as for `connect`.

    Raises:
        ValueError: a value is invalid; the message does not repeat a value that may be secret.

    >>> FleetShop("acme", "https://acme.example", "spark", "env:ACME_KEY").parallel
    1
    >>> FleetShop("acme", "https://acme.example", "spark", "a key")
    Traceback (most recent call last):
    ...
    ValueError: Shop 'acme': key must be env:NAME or file:PATH, a reference to the secret, not the secret itself.
    """

    name: str
    url: str
    user: str
    key: str
    parallel: int = 1
    nice: float = 0.0
    timeout: float = 120.0
    basic_auth: str | None = None
    ca_bundle: str | None = None
    legacy_tls: bool = False
    insecure_http: bool = False
    allow_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "url", "user", "key"):
            value: object = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"Shop {self.name!r}: {name} must be text, and not empty.")
        for name, reference in (("key", self.key), ("basic_auth", self.basic_auth)):
            if reference is not None and not _is_reference(reference):
                raise ValueError(
                    f"Shop {self.name!r}: {name} must be env:NAME or file:PATH, a reference to the secret, not the "
                    "secret itself."
                )
        if "@" in urlsplit(self.url).netloc:
            raise ValueError(f"Shop {self.name!r}: the url has a user or a password. Use basic_auth instead.")
        for name, least, most in (("parallel", 1, MAX_PARALLEL), ("nice", 0.0, MAX_NICE)):
            number: object = getattr(self, name)
            if not isinstance(number, int | type(least)) or isinstance(number, bool) or not least <= number <= most:
                raise ValueError(f"Shop {self.name!r}: {name} must be a number from {least} to {most}, not {number!r}.")

    def connect(self, wait: float = 0.0) -> Pager:
        """Look up the credentials, fetch the WSDL and log in.

        Args:
            wait: seconds for which failures that may be temporary are retried.

        Raises:
            ValueError: a reference cannot be found.
            PagerError: see `magento_pager.connect`.
        """
        basic_auth = None
        if self.basic_auth is not None:
            user, _, password = resolve(self.basic_auth).partition(":")
            basic_auth = user, password
        return connect(
            self.url,
            resolve(self.user) if _is_reference(self.user) else self.user,
            resolve(self.key),
            timeout=self.timeout,
            wait=wait,
            basic_auth=basic_auth,
            ca_bundle=self.ca_bundle,
            legacy_tls=self.legacy_tls,
            insecure_http=self.insecure_http,
            allow_hosts=self.allow_hosts,
        )


def read_shops(path: str | Path) -> tuple[FleetShop, ...]:
    """Return the shops in a file: a JSON list of objects with the fields of `FleetShop`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a list, or names a shop twice.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError:
        content = None  # its message would show a part of the file
    if not isinstance(content, list) or not all(isinstance(shop, dict) for shop in content):
        raise ValueError(f"{path} must be a JSON list with an object for each shop.")
    shops = tuple(map(_shop, content))
    names = [shop.name for shop in shops]
    if twice := next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None:
        raise ValueError(f"{path} names the shop {twice!r} twice. Give each shop a name of its own.")
    return shops


def resolve(reference: str) -> str:
    """Return the secret that a reference names, looked up on this machine.

    Raises:
        ValueError: it cannot be found.

    >>> resolve("env:PATH") == os.environ["PATH"]
    True
    >>> resolve("file:/nowhere")
    Traceback (most recent call last):
    ...
    ValueError: file:/nowhere was not found on this machine. Each machine that calls the shop must have it.
    """
    scheme, _, name = reference.partition(":")
    try:
        secret = os.environ.get(name, "") if scheme == "env" else read_key(Path(name))
    except (OSError, ValueError):  # missing, or not text
        secret = ""
    if not secret:
        raise ValueError(f"{reference} was not found on this machine. Each machine that calls the shop must have it.")
    return secret


def _is_reference(text: object) -> bool:
    return isinstance(text, str) and text.startswith(SCHEMES)


def _shop(content: dict[str, Any]) -> FleetShop:
    known = [field.name for field in fields(FleetShop)]
    name = content.get("name")
    if unknown := sorted(content.keys() - set(known)):
        raise ValueError(f"Shop {name!r} has the unknown field {unknown[0]!r}. The fields are {', '.join(known)}.")
    if missing := [field for field in known[:4] if field not in content]:
        raise ValueError(f"Shop {name!r} lacks the field {missing[0]!r}. Add it.")
    return FleetShop(**content | {"allow_hosts": tuple(content.get("allow_hosts", ()))})
