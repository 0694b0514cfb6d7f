"""Failed calls as files: their content, hidden secrets, and the limits of the folder."""

from __future__ import annotations

import errno
import gzip
import json
import re
import threading
import time
import zlib
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import responses
from connections import UP_TO_400, envelope, fault, login_reply
from loopback import reply, serving
from wsdls import wsdl

import magento_pager
from magento_pager import FilterIgnoredError, MalformedReplyError, RemoteError, TransportError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.lists import ORDERS
from magento_pager.pager import http_options
from magento_pager.shop import saving
from magento_pager.shop.connection import Connection
from magento_pager.shop.redacting import redacted_body
from magento_pager.shop.sources import ListSource
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.flows import Exactly, WindowRequest
from magento_pager.walk.limiter import CallLimiter
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture(scope="module")
def shops() -> Iterator[dict[str, Shop]]:
    """Return a shop of each flavour."""
    with Shop(orders=60) as rpc, Shop(orders=60, flavour="wsi") as wsi:
        yield {"rpc": rpc, "wsi": wsi}


def connected(shop: Shop, folder: Path, **options: Any) -> magento_pager.Pager:
    """Return a pager that saves replies."""
    return magento_pager.connect(shop.url, shop.user, shop.key, save_replies=folder, **options)


def files(folder: Path) -> list[Path]:
    """Return the files in a folder, in order."""
    return sorted(folder.iterdir())


def walked(pager: magento_pager.Pager, entity: str, **options: Any) -> tuple[int, dict[int, str]]:
    """Return how many rows were read, and why others were not."""
    pages = list(pager.list(entity, patience=5.0, **options).pages())  # type: ignore[arg-type]  # a name
    return sum(len(page.rows) for page in pages), {one.id: one.reason for page in pages for one in page.quarantined}


def named(words: str) -> Path:
    """Return the file that a message names."""
    found = re.search(r" \(request and reply: ([^)]+)\)", words)
    assert found, words
    return Path(found[1])


@pytest.mark.parametrize(
    ("trouble", "kept"),
    [
        ("fault", b"<faultstring>No date part in '' found.</faultstring>"),
        ("fatal-500", b"HTTP 500"),
        ("http-501", b"<title>501</title>"),
        ("notice", b"<b>Notice</b>:  Undefined variable: total"),
        ("empty", b"HTTP 200"),
        ("half", b"</increment_id>"),
        ("long-length", b"</SOAP-ENV:Envelope>"),
        ("gzip", b"</SOAP-ENV:Envelope>"),
        ("deflate", b"</SOAP-ENV:Envelope>"),
        ("not-utf-8", b"\xf6"),
        ("control-character", b"\x0b"),
        ("undeclared", b"<colour>red</colour>"),
        ("wrong-count", b"[91]"),
    ],
)
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.sampled
def test_a_skipped_row_names_its_reply(
    shops: dict[str, Shop], tmp_path: Path, trouble: str, kept: bytes, flavour: str
) -> None:
    """Request and reply, as sent and received, in a file that other users cannot read."""
    if (flavour, trouble) == ("wsi", "wrong-count"):
        pytest.skip("WS-I announces nothing")
    shop = shops[flavour]
    with connected(shop, tmp_path / "made" / "replies") as pager:
        shop.change(trouble=trouble, trouble_rows=[7], trouble_list="orders")
        count, skipped = walked(pager, "orders")
        shop.change(trouble="")
    assert (count, list(skipped)) == (59, [7])
    file = named(skipped[7])
    content = file.read_bytes()
    request, answer = content.split(b"---- reply ----")
    assert b"POST http://127.0.0.1:" in request
    assert b"<value>7</value>" in re.sub(rb"(<value) [^>]*", rb"\1", request)
    assert kept in answer
    assert b"decompressed" not in answer
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in files(file.parent))
    assert not any(shop.key.encode() in one.read_bytes() for one in files(file.parent))


