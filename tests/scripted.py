"""What the tests of a connection share: an embedded shop, and servers that answer as told."""

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
SOME = [Condition("entity_id", "lteq", "400")]
ALL = [Condition("entity_id", "gteq", "0")]
KEY, SESSION, NEXT_SESSION = "s3same-key", "feedfacefeedfacefeedfacefeedface", "cafebabecafebabecafebabecafebabe"
HASH = "5f4dcc3b5aa765d61d8327deb882cf99:sA"
QUICK = HttpOptions(timeout=1)


def connection_to(shop: Shop, **options: Any) -> closing[Connection]:
    """A connection to the embedded shop; closed at the end of a with statement."""
    return closing(Connection(shop.url, shop.user, shop.key, HttpOptions(**options)))


def operations(shop: Shop) -> list[str]:
    """The calls that the shop answered, in order."""
    return [call.operation for call in shop.log]


def envelope(body: str) -> bytes:
    """A reply."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
      <e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:n="urn:Magento"><e:Body>{body}</e:Body>
      </e:Envelope>""".encode()


def fault(code: str, text: str) -> bytes:
    """A fault."""
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></e:Fault>")


def logged_in(flavour: Flavour, session: str = SESSION) -> bytes:
    """The answer to a login."""
    if flavour == "rpc":
        return envelope(f"<n:loginResponse><loginReturn>{session}</loginReturn></n:loginResponse>")
    return envelope(f"<n:loginResponseParam><result>{session}</result></n:loginResponseParam>")


def scripted(web: responses.RequestsMock, flavour: Flavour, *answers: bytes | tuple[int, bytes]) -> Connection:
    """A connection to a server that answers these in turn, and the last one ever after."""
    web.get(URL, body=wsdl(flavour))
    for answer in answers:
        status, body = (200, answer) if isinstance(answer, bytes) else answer
        web.post(URL, body=body, status=status)
    return Connection(f"{URL}?wsdl=1", "me", KEY)


def sent(web: responses.RequestsMock) -> list[bytes]:
    """The bodies of the calls that were made."""
    return [call.request.body for call in web.calls if isinstance(call.request.body, bytes)]
