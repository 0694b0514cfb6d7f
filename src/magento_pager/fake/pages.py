"""The HTML pages of the shop, sent for wrong addresses and during outages. The texts are our own."""

from __future__ import annotations

from string import Template

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>$title</title></head>
<body>
<h1>$title</h1>
<p>$text</p>
</body>
</html>
""")


def page(title: str, text: str) -> bytes:
    """Return an HTML page.

    >>> b"<h1>Nothing here</h1>" in page("Nothing here", "Try the front page.")
    True
    """
    return _PAGE.substitute(title=title, text=text).encode()


STOREFRONT = page("Embedded shop", "This is where customers would buy. The API is at /index.php/api/v2_soap/.")
NOT_FOUND = page("404 Not Found", "The shop has no such page.")
MAINTENANCE = page("503 Service Unavailable", "The shop is down for maintenance.")
DATABASE_DOWN = page("503 Service Unavailable", "There was an error while the request was processed.")
FORBIDDEN = page("403 Forbidden", "A firewall in front of the shop refused the request.")
MOVED = page("302 Found", "The shop is elsewhere.")
TOO_LARGE = page("413 Request Entity Too Large", "The request is larger than the web server allows.")