def test_nothing_is_saved_without_failures(shops: dict[str, Shop], tmp_path: Path) -> None:
    """An expired session is not a failure. Without the option, nothing is kept in memory."""
    shop = shops["rpc"]
    with connected(shop, tmp_path) as pager:
        assert walked(pager, "orders", details=True) == (60, {})
        shop.sessions.end_all()
        assert walked(pager, "orders") == (60, {})
    assert files(tmp_path) == []
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        assert walked(pager, "orders") == (60, {})
        assert pager.connection._http.latest.exchange is None  # noqa: SLF001  what it would cost


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("no_xmlrpc", [False, True])
def test_a_record_names_its_reply(shops: dict[str, Shop], tmp_path: Path, flavour: str, *, no_xmlrpc: bool) -> None:
    """One that is skipped with details; and if XML-RPC does not answer, the reply to it."""
    shop = shops[flavour]
    with connected(shop, tmp_path) as pager:
        shop.change(no_xmlrpc=no_xmlrpc, broken_records=[12])
        count, skipped = walked(pager, "orders", details=True)
        shop.change(no_xmlrpc=False, broken_records=())
    assert (count, list(skipped)) == (59, [12])
    assert named(skipped[12]).name.endswith("-salesOrderInfo.txt")
    assert b"<faultstring>" in named(skipped[12]).read_bytes()
    kinds = {one.name.partition("-")[2] for one in files(tmp_path)}
    assert kinds == {"salesOrderInfo.txt", *(["multiCall.txt"] if no_xmlrpc else [])}


