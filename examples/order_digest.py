"""Write an e-mail with the new orders of a shop to a file.

New orders are those with an id above the highest id of the last digest, so no order is missed at midnight or when the
clocks change. The message is written to `digest.eml`; to send it, use `smtplib`.
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

LAST_ID, DIGEST = Path("last_id"), Path("digest.eml")
MAX_LINES = 20  # for more orders, the digest has only their number


def digest(orders: Sequence[dict[str, Any]]) -> EmailMessage:
    """Return the message: a line for each order, as text and as HTML."""
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
        for order in orders[:MAX_LINES]
    ]
    more = f"and {len(orders) - MAX_LINES} more" if len(orders) > MAX_LINES else ""
    message.set_content("\n".join(["  ".join(line) for line in lines] + [more]))
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    message.add_alternative(f"<table>{rows}</table><p>{more}</p>", subtype="html")
    return message


def new_orders(shop: Shop) -> list[dict[str, Any]]:
    """Return the orders above the highest id of the last digest, with their details."""
    last = int(LAST_ID.read_text()) if LAST_ID.exists() else -1
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        return list(pager.orders(first=last + 1, details=True, typed=True))


def first_line(message: Message) -> str:
    """Return the beginning of the text of a message."""
    text = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    return str(text.get_payload()).partition("  ")[0]


def main() -> None:
    """Write the digest twice, with a new order in between."""
    with Shop(orders=25) as shop:
        for _ in range(2):
            orders = new_orders(shop)
            DIGEST.write_bytes(digest(orders).as_bytes())
            LAST_ID.write_text(str(max(order["order_id"] for order in orders)))  # only after the message is written
            message = message_from_bytes(DIGEST.read_bytes())
            print(message["Subject"].partition(",")[0], "|", first_line(message))
            shop.database.insert("orders", {"customer_firstname": "Ada <3", "grand_total": "120.5"})


if __name__ == "__main__":
    main()
