"""The built documentation and the README: every link leads somewhere, and nothing is loaded from another host."""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import missing

import magento_pager
import magento_pager.fake

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLISHED = PROJECT["urls"]["Documentation"]
ELSEWHERE = {"https://github.com/Shopify/shopify_transporter", "https://pypi.org/project/magento1-client/"}
"""What the README links to outside of this project."""


@dataclass
class Page(HTMLParser):
    """What a page holds.

    Attributes:
        loaded: addresses of what it loads by itself; links that wait for a click do not count.
        links: addresses of its links.
        ids: the anchors in it.
        tags: how often each element occurs.
    """

    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is, loads, links to and is called."""
        given = dict(attrs)
        self.tags.append(tag)
        self.ids.add(given.get("id") or "")
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif (address := given.get("href" if tag == "link" else "src")) and given.get("rel") != "canonical":
            self.loaded.append(address)


def parsed(html: str) -> Page:
    """Return what a page holds."""
    page = Page()
    page.feed(html)
    return page


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built pages, built once for all processes of a run."""
    if importlib.util.find_spec("mkdocs") is None:
        missing("the extra docs is not installed")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    with (folder.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            build(folder)
    return folder


def build(folder: Path) -> None:
    """Build the pages into a folder, or fail with what mkdocs says."""
    unfinished = folder.with_suffix(".unfinished")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    ended = subprocess.run(  # noqa: S603  our own command
        [*command, "--site-dir", str(unfinished)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    unfinished.rename(folder)


def test_the_pages_build_without_a_warning(site: Path) -> None:
    """Every link leads somewhere, every page is in the navigation, every name in a docstring is one."""
    built = {page.relative_to(site).with_suffix(".md") for page in site.rglob("*.html")}
    assert built >= {page.relative_to(DOCS) for page in DOCS.rglob("*.md")}


def test_the_pages_load_nothing_from_another_host(site: Path) -> None:
    """The documentation can be read without a network."""
    for path in site.rglob("*.html"):
        loaded = parsed(path.read_text(encoding="utf-8")).loaded
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], path


def test_examples_in_docstrings_are_shown_as_code(site: Path) -> None:
    """A doctest is not a quotation, which is what Markdown takes it for."""
    built = (site / "reference/api.html").read_text(encoding="utf-8")
    assert '<span class="gp">' in built, "no prompt is coloured as one"
    assert "<blockquote>" not in built


@cache
def readme() -> Page:
    """Return what PyPI makes of the README."""
    if importlib.util.find_spec("readme_renderer") is None:
        missing("the extra docs is not installed")
    warnings = io.StringIO()
    html = importlib.import_module("readme_renderer.markdown").render(README, stream=warnings)
    assert html is not None
    assert warnings.getvalue() == ""
    return parsed(html)


def test_pypi_renders_the_readme_as_it_is_meant() -> None:
    """Each table has the rows that are written, and what follows a table is a paragraph."""
    tags = readme().tags
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    assert tags.count("table") == len(tables) == 2
    assert tags.count("tr") == sum(table.count("\n") - 1 for table in tables)
    after_tables = [README.partition(table)[2] for table in tables]
    assert all(rest.startswith("\n") for rest in after_tables), "a line right after a table is taken for a row"
    assert tags.count("h2") == len(re.findall(r"^## ", README, re.MULTILINE))
    assert tags.count("img") == 1
    assert tags.count("pre") == README.count("```") / 2


def test_the_readme_is_short() -> None:
    """A reader who found the project today reads all of it."""
    assert README.count("\n") <= 130


def test_every_link_of_the_readme_leads_to_a_page_of_the_documentation(site: Path) -> None:
    """PyPI shows no files of the repository: links are absolute, with one base, and what they lead to exists."""
    for address in [*readme().links, *readme().loaded]:
        if address in ELSEWHERE or address.startswith("#user-content-"):  # a heading's link to itself
            continue
        page, _, anchor = address.removeprefix(PUBLISHED).partition("#")
        assert address.startswith(PUBLISHED), address
        target = site / (page or "index.html")
        assert target.is_file(), f"{address}: the documentation has no {page}"
        if anchor:
            assert anchor in parsed(target.read_text(encoding="utf-8")).ids, f"{address}: {page} has no such anchor"


def test_the_documentation_has_one_address() -> None:
    """The package's metadata, the site's own links and the README agree."""
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert re.findall(r"^site_url: (\S+)", config, re.MULTILINE) == [PUBLISHED]


@pytest.mark.parametrize(
    ("term", "page"),
    [
        ("pagination", "how-to/recipes.html"),
        ("async", "how-to/recipes.html"),
        ("Docker", "how-to/recipes.html"),
        ("cron", "how-to/recipes.html"),
        ("Airflow", "how-to/recipes.html"),
        ("Allowed memory size", "faq.html"),
        ("out of memory", "faq.html"),
        ("Access denied", "faq.html"),
        ("Session expired", "faq.html"),
        ("rate limit", "faq.html"),
        ("timeout", "faq.html"),
        ("incremental sync", "how-to/incremental-sync.html"),
        ("canary", "reference/glossary.html"),
    ],
)
def test_a_search_finds_the_page_that_answers(site: Path, term: str, page: str) -> None:
    """What a user of Magento's API would type is in the search index, in the title or the text of that page."""
    entries = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
    found = [entry["location"] for entry in entries if term.lower() in f"{entry['title']} {entry['text']}".lower()]
    assert page in {location.partition("#")[0] for location in found}


def test_no_marker_of_a_tool_is_on_a_page(site: Path) -> None:
    """What stands for an empty line in a doctest, or for no value in click, means nothing to a reader."""
    for path in site.rglob("*.html"):
        assert not re.findall(r"BLANKLINE|Sentinel\.UNSET", path.read_text(encoding="utf-8")), path


def signatures(site: Path) -> list[str]:
    """Return the signatures of the pages on the library and on the embedded shop, as text."""
    pages = [(site / f"reference/{name}.html").read_text(encoding="utf-8") for name in ("api", "embedded-shop")]
    blocks = [block for page in pages for block in re.findall(r'<div class="doc-signature.*?</div>', page, re.DOTALL)]
    return [unescape(re.sub(r"<[^>]+>", "", block)).strip() for block in blocks]


def test_a_long_signature_has_a_line_for_each_parameter(site: Path) -> None:
    """A signature of several parameters that does not fit on a phone's line is split at each of them."""
    split = [text for text in signatures(site) if re.match(r"\w+\(\n", text)]
    assert len(split) > 50
    for text in split:
        arguments = ast.parse(f"def {text}: ...").body[0].args  # type: ignore[attr-defined]
        names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        for name in names:
            assert re.search(rf"^    {name}(:|=|,| )", text, re.MULTILINE), text
    assert not [
        text for text in signatures(site) if "(" in text.partition("\n")[0] and len(text.partition("\n")[0]) > 60
    ]


def test_no_section_of_the_navigation_is_long() -> None:
    """A reader sees all of a section at once: at most ten entries, and their titles are those of the pages."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = re.findall(r"^( *)- (.*)$", text[text.index("\nnav:") :], re.MULTILINE)
    sections = [title.removesuffix(":") for indent, title in navigation if len(indent) == len("  ")]
    pages = [title for indent, title in navigation if len(indent) > len("  ")]
    assert 3 < len(sections) <= 10
    assert len(pages) == len(set(pages))
    assert all(page.endswith(".md") for page in pages), "an entry has the title of its page"
    lengths = [part.count(".md") for part in re.split(r"^  - .*:$", text[text.index("\nnav:") :], flags=re.MULTILINE)]
    assert max(lengths) <= 10


@pytest.mark.parametrize(
    ("module", "page"), [(magento_pager, "reference/api.html"), (magento_pager.fake, "reference/embedded-shop.html")]
)
def test_every_public_name_has_an_example(site: Path, module: ModuleType, page: str) -> None:
    """The entry of each name shows how it is used."""
    html = re.sub(r'<div class="doc-signature.*?</div>', "", (site / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    entries = re.split(r'<h[23] id="', html)
    shown = {entry.partition('"')[0] for entry in entries if re.search(r'class="(language-\w+ )?highlight"', entry)}
    without = {name for name in module.__all__ if f"{module.__name__}.{name}" not in shown}
    assert without <= {"MariaDatabase"}, "an example of that would need a server"
