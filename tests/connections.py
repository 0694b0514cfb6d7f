"""Helpers for the tests of a connection: an embedded shop, and servers that send prepared replies."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from wsdls import Flavour, wsdl

from magento_pager.shop.connection import Connection
from magento_pager.shop.transport import HttpOptions
from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    import responses

    from magento_pager.fake import Shop

URL = "http://127.0.0.1/api/v2_soap/"
FLAVOURS: list[Flavour] = ["rpc", "wsi"]
UP_TO_400 = [Condition("entity_id", "lteq", "400")]
ALL_IDS = [Condition("entity_id", "gteq", "0")]
KEY, SESSION, NEXT_SESSION = "s3same-key", "feedfacefeedfacefeedfacefeedface", "cafebabecafebabecafebabecafebabe"
HASH = "5f4dcc3b5aa765d61d8327deb882cf99:sA"
SHORT_TIMEOUT = HttpOptions(timeout=1)


def connection_to(shop: Shop, **options: Any) -> closing[Connection]:
    """Return a connection to the embedded shop, closed at the end of a with statement."""
    return closing(Connection(shop.url, shop.user, shop.key, HttpOptions(**options)))


def operations(shop: Shop) -> list[str]:
    """Return the operations that the shop answered, in order."""
    return [call.operation for call in shop.log]


def envelope(body: str) -> bytes:
    """Return a SOAP reply with this body."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
      <e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:n="urn:Magento"><e:Body>{body}</e:Body>
      </e:Envelope>""".encode()


def fault(code: str, text: str) -> bytes:
    """Return a SOAP fault."""
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></e:Fault>")


def login_reply(flavour: Flavour, session: str = SESSION) -> bytes:
    """Return the reply to a login."""
    if flavour == "rpc":
        return envelope(f"<n:loginResponse><loginReturn>{session}</loginReturn></n:loginResponse>")
    return envelope(f"<n:loginResponseParam><result>{session}</result></n:loginResponseParam>")


def scripted_connection(
    web: responses.RequestsMock, flavour: Flavour, *replies: bytes | tuple[int, bytes]
) -> Connection:
    """Return a connection to a server that sends these replies in turn, and then the last one again and again."""
    web.get(URL, body=wsdl(flavour))
    for reply in replies:
        status, body = (200, reply) if isinstance(reply, bytes) else reply
        web.post(URL, body=body, status=status)
    return Connection(f"{URL}?wsdl=1", "me", KEY)


def sent_bodies(web: responses.RequestsMock) -> list[bytes]:
    """Return the bodies of the calls that were made."""
    return [call.request.body for call in web.calls if isinstance(call.request.body, bytes)]
