"""The errors of the embedded shop.

Two exceptions, raised by the filters and the database, that the server turns into HTTP replies. They have codes and
texts, and know nothing of SOAP.
"""

from __future__ import annotations

SQL_ERROR = "1"
"""The fault code of a database error that the API does not catch: the text is the exception's, SQL included."""


class ShopFault(Exception):  # noqa: N818 -- "fault" is what SOAP calls it
    """A fault that is sent to the client.

    Args:
        code: the text of `faultcode`: a bare number as Magento sends it, or `SOAP-ENV:Server` and the like from PHP.
        text: the text of `faultstring`.
        status: the HTTP status: 200 for numbered faults, 500 for those of PHP itself.

    >>> str(ShopFault("5", "Session expired. Try to relogin."))
    'fault 5: Session expired. Try to relogin.'
    """

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(f"fault {code}: {text}")
        self.code = code
        self.text = text
        self.status = status


def same_id(order: object) -> ShopFault:
    """Return the fault of a list with an order twice: a collection refuses a second row with the same id."""
    return ShopFault("1", f'Item (Mage_Sales_Model_Order) with the same id "{order}" already exist')


class PhpFatal(Exception):  # noqa: N818 -- "fatal" is what PHP calls it
    """PHP died, and the reply is not SOAP.

    Args:
        reason: what PHP would write to its own log; not sent to the client.
        status: the HTTP status.
        body: of the reply, usually empty; an HTML page if Magento printed its error report.

    >>> PhpFatal("Call to a member function getBackend() on a non-object").status
    500
    """

    def __init__(self, reason: str, status: int = 500, body: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.body = body