def answering(*answers: bytes) -> Any:
    """Return a server with a valid WSDL and login that sends these answers in turn, and then the last one."""
    left = list(answers)

    def answer(connection: Any, request: Any) -> None:
        host, port = connection.getsockname()
        if request.head.startswith(b"GET"):
            connection.sendall(reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/")))
        elif b"login" in request.body:
            connection.sendall(reply(login_reply("rpc")))
        else:
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return serving(answer)


def saved_of(folder: Path, *answers: bytes, error: type[RemoteError] = RemoteError, **options: Any) -> list[bytes]:
    """Return the saved file for a list that a server answers with this."""
    with answering(*answers) as url:
        connection = Connection(url, "me", "s3same-key", http_options(save_replies=folder, **options))
        with pytest.raises(error) as caught:
            list(connection.rows(ORDERS, UP_TO_400))
        connection.close()
    assert named(str(caught.value)) in files(folder)
    return [one.read_bytes() for one in files(folder)]


FAULT = fault("1", "s3same-key &amp; feedfacefeedfacefeedfacefeedface &#33;")


@pytest.mark.parametrize(
    ("compressed", "headers"),
    [
        (gzip.compress(FAULT), ["Content-Encoding: gzip"]),
        (zlib.compress(FAULT), ["Content-Encoding: deflate"]),
        (gzip.compress(FAULT), []),
        (gzip.compress(FAULT)[:-12], ["Content-Encoding: gzip"]),
        (FAULT, ["Content-Encoding: gzip"]),
        (FAULT, ["Content-Encoding: identity"]),
    ],
)
def test_a_gzipped_reply_is_saved_decompressed(tmp_path: Path, compressed: bytes, headers: list[str]) -> None:
    """Secrets in it are hidden as in any other, and all else stays the same."""
    (content,) = saved_of(tmp_path, reply(compressed, *headers))
    assert b"*** &amp; *** &#33;" in content
    assert b"s3same-key" not in content
    assert (b"cannot be decompressed" in content) == (compressed == FAULT and headers == ["Content-Encoding: gzip"])


def test_a_body_that_cannot_be_decompressed_is_saved_as_received(tmp_path: Path) -> None:
    """After the readable part; not if that had a secret, or for a login."""
    body = bytes(range(256)) * 40
    compressed = gzip.compress(b"<a>" + bytes(range(65, 91)) * 4 + body)
    broken = compressed[:200] + b"!!!" + compressed[203:]
    (content,) = saved_of(tmp_path / "gzip", reply(broken, "Content-Encoding: gzip"), error=TransportError)
    assert broken in content
    assert b"<a>ABC" in content.partition(b"---- reply")[2].partition(b"as received")[0]
    (content,) = saved_of(tmp_path / "br", reply(body, "Content-Encoding: br7"), error=TransportError)
    assert body in content
    compressed = gzip.compress(b"<a>s3same-key" + bytes(range(65, 91)) * 4 + body)
    broken = compressed[:200] + b"!!!" + compressed[203:]
    (content,) = saved_of(tmp_path / "echo", reply(broken, "Content-Encoding: gzip"), error=TransportError)
    assert broken[100:200] not in content
    assert b"<a>***ABC" in content


def test_a_cut_reply_is_saved_as_far_as_received(tmp_path: Path) -> None:
    """With status and headers; the values of cookies and of the user's headers are hidden, also in the body."""
    answer = reply(
        b"<e:Envelope>PHPSESSID=0a1b2c3d4e5f at shop.example",
        "Set-Cookie: a=1; expires=Thu, 19-Nov-2037 08:52:00 GMT; domain=shop.example",
        "Set-Cookie: PHPSESSID=0a1b2c3d4e5f; path=/",
    )
    (content,) = saved_of(
        tmp_path,
        answer.replace(b"Content-Length: 4", b"Content-Length: 9"),
        headers={"X-Pass": "abc"},
        basic_auth=("me", "pw"),
    )
    assert b"HTTP 200 OK\n" in content
    assert b"Set-Cookie: ***\n" in content
    assert b"<e:Envelope>PHPSESSID=*** at shop.example" in content
    assert b"X-Pass: ***\nAuthorization: ***\n" in content


def test_a_hash_of_a_password_is_not_saved(tmp_path: Path) -> None:
    """By SOAP and by XML-RPC; customers' other data is saved."""
    body = b"<a><email>a@b.example</email><password_hash xsi:type='xsd:string'>$2y$10$abc/def.ghi</password_hash>\n"
    body += b"<member><name>password_hash</name><value><string>v1:xy</string></value></member></a>"
    (content,) = saved_of(tmp_path, reply(body))
    assert b"<email>a@b.example</email><password_hash xsi:type='xsd:string'>***</password_hash>\n<member>" in content
    assert b"<value><string>***</string>" in content


LOGIN_REPLIES = {
    "a fault": reply(fault("2", "Access denied for me with s3same-key.")),
    "a page": reply(b"<html>apiKey=s3same%2Dkey", status="500 Error"),
    "a notice": reply(b"<b>Notice</b>: Undefined index " + login_reply("rpc", "a-session_of.another(kind)")),
    "half": reply(login_reply("rpc", "a-session_of.another(kind)").partition(b"another")[0]),
    "unreadable": reply(b"s3same-key" + b"\1" * 99, "Content-Encoding: br7"),
}


@pytest.mark.parametrize("name", LOGIN_REPLIES)
def test_a_login_that_fails_is_saved_without_key_and_session(tmp_path: Path, name: str) -> None:
    """In any form and in any place."""

    def answer(connection: Any, request: Any) -> None:
        host, port = connection.getsockname()
        document = reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/"))
        connection.sendall(document if request.head.startswith(b"GET") else LOGIN_REPLIES[name])

    with serving(answer) as url, pytest.raises(RemoteError) as caught:
        magento_pager.connect(url, "me", "s3same-key", save_replies=tmp_path)
    content = named(str(caught.value)).read_bytes()
    assert b"<apiKey" in content
    assert b"me</username>" in content
    for secret in (b"s3same", b"a-session", b"c2FtZS"):
        assert secret not in content


@pytest.mark.parametrize("trouble", ["fatal", "http-500", "half", "gzip", "bot-check"])
def test_a_wsdl_that_fails_is_saved(tmp_path: Path, trouble: str) -> None:
    """The document that was fetched last."""
    with Shop(orders=5, trouble=trouble, trouble_at="wsdl") as shop:
        with pytest.raises(RemoteError) as caught:
            connected(shop, tmp_path)
        file = named(str(caught.value))
        assert file.name.endswith("-WSDL.txt")
        assert b"GET " + shop.base_url.encode() in file.read_bytes()


ROW = '<item xsi:type="n:salesOrderListEntity"><order_id xsi:type="xsd:string">7</order_id></item>'
TWICE = envelope(
    '<n:salesOrderListResponse xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema"><result '
    'xmlns:enc="http://schemas.xmlsoap.org/soap/encoding/" enc:arrayType="n:salesOrderListEntity[2]" '
    f'xsi:type="n:salesOrderListEntityArray">{ROW}{ROW}</result></n:salesOrderListResponse>'
)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (Query((Condition("entity_id", "lteq", "9"),), IdRange(1, 5)), FilterIgnoredError),
        (Query((Condition("entity_id", "lteq", "9"),), IdRange(1, 9), 50), FilterIgnoredError),
        (None, MalformedReplyError),
    ],
)
def test_replies_whose_rows_are_refused_are_saved(
    shops: dict[str, Shop], tmp_path: Path, query: Query | None, error: type[RemoteError]
) -> None:
    """With an unexpected row, without a row that must be there, and with a row twice."""
    with answering(reply(TWICE)) as url:
        shop = shops["rpc"]
        where, user, key = (shop.url, shop.user, shop.key) if query else (url, "me", "s3same-key")
        with magento_pager.connect(where, user, key, save_replies=tmp_path) as pager:
            reader = Reader(ListSource(pager.connection, ORDERS), "order_id", operation="salesOrderList")
            query = query or Query((Condition("entity_id", "lteq", "9"),), IdRange(0, 9))
            with pytest.raises(error) as caught:
                deque(reader.read(WindowRequest(Exactly(query), query.span), CallLimiter()))
    assert re.search(rb"salesOrderListResponse.*<order_id[^>]*>7<", named(str(caught.value)).read_bytes(), re.DOTALL)


