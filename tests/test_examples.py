"""The examples: each runs as it stands and prints what it promises, and the source of its own does what one must."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import missing, slow
from examples.not_magento import NUMBERS, DocumentSource, documents, warehouse

from magento_pager import Condition, IdRange, MalformedReplyError, Query, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[1] / "examples"

PRINTED = {
    "custom_strategy.py": [
        "20.0.20: 650 invoices, each once: True",
        "20.0.20: orders: salesOrderList: the strategy upper-case does not hold on this server:",
        "1.7.0.2: 650 invoices, each once: True",
        "1.7.0.2: orders: salesOrderList: the strategy upper-case does not hold on this server:",
    ],
    "dlt_pipeline.py": [
        "first run: 300 orders, 300 of them different, 0 lost",
        "second run: 301 orders, 301 of them different, 1 lost",
        "rows asked for in the second run are fewer: True",
    ],
    "fleet.py": [
        *(f"shop 0, ids {ids} orders" for ids in ("0 to 199: 183", "200 to 4294967295: 217")),
        *(f"shop {shop}, ids {ids} orders" for shop in (1, 2) for ids in ("0 to 219: 201", "220 to 4294967295: 199")),
        "6 partitions of 3 shops",
    ],
    "nightly_sqlite.py": [
        "first night:  500 orders: ",
        "second night: 4 orders: 41 canceled, 11 closed, 286 complete, 17 holded, 2 lost, 1 new, ",
        "third night:  1 orders: ",
        "verify: extra     6",
    ],
    "not_magento.py": [
        "5750 documents, 1 to 9000249; all: True",
        "499 on the first page, 5251 after it",
    ],
    "order_digest.py": ["25 new orders | #", "1 new orders | #"],
    "parquet_duckdb_pandas.py": [
        "2023-10-",
        "2023-10-",
        "best seller SKU-01001: 2 pieces",
        "best seller SKU-01008: 2 pieces",
        "pandas: 400 orders, ids are int64, the same turnover: True",
    ],
}
"""How each line begins that an example prints."""
NEEDED = {"dlt_pipeline.py": ("dlt", "duckdb"), "parquet_duckdb_pandas.py": ("duckdb", "pandas", "pyarrow")}
"""What an example needs beyond the package."""

EVERYTHING = Query((Condition("DocNo", "from", "0"),), IdRange(0, 10**9))


@pytest.mark.parametrize(
    "example",
    [slow(path) if path.name in NEEDED else path for path in sorted(EXAMPLES.glob("[!_]*.py"))],
    ids=lambda path: path.name,
)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """It ends well, without a warning, and prints what it promises; an example without a promise here fails."""
    for module in NEEDED.get(example.name, ()):
        if find_spec(module) is None:
            missing(f"{module} is not installed")
    ended = subprocess.run(  # noqa: S603  our own example
        [sys.executable, "-W", "error", str(example)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert len(lines) == len(PRINTED[example.name])
    for line, beginning in zip(lines, PRINTED[example.name], strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.name)
def test_an_example_uses_the_library(example: Path) -> None:
    """None starts the command line in a process of its own."""
    words = ("subprocess", "os.system", "Popen", "magento_pager.cli", "execv")
    assert not [word for word in words if word in example.read_text(encoding="utf-8")]


@contextmanager
def answering(body: bytes, *, status: int = 200, length: int | None = None) -> Iterator[str]:
    """A server that always answers the same; `length` is what it says that the body has."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name http.server gives it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("window", [None, 1, 100, 5_000])
def test_documents_come_once_each_whatever_the_window(window: int | None) -> None:
    """A list that is not Magento's is walked like any other."""
    numbers = NUMBERS if window != 1 else NUMBERS[:50]
    with warehouse() as url:
        paginator = documents(url, window=window)
        found = [int(row["DocNo"]) for row, _ in zip(paginator, numbers, strict=window != 1)]
    assert found == list(numbers)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><body>Not now</body></html>", "<html>, no list of documents"),
        (b"<Documents><Document><DocNo>1</DocNo></Document>", "cut short"),
        (b"", "cut short"),
        (b"Not now", "no XML"),
    ],
)
def test_a_reply_that_is_no_list_never_passes_for_an_empty_one(body: bytes, words: str) -> None:
    """An error page or a torn reply is an error."""
    with answering(body) as url, pytest.raises(MalformedReplyError, match=words):
        list(DocumentSource(url).fetch(EVERYTHING))


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (500, False), (404, False)])
def test_a_status_says_whether_trying_again_may_help(status: int, *, retryable: bool) -> None:
    """A busy server is asked again, a broken one is not."""
    with answering(b"", status=status) as url, pytest.raises(TransportError, match=str(status)) as caught:
        list(DocumentSource(url).fetch(EVERYTHING))
    assert caught.value.retryable is retryable


def test_a_body_shorter_than_announced_is_tried_again() -> None:
    """A connection that breaks off is a passing failure, whatever arrived before."""
    body = b"<Documents><Document><DocNo>1</DocNo></Document></Documents>"
    with answering(body, length=len(body) + 10) as url, pytest.raises(TransportError) as caught:
        list(DocumentSource(url).fetch(EVERYTHING))
    assert caught.value.retryable
