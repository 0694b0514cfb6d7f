"""The diagrams of these pages: `python -m docs._diagrams`, from the checkout's root, writes them to `docs/diagrams`.

They are SVG in the colour of the text around them, so they can be read in light and dark. Pages include them as they
are. A test fails where a file is not what this would write.
"""

# ruff: noqa: INP001  docs are not a package

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "diagrams"
WIDTH = 440  # of each diagram, in units that are about a pixel: a phone shows the text at four fifths of its size
LINE = 17  # units from one line of text to the next
HEAD = 5  # half of the width of an arrow's head

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines of text.

    Attributes:
        x, y: its upper left corner.
        width: its width; its height follows from the lines.
        title: its first line, in bold.
        lines: the lines below the title.
        dashed: draw the border as a dashed line.
    """

    x: float
    y: float
    width: float
    title: str
    lines: tuple[str, ...] = ()
    dashed: bool = False

    @property
    def height(self) -> float:
        """Its height."""
        return LINE * (1 + len(self.lines)) + 16

    @property
    def top(self) -> Point:
        """The middle of the upper border."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        """The middle of the lower border."""
        return self.x + self.width / 2, self.y + self.height

    def svg(self) -> str:
        """Return the box as SVG."""
        dashes = ' stroke-dasharray="5 4"' if self.dashed else ""
        middle = self.x + self.width / 2
        texts = [text(middle, self.y + 21, self.title, 'font-weight="bold"')]
        texts += [text(middle, self.y + 21 + LINE * (1 + number), line) for number, line in enumerate(self.lines)]
        place = f'x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}"'
        return (
            f'<rect {place} rx="4" fill="currentColor" fill-opacity="0.06" stroke="currentColor"{dashes}/>'
            + "".join(texts)
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line with a head at its end.

    Attributes:
        points: its corners.
        label: a text next to it.
        at: where the text begins; None for the right of its first part.
    """

    points: tuple[Point, ...]
    label: str = ""
    at: Point | None = None

    def svg(self) -> str:
        """Return the arrow as SVG."""
        (x, y), (end_x, end_y) = self.points[-2:]
        length = abs(end_x - x) + abs(end_y - y)  # the last part is horizontal or vertical
        step_x, step_y = (end_x - x) / length, (end_y - y) / length
        back_x, back_y = end_x - 2 * HEAD * step_x, end_y - 2 * HEAD * step_y
        head = [(end_x, end_y), (back_x - HEAD * step_y, back_y + HEAD * step_x)]
        head += [(back_x + HEAD * step_y, back_y - HEAD * step_x)]
        line = [*self.points[:-1], (back_x, back_y)]
        drawn = f'<polyline points="{coordinates(line)}" fill="none" stroke="currentColor"/>'
        drawn += f'<polygon points="{coordinates(head)}" fill="currentColor"/>'
        if self.label:
            (first_x, first_y), (_, second_y) = self.points[:2]
            place = self.at or (first_x + 10, (first_y + second_y) / 2 + 4)
            drawn += text(*place, self.label, 'text-anchor="start" font-style="italic"')
        return drawn


