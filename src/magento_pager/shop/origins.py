"""Origins: the scheme, host and port of an address, to which secrets are bound.

What lives here: which addresses belong to one shop, which further hosts a user allows, where a key must not be sent,
and how an address is shown. Nothing is sent from here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from magento_pager.errors import option
from magento_pager.shop.redacting import redacted

DEFAULT_PORTS = {"http": 80, "https": 443}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Origin(NamedTuple):
    """The target of a connection.

    Attributes:
        scheme: "http" or "https".
        host: in lower case, in ASCII, without a final dot; an IPv6 address in its short form.
        port: the default one included.
    """

    scheme: str
    host: str
    port: int

    @property
    def place(self) -> str:
        """The host, with the port unless it is the scheme's default; as `--allow-host` takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"

    def covers(self, other: Origin) -> bool:
        """Return True if the other is the same, or the same host over https instead of http, on default ports.

        >>> shop = origin("http://shop.example")
        >>> shop.covers(origin("https://SHOP.example.:443/api")), shop.covers(origin("http://shop.example:8080"))
        (True, False)
        >>> origin("https://shop.example").covers(shop)
        False
        """
        return other == self or (self, other) == (("http", self.host, 80), ("https", self.host, 443))


def origin(url: str) -> Origin:
    """Return the origin to which requests would connect for an address.

    It is taken from the URL that requests prepares, so that both always read an address in the same way.

    Raises:
        ValueError: it is not an address of http or https.

    >>> origin("HTTPS://me:pw@B\u00fccher.example./a"), origin("http://[0::1]:8080")
    (Origin(scheme='https', host='xn--bcher-kva.example', port=443), Origin(scheme='http', host='::1', port=8080))
    """
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
    except requests.exceptions.RequestException as error:  # some are not ValueErrors, and all are OSErrors
        raise ValueError(f"the address cannot be used: {redacted(str(error))}") from None
    parts = urlsplit(str(request.url))
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"an address must begin with http:// or https://, not {parts.scheme!r}")
    host = parts.hostname.removesuffix(".")
    if ":" in host:
        host = str(ip_address(host))
    return Origin(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port)


def canonical_url(url: str) -> str:
    r"""Return a shop's address in canonical form: no blanks around it, the host as `Origin` has it, no default port.

    Raises:
        ValueError: it is not an address of http or https, or contains a password.

    >>> canonical_url(" HTTPS://B\u00fccher.example.:443/index.php \n"), canonical_url("http://[0::1]:8080?a=b#c")
    ('https://xn--bcher-kva.example/index.php', 'http://[::1]:8080?a=b')
    """
    url = url.strip()
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(
            f"a shop's address must begin with http:// or https:// and name a host, not {redacted(url)!r}"
            + (f". Did you mean https://{url}?" if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", url) else "")
        )
    if parts.username is not None:
        raise ValueError(
            "an address must not contain a password. Pass the web server's user and password with --basic-auth"
        )
    target = origin(url)
    return parts._replace(scheme=target.scheme, netloc=target.place, fragment="").geturl()


def allowed_host(text: str) -> tuple[str, int | None]:
    """Return the host and the port that a user allows; None for any port.

    Raises:
        ValueError: it is neither HOST nor HOST:PORT.

    >>> allowed_host("API.shop.example"), allowed_host("api.shop.example:8443"), allowed_host("[::1]:8443")
    (('api.shop.example', None), ('api.shop.example', 8443), ('::1', 8443))
    """
    if form := re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^][:/?#@\\\s]+)(:[0-9]+)?", text):
        with suppress(ValueError):
            allowed = origin(f"https://{text}")
            return allowed.host, allowed.port if form[2] else None
    raise ValueError(
        f"an allowed host must be HOST or HOST:PORT, such as api.shop.example or api.shop.example:8443, not {text!r}"
    )


def check_secrecy(url: str, *, insecure_http: bool = False) -> None:
    """Refuse to send a key unencrypted.

    Raises:
        ValueError: the address is plain http to a host that is not this machine.

    >>> check_secrecy("http://localhost:8080/api/v2_soap/")
    >>> check_secrecy("http://shop.example/api/v2_soap/")
    Traceback (most recent call last):
    ...
    ValueError: http://shop.example/api/v2_soap/ is plain http: anyone on the way could read the API key. Use \
https, or allow http with insecure_http=True (--insecure-http)
    """
    target = origin(url)
    if target.scheme == "http" and not insecure_http and target.host not in LOOPBACK:
        raise ValueError(
            f"{redacted_url(url)} is plain http: anyone on the way could read the API key. Use https, or allow http "
            f"with {option('insecure-http')}"
        )


def redacted_url(url: str) -> str:
    """Return an address for messages: without user, password and query.

    >>> redacted_url("https://me:secret@shop.example:8443/api/v2_soap/?wsdl=1")
    'https://shop.example:8443/api/v2_soap/'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
