"""A digest of new orders as an e-mail, written to a file: what a small shop wants at breakfast.

New orders are those above the highest id of the last digest, so nothing is missed at midnight or when clocks change.
The message is put into `digest.eml`; to send it, hand it to `smtplib`.
"""

from __future__ import annotations

from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage, Message
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import magento_pager
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEN, DIGEST = Path("seen"), Path("digest.eml")
MOST = 20  # orders that are listed one by one


def digest(orders: Sequence[dict[str, Any]]) -> EmailMessage:
    """Return the message about some orders: a line for each, as text and as HTML."""
    total = sum((order["base_grand_total"] or Decimal(0) for order in orders), Decimal(0))
    message = EmailMessage()
    message["Subject"] = f"{len(orders)} new orders, {total:,.2f} in all"
    message["From"], message["To"] = "shop@shop.example", "office@shop.example"
    lines = [
        (
            f"#{order['increment_id']}",
            f"{order['created_at']:%d %b %H:%M} UTC",
            f"{order.get('customer_firstname', '')} {order.get('customer_lastname', '')}".strip(),
            f"{len(order.get('items', ()))} items",
            f"{order['base_grand_total']:,.2f} {order['base_currency_code']}",
        )
        for order in orders[:MOST]
    ]
    more = f"and {len(orders) - MOST} more" if len(orders) > MOST else ""
    message.set_content("\n".join(["  ".join(line) for line in lines] + [more]))
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    message.add_alternative(f"<table>{rows}</table><p>{more}</p>", subtype="html")
    return message


def new_orders(shop: Shop) -> list[dict[str, Any]]:
    """Return the orders above the highest id of the last time, in full."""
    last = int(SEEN.read_text()) if SEEN.exists() else -1
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        return list(pager.orders(first=last + 1, details=True, typed=True))


def first_line(message: Message) -> str:
    """How the text of a message begins."""
    text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    return str(text.get_payload()).partition("  ")[0]


def main() -> None:
    """Two mornings."""
    with Shop(orders=25) as shop:
        for _ in range(2):
            orders = new_orders(shop)
            DIGEST.write_bytes(digest(orders).as_bytes())
            SEEN.write_text(str(max(order["order_id"] for order in orders)))  # once the message is safe
            message = message_from_bytes(DIGEST.read_bytes())
            print(message["Subject"].partition(",")[0], "|", first_line(message))
            shop.database.insert("orders", {"customer_firstname": "Ada <3", "grand_total": "120.5"})


if __name__ == "__main__":
    main()