def coordinates(points: list[Point]) -> str:
    """Return points as SVG writes them.

    >>> coordinates([(1, 2), (3.5, 4)])
    '1,2 3.5,4'
    """
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Return a line of text.

    >>> text(10, 20, "a < b")
    '<text x="10" y="20">a &lt; b</text>'
    """
    return f'<text x="{x:g}" y="{y:g}"{" " * bool(attributes)}{attributes}>{escape(words)}</text>'


def down(upper: Box, lower: Box, label: str = "") -> Arrow:
    """Return an arrow from a box straight down to another."""
    x = min(max(lower.top[0], upper.x + 10), upper.x + upper.width - 10)
    return Arrow(((x, upper.bottom[1]), (x, lower.y)), label)


def drawing(title: str, *parts: Box | Arrow) -> str:
    """Return a diagram as SVG, a line for each part."""
    height = max(part.bottom[1] for part in parts if isinstance(part, Box)) + 4
    style = 'font-size="13" font-family="sans-serif" text-anchor="middle" fill="currentColor"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" {style}>',
        f"<title>{escape(title)}</title>",
        *(part.svg() for part in parts),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def data() -> str:
    """Return the way of the data, from the shop to files and programs."""
    shop = Box(60, 4, 320, "Magento 1.x or OpenMage shop", ("SOAP or XML-RPC API, no pagination",))
    pager = Box(60, 128, 320, "magento_pager", ("tests the filters, checks every row,", "delivers each row once"))
    python = Box(4, 258, 132, "Python", ("rows as dicts,", "pages, Arrow"))
    files = Box(154, 258, 132, "Files", ("NDJSON, CSV,", "Parquet, SQLite"))
    spark = Box(304, 258, 132, "Apache Spark", ("data source,", "many shops"))
    report = Box(114, 382, 212, "Report and checkpoint", ("what is complete, what is left",))
    return drawing(
        "The shop is asked for windows of ids, its rows are checked and go to Python, files or Spark",
        shop,
        Arrow(((150, pager.y), (150, shop.bottom[1])), "window 2000-2999", (24, 96)),
        Arrow(((250, shop.bottom[1]), (250, pager.y)), "all rows of the window", (260, 96)),
        pager,
        down(pager, python),
        down(pager, files),
        down(pager, spark),
        python,
        files,
        spark,
        down(files, report),
        report,
    )


def walk() -> str:
    """Return the steps of a walk."""
    ranges = Box(82, 4, 236, "Ranges of ids to cover", ("at first 0 to 4,294,967,295",))
    sample = Box(82, 96, 236, "Sample a wide range", ("how far away are the next rows?",))
    request = Box(82, 188, 236, "Request one window", ("with filters the shop honours",))
    check = Box(82, 280, 236, "Check the reply", ("every row is in the window,", "the known row is there"))
    page = Box(82, 389, 236, "Deliver the page", ("rows, in order of id, and a cursor",))
    decide = Box(336, 280, 100, "Decide", ("retry, split,", "skip a row,", "or stop"))
    complete = Box(336, 389, 100, "Complete", ("no range", "is left"))
    left = 58
    return drawing(
        "A walk takes a range, requests a window of it, checks and delivers its rows, until no range is left",
        ranges,
        down(ranges, sample, "take the first"),
        sample,
        down(sample, request),
        request,
        down(request, check, "reply"),
        check,
        down(check, page, "correct"),
        page,
        Arrow(((82, page.y + 25), (left, page.y + 25), (left, 29), (82, 29)), "the rest", (2, 250)),
        Arrow(((318, 213), (350, 213), (350, decide.y)), "failure", (356, 234)),
        Arrow(((318, 306), (336, 306))),
        decide,
        Arrow(((416, decide.y), (416, 29), (318, 29)), "the parts", (348, 60)),
        Arrow(((318, page.y + 25), (336, page.y + 25))),
        complete,
    )


def architecture() -> str:
    """Return the packages and which imports which."""
    cli = Box(4, 4, 208, "cli/", ("the commands",))
    spark = Box(228, 4, 208, "spark/", ("a data source for Spark",))
    facade = Box(4, 96, 432, "pager.py, examination.py", ("connect() and the lists of a shop; doctor()",))
    shop = Box(4, 188, 136, "shop/", ("SOAP, XML-RPC,", "login, decoding"))
    export = Box(152, 188, 136, "export/", ("files, checkpoints,", "report"))
    services = Box(300, 188, 136, "services/", ("lists of other", "SOAP services"))
    walks = Box(
        4, 297, 432, "walk/", ("which windows to request, and when it is enough:", "no network, no files, no clock")
    )
    foundation = Box(4, 406, 432, "errors.py, lists.py", ("the errors; one table that describes the six lists",))
    fake = Box(4, 484, 432, "fake/", ("the demo shop: shares no code with what it tests",), dashed=True)
    return drawing(
        "The packages in layers: cli and spark, the façade, shop, export and services, walk, errors and lists",
        *(cli, spark, facade, shop, export, services, walks, foundation, fake),
        Arrow(((108, cli.bottom[1]), (108, facade.y)), "imports"),
        Arrow(((332, spark.bottom[1]), (332, facade.y))),
        *(down(facade, lower) for lower in (shop, export)),
        *(Arrow((upper.bottom, (upper.bottom[0], walks.y))) for upper in (shop, export, services)),
        down(walks, foundation),
    )


def flows() -> str:
    """Return how a flow talks to the server, by way of its driver."""
    flow = Box(
        60,
        4,
        320,
        "Flows, in walk/",
        ("generators without I/O: trials, gaps, isolation,", "recovery, walk; details in shop/"),
    )
    calls = Box(
        60,
        145,
        320,
        "The driver, walk/calls",
        ("retries, limits, counts, requests ahead;", "walk/reading checks every row"),
    )
    shop = Box(60, 286, 140, "shop/", ("connection,", "decoding"))
    export = Box(240, 286, 140, "export/", ("dump,", "Output"))
    return drawing(
        "A flow yields requests and pieces; the driver sends queries to the shop, and gives pages to the export",
        flow,
        Arrow(((80, flow.bottom[1]), (80, calls.y)), "WindowRequest"),
        Arrow(((210, calls.y), (210, flow.bottom[1])), "Reply, RemoteError"),
        Arrow(((360, flow.bottom[1]), (360, calls.y)), "Piece"),
        calls,
        Arrow(((100, calls.bottom[1]), (100, shop.y)), "query"),
        Arrow(((170, shop.y), (170, calls.bottom[1])), "rows"),
        Arrow(((310, calls.bottom[1]), (310, export.y)), "Page"),
        shop,
        export,
    )


DIAGRAMS = {"architecture": architecture, "data": data, "flows": flows, "walk": walk}
"""Each diagram: its name and what draws it."""


def main() -> None:
    """Write every diagram."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