def test_failures_without_a_reply_save_nothing(tmp_path: Path) -> None:
    """A list that the shop lacks, and an unreachable server: no other call's reply is named."""
    shop = Shop(orders=20, profile="1.4.1.1")
    with shop, connected(shop, tmp_path) as pager:
        assert walked(pager, "orders")[0] == 20
        with pytest.raises(RemoteError, match=r"has no creditmemos.*1\.6\.1\.0$"):
            walked(pager, "creditmemos")
        shop.stop()
        with pytest.raises(TransportError, match=r"server is up$"):
            walked(pager, "orders")
    assert files(tmp_path) == []


def test_the_same_failure_is_saved_once(tmp_path: Path) -> None:
    """However often the call is repeated, with however many sessions; another call is another file."""
    with Shop(orders=20, trouble="http-503") as shop:
        for wait in (60.0, 0.0):
            with pytest.raises(TransportError):
                connected(shop, tmp_path, wait=wait)
        assert len(shop.log) > 4
        assert len(files(tmp_path)) == 2, "one for each run"
        shop.change(trouble="")
        with connected(shop, tmp_path) as pager:
            shop.change(trouble="http-503")
            counts = []
            for _ in range(2):
                with pytest.raises(TransportError):
                    walked(pager, "orders")
                counts.append(len(files(tmp_path)))
                shop.sessions.end_all()
        calls = sum(call.operation == "salesOrderList" for call in shop.log)
        kinds = [one.name.partition("-")[2] for one in files(tmp_path)]
    assert kinds == ["login.txt"] * 2 + ["salesOrderList.txt"] * len(kinds[2:])
    assert counts == [len(kinds)] * 2
    assert 1 <= len(kinds[2:]) < calls / 2


def test_the_warning_of_a_retry_names_the_reply(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While `connect` waits for a shop."""
    with Shop(orders=20, trouble="http-503") as shop, pytest.raises(TransportError):
        connected(shop, tmp_path, wait=5.0)
    assert f"(request and reply: {files(tmp_path)[0]}); trying again in" in caplog.text


@pytest.mark.slow
def test_a_folder_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the bytes of a reply, of all files, and their number: beyond them nothing is saved, with one warning."""
    monkeypatch.setattr(saving, "LONGEST", 1000)
    (content,) = saved_of(tmp_path, reply(b"<a>" + b"x" * 5000))
    assert b"---- reply (the first 1000 bytes) ----" in content
    assert content.endswith(b"<a>" + b"x" * 997)
    monkeypatch.setattr(saving, "LONGEST", 1 << 24)
    for name, bound in (("MOST_FILES", 3), ("MOST_BYTES", 9000)):
        with Shop(orders=60) as shop, monkeypatch.context() as patch:
            patch.setattr(saving, name, bound)
            folder = tmp_path / name
            with connected(shop, folder) as pager:
                shop.change(trouble="fatal", trouble_rows=range(3, 60, 7))
                with pytest.warns(UserWarning, match=f"could not be saved in {folder}: it is full") as warned:
                    count, skipped = walked(pager, "orders")
                assert (count, len(skipped), len(warned)) == (51, 9, 1)
                assert len(files(folder)) <= 3 or sum(one.stat().st_size for one in files(folder)) <= 9000
                assert files(folder)
                assert "request and reply" not in skipped[59]


def test_a_folder_that_disappears_stops_no_dump(shops: dict[str, Shop], tmp_path: Path) -> None:
    """Nor does a full disk: there is one warning, and the dump continues."""
    shop, folder = shops["rpc"], tmp_path / "replies"
    with connected(shop, folder) as pager:
        folder.rmdir()
        shop.change(trouble="fatal", trouble_rows=[7, 30], trouble_list="orders")
        with pytest.warns(UserWarning, match="could not be saved in .*: No such file or directory") as warned:
            count, skipped = walked(pager, "orders")
        shop.change(trouble="")
    assert (count, sorted(skipped), len(warned)) == (58, [7, 30], 1)


def test_no_incomplete_file_is_left(tmp_path: Path) -> None:
    """When the disk is full in the middle of a file."""
    folder = saving.ReplyFolder(tmp_path)

    def parts() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder._write("a", parts())  # noqa: SLF001  no disk is filled
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_refused(shops: dict[str, Shop], tmp_path: Path) -> None:
    """Before the first call, with exit status 2."""
    shop = shops["rpc"]
    shop.clear_log()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match=r"replies cannot be saved in .*file.*\. Use a folder that can be written"):
            connected(shop, folder)
        for command in (["dump", "orders"], ["plan", "orders"], ["doctor"]):
            assert run([*command, *addressed(shop), "--save-replies", str(folder)]) == 2
    assert shop.log == ()


