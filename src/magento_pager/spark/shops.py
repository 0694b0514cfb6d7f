"""The shops of a fleet, as a file names them: where each is, how it may be asked, and where its key is to be found.

What lives here: the file, and references to credentials. A reference is all that is read, passed on, pickled or shown;
what it stands for is looked up where the shop is called, and goes nowhere else. This module knows no engine.
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
MOST_AT_ONCE, MOST_NICE = 64, 100.0


@dataclass(frozen=True, slots=True)
class FleetShop:
    """One shop of a fleet.

    Attributes:
        name: what tells it apart from the others.
        url: its address, as for `connect`, without a user or a password in it.
        user: the API user, or a reference to it.
        key: a reference to the API key: `env:NAME`, a variable, or `file:PATH`, the first line of a file.
        parallel: tasks that may ask it at once, at least 1.
        nice: seconds to leave it alone after a call, for each second that the call took.
        timeout: seconds one call may take in all.
        basic_auth: a reference to `user:password` of the web server's own protection; None where it has none.
        ca_bundle: path of the certificates to trust, instead of the usual ones.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, HOST or HOST:PORT, as for `connect`.

    Raises:
        ValueError: a value that cannot be right; it is not repeated where it may be secret.

    >>> FleetShop("acme", "https://acme.example", "spark", "env:ACME_KEY").parallel
    1
    >>> FleetShop("acme", "https://acme.example", "spark", "a key")
    Traceback (most recent call last):
    ...
    ValueError: shop 'acme': key is env:NAME or file:PATH, which says where it is found; no key is to be in the file
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
                raise ValueError(f"shop {self.name!r}: {name} is a text, and there must be one")
        for name, reference in (("key", self.key), ("basic_auth", self.basic_auth)):
            if reference is not None and not _is_reference(reference):
                raise ValueError(
                    f"shop {self.name!r}: {name} is env:NAME or file:PATH, which says where it is found; no key is to "
                    "be in the file"
                )
        if "@" in urlsplit(self.url).netloc:
            raise ValueError(f"shop {self.name!r}: the url holds a user or a password; use basic_auth")
        for name, least, most in (("parallel", 1, MOST_AT_ONCE), ("nice", 0.0, MOST_NICE)):
            number: object = getattr(self, name)
            if not isinstance(number, int | type(least)) or isinstance(number, bool) or not least <= number <= most:
                raise ValueError(f"shop {self.name!r}: {name} is a number from {least} to {most}, not {number!r}")

    def connect(self, wait: float = 0.0) -> Pager:
        """Look up the credentials, fetch the WSDL and log in.

        Args:
            wait: seconds to keep trying, where a failure may pass.

        Raises:
            ValueError: there is nothing where a reference leads.
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
    """The shops in a file: a JSON list of objects with the fields of `FleetShop`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such list, or names a shop twice.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError:
        content = None  # its words would show a part of the file
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise ValueError(f"{path} is no JSON list of objects, one for each shop")
    shops = tuple(map(_shop, content))
    names = [one.name for one in shops]
    if twice := next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None:
        raise ValueError(f"{path} names the shop {twice!r} twice")
    return shops


def resolve(reference: str) -> str:
    """What a reference leads to, here and now.

    Raises:
        ValueError: nothing is there.

    >>> resolve("env:PATH") == os.environ["PATH"]
    True
    >>> resolve("file:/nowhere")
    Traceback (most recent call last):
    ...
    ValueError: file:/nowhere leads to nothing on this machine; a reference is looked up where the shop is called
    """
    scheme, _, place = reference.partition(":")
    try:
        found = os.environ.get(place, "") if scheme == "env" else read_key(Path(place))
    except (OSError, ValueError):  # not there, or no text
        found = ""
    if not found:
        raise ValueError(
            f"{reference} leads to nothing on this machine; a reference is looked up where the shop is called"
        )
    return found


def _is_reference(text: object) -> bool:
    return isinstance(text, str) and text.startswith(SCHEMES)


def _shop(content: dict[str, Any]) -> FleetShop:
    known = [one.name for one in fields(FleetShop)]
    name = content.get("name")
    if unknown := sorted(content.keys() - set(known)):
        raise ValueError(f"shop {name!r} has no field {unknown[0]!r}; the fields are {', '.join(known)}")
    if missing := [one for one in known[:4] if one not in content]:
        raise ValueError(f"shop {name!r} lacks the field {missing[0]!r}")
    return FleetShop(**content | {"allow_hosts": tuple(content.get("allow_hosts", ()))})
