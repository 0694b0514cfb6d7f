"""Look at the built pages in a browser: `python -m docs._browser SITE PICTURES`, from the checkout's root.

It opens every page of the folder SITE at the width of a desktop and of a phone, in light and dark, writes a picture of
each to the folder PICTURES, and prints what is wrong: something wider than the screen, a request to another host, an
error of a script, a copy button that copies more than the commands, a search that finds nothing. The exit status is 1
if there is any.

It is not part of the tests, because it needs a browser: Debian's `chromium`, and `pip install playwright`.
"""

# ruff: noqa: INP001, T201  docs are not a package; a script prints

from __future__ import annotations

import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BROWSER = "/usr/bin/chromium"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDTHS = {"desktop": 1280, "phone": 390}
SCHEMES = ("light", "dark")
LONGEST = 9_000  # pixels of a page in its picture
TERMS = ("pagination", "async", "Docker", "Allowed memory size", "Access denied", "out of memory", "--nice")
COPIED = {
    "tutorial.html": "magento-pager dump orders --demo --window 100 --out orders.ndjson --report report.json",
    "explanation/regexps.html": "magento-pager regexp 12345 12444 --explain",
}
"""A text that a copy button of this page copies: without a prompt and without output."""

TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => {
    for (let parent = element.parentElement; parent; parent = parent.parentElement)
      if (getComputedStyle(parent).overflowX !== "visible" && parent.getBoundingClientRect().right <= width + 1)
        return true;
    return false;
  };
  return [...document.querySelectorAll(".md-content *")]
    .filter((element) => element.getBoundingClientRect().right > width + 1 && !scrolls(element))
    .map((element) => element.tagName + ": " + element.textContent.slice(0, 60));
}"""
"""A function for the page: the elements that are cut off at the right."""


class Quiet(SimpleHTTPRequestHandler):
    """A web server of a folder that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Do nothing."""


def looks(browser: Any, address: str, site: Path, pictures: Path) -> Iterator[str]:
    """Take the pictures of every page, and yield what is wrong."""
    for device, width in WIDTHS.items():
        for scheme in SCHEMES:
            page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
            errors: list[str] = []
            page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            page.on(
                "request",
                lambda request, errors=errors: (
                    request.url.startswith((address, "data:", "blob:")) or errors.append(request.url)
                ),
            )
            for path in sorted(site.rglob("*.html")):
                name = str(path.relative_to(site))
                page.goto(f"{address}/{name}")
                page.wait_for_timeout(150)
                height = min(page.evaluate("document.documentElement.scrollHeight"), LONGEST)
                picture = pictures / f"{name.removesuffix('.html').replace('/', '_')}-{device}-{scheme}.png"
                clip = {"x": 0, "y": 0, "width": width, "height": height}
                page.screenshot(path=picture, full_page=True, clip=clip)
                yield from (f"{name}, {device}, {scheme}: {text}" for text in (*page.evaluate(TOO_WIDE), *errors))
                errors.clear()


def copies(browser: Any, address: str) -> Iterator[str]:
    """Press copy buttons, and yield what is wrong."""
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    for name, expected in COPIED.items():
        page.goto(f"{address}/{name}")
        page.wait_for_timeout(500)
        texts = []
        for button in page.locator("button[data-md-type=copy], .md-clipboard").all():
            button.click(force=True)
            page.wait_for_timeout(50)
            texts.append(page.evaluate("navigator.clipboard.readText()"))
        if expected not in texts:
            yield f"{name}: no button copies {expected!r}"


def searches(browser: Any, address: str) -> Iterator[str]:
    """Type terms into the search, and yield those that find nothing."""
    page = browser.new_context().new_page()
    page.goto(f"{address}/index.html")
    field = page.locator(".md-search__input")
    field.click()
    page.wait_for_timeout(1500)  # the index is loaded
    for term in TERMS:
        field.fill("")
        field.type(term)
        page.wait_for_timeout(700)
        if not page.locator(".md-search-result__link").count():
            yield f"a search for {term!r} finds nothing"


def main(site: str, pictures: str) -> int:
    """Look at the pages of a folder, and return the exit status."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    Path(pictures).mkdir(parents=True, exist_ok=True)
    wrong = 0
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        parts = (
            looks(browser, address, Path(site), Path(pictures)),
            copies(browser, address),
            searches(browser, address),
        )
        for line in (line for part in parts for line in part):
            print(line)
            wrong += 1
        browser.close()
    server.shutdown()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