def addressed(shop: Shop) -> list[str]:
    """Return the shop's options for a command line."""
    return ["--url", shop.url, "--user", shop.user, "--key", shop.key]


def test_the_command_line_names_saved_replies(
    shops: dict[str, Shop], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the line of a skipped row, in the report, in the line of an error and in that of doctor."""
    shop, folder = shops["wsi"], tmp_path / "replies"
    how = [*addressed(shop), "--save-replies", str(folder)]
    shop.change(trouble="fatal", trouble_rows=[7], trouble_list="orders")
    report = tmp_path / "report.json"
    assert run(["dump", "orders", *how, "--out", str(tmp_path / "o.csv"), "--report", str(report)]) == 3
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("Skipped id 7 "))
    assert json.loads(report.read_text())["quarantined"][0]["reason"].endswith(f" (request and reply: {named(line)})")
    assert b"getName() on a non-object" in named(line).read_bytes()
    shop.change(trouble="http-404", trouble_rows=())
    for command in (["dump", "orders"], ["plan", "orders"], ["verify", str(tmp_path / "o.csv"), "orders"], ["doctor"]):
        assert run([*command, *how]) == 1
        assert b"HTTP 404" in named("".join(capfd.readouterr())).read_bytes(), command
    shop.change(trouble="")


def test_names_are_unique_and_sorted_by_time(shops: dict[str, Shop], tmp_path: Path) -> None:
    """From many threads at once, and without any text of the server."""
    with connected(shops["rpc"], tmp_path) as pager:
        exchange = saving.Exchange("../a b/\n" + "c" * 99, *sent_and_received())
        errors = [RemoteError(f"row {chr(65 + number)}") for number in range(26)]
        folders = [saving.ReplyFolder(tmp_path) for _ in range(4)]

        def save(folder: saving.ReplyFolder) -> None:
            for error in errors:
                folder.save(exchange, error, pager.connection._http)  # noqa: SLF001  it redacts

        threads = [threading.Thread(target=save, args=(folder,)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(files(tmp_path)) == 4 * 26
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-_a_b_c{55}\.txt", one.name) for one in files(tmp_path))
    times = [one.stat().st_mtime for one in files(tmp_path)]
    assert all(one <= other + 0.1 for one, other in pairwise(times))


def sent_and_received() -> tuple[requests.PreparedRequest, requests.Response]:
    """Return a request and a reply."""
    with responses.RequestsMock() as web:
        web.get("http://shop.example/", body=b"x")
        response = requests.get("http://shop.example/", stream=True, timeout=1)
    return response.request, response


def test_a_large_body_is_searched_in_time() -> None:
    """Four megabytes of rows with line breaks and entities, and one secret."""
    row = b'<item>\n<name xsi:type="xsd:string">A &amp; B %20</name>\n</item>\n'
    body = row * 60_000 + b"s3same-key-5f1c" + row
    began = time.perf_counter()
    assert redacted_body(body, "s3same-key-5f1c", "another secret that is not there") == body.replace(
        b"s3same-key-5f1c", b"***"
    )
    assert time.perf_counter() - began < 30
