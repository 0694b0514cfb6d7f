"""Lists of other SOAP services, over HTTP: exact, checked, resumed, and with the right errors."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
import requests
import zeep
from conftest import needs_pyarrow
from examples.crm_contacts import contacts
from examples.erp_invoices import invoices
from examples.not_magento import arguments, documents
from examples.warehouse_articles import ALPHABET, articles
from services import (
    ARTICLES,
    INVOICES,
    NUMBERS,
    Refusal,
    Service,
    crm,
    erp,
    floor,
    honest,
    honest_invoices,
    matching_articles,
    modified,
    row,
    running,
    timestamps,
    warehouse,
)

from magento_pager import (
    Condition,
    Cursor,
    FaultError,
    FilterIgnoredError,
    IdRange,
    MalformedReplyError,
    Numbers,
    PaddedNumbers,
    PagerError,
    Paginator,
    Query,
    Range,
    RemoteError,
    SoapSource,
    SteppedSource,
    Texts,
    Times,
    TransportError,
    connect,
    dump,
    verify,
)
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

EVERYTHING = Query((Condition("DocNo", "from", "0"), Condition("DocNo", "to", "9")), IdRange(0, 9))
PAGE = b"<html><body>Back soon</body></html>"
ENVELOPE = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    b'<ListDocumentsResponse xmlns="urn:made-up">'
    b"<Row><DocNo>1</DocNo><Kind>issue</Kind></Row></ListDocumentsResponse></e:Body></e:Envelope>"
)


@pytest.fixture
def service() -> Service:
    """Return a warehouse that filters correctly."""
    return warehouse()


@pytest.fixture
def wsdl(service: Service) -> Iterator[str]:
    """Return its address."""
    with running(service) as url:
        yield url


def numbers(rows: Any) -> list[int]:
    """Return the identifiers of rows."""
    return [int(one["DocNo"]) for one in rows]


def test_every_row_once(service: Service, wsdl: str) -> None:
    """In order, as text; gaps are skipped, and replies that are too large are split."""
    rows = list(documents(wsdl))
    assert numbers(rows) == list(NUMBERS)
    assert rows[1] == {
        "DocNo": "2",
        "Kind": "issue & return",
        "Booked": "2024-05-03T10:00:00",
        "Weight": "1.50",
        "Void": "true",
    }
    assert len(service.asked) < 60
    assert all(asked for asked in service.asked), "a call without a bound would bring the whole table"


def test_a_service_is_dumped_like_a_shop(wsdl: str, tmp_path: Path) -> None:
    """Dump, resume, verify, CSV and Parquet work the same way."""
    out = tmp_path / "documents.ndjson"
    paginator = documents(wsdl)
    assert dump(paginator, out).rows == len(NUMBERS)
    assert numbers(map(json.loads, out.read_text(encoding="utf-8").splitlines())) == list(NUMBERS)
    assert verify(paginator, out).ok
    assert verify(replace(paginator, last=5_000), out, first=3_991).rows == 10
    out.write_text(out.read_text(encoding="utf-8").replace("transfer", "lost", 1), encoding="utf-8")
    assert verify(paginator, out).counts == {"changed": 1}
    for options in ({"strategy": "prefix"}, {"where": ()}, {"wire": "soap"}):
        with pytest.raises(ValueError, match="A paginator already has its list"):
            verify(paginator, out, **options)
    assert dump(paginator, tmp_path / "documents.csv").rows == len(NUMBERS)
    needs_pyarrow()
    import pyarrow.parquet as pq  # noqa: PLC0415  the tests run without it

    assert dump(paginator, tmp_path / "documents.parquet").rows == len(NUMBERS)
    table = pq.read_table(tmp_path / "documents.parquet")
    assert table.column("DocNo").to_pylist() == list(NUMBERS)
    types = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert types.pop("Weight").startswith("decimal")
    assert types == {"DocNo": "int64", **dict.fromkeys(("Kind", "Booked", "Void", "other_columns"), "string")}


def test_a_stopped_dump_is_resumed(service: Service, wsdl: str, tmp_path: Path) -> None:
    """Rows that are safely written are not requested again."""
    out = tmp_path / "documents.ndjson"
    paginator = documents(wsdl)
    honest_answer = service.answer

    def breaking(filters: dict[str, str]) -> Any:
        if int(filters.get("FirstNo", 0)) > 70_000:
            raise Refusal("Out of licences")
        return honest_answer(filters)

    service.answer = breaking
    with pytest.raises(FaultError, match="Out of licences"):
        dump(paginator, out)
    service.answer = honest_answer
    service.asked.clear()
    assert dump(paginator, out, resume=True).rows == len(NUMBERS)
    assert min(int(one["FirstNo"]) for one in service.asked) > 1_000
    assert numbers(map(json.loads, out.read_text(encoding="utf-8").splitlines())) == list(NUMBERS)


def without_upper(filters: dict[str, str]) -> list[dict[str, object]]:
    """Drop the last filter of two, from some number on."""
    if int(filters.get("FirstNo", 0)) > 1_500:
        filters = {"FirstNo": filters["FirstNo"], "LastNo": str(int(filters["FirstNo"]) + 2_500)}
    return honest(filters)


def whole_hundreds(filters: dict[str, str]) -> list[dict[str, object]]:
    """Compare numbers as text, as many services do."""
    first, last = filters.get("FirstNo", "0"), filters.get("LastNo", "9" * 10)
    return [row(number) for number in NUMBERS if first <= str(number) <= last]


def the_last_page(pages: list[Any]) -> Any:
    """Return the previous answer each time."""

    def answer(filters: dict[str, str]) -> Any:
        pages.append(honest(filters))
        return pages[-2] if len(pages) > 1 else pages[-1]

    return answer


@pytest.mark.parametrize("lie", [without_upper, whole_hundreds, the_last_page([])], ids=lambda lie: lie.__name__)
def test_a_misleading_filter_is_noticed(lie: Any) -> None:
    """No walk ends as if it were complete."""
    with running(warehouse(lie)) as wsdl, pytest.raises(FilterIgnoredError, match="documents: "):
        list(documents(wsdl))


def test_a_filter_that_omits_rows_is_noticed(service: Service, wsdl: str) -> None:
    """A reply that is silently cut short once is requested again."""
    cut = iter([False, True])
    honest_answer = service.answer

    def cutting(filters: dict[str, str]) -> Any:
        rows = list(honest_answer(filters))
        return rows[: len(rows) // 2] if len(rows) > 100 and next(cut, False) else rows

    service.answer = cutting
    assert numbers(documents(wsdl)) == list(NUMBERS)


def test_a_busy_service_is_retried(service: Service, wsdl: str) -> None:
    """Statuses that pass cost time, and no row."""
    service.instead = [(503, PAGE), (429, b"Slow down")]
    assert numbers(documents(wsdl)) == list(NUMBERS)


@pytest.mark.parametrize(("status", "remedy"), [(503, "retry"), (404, "stop"), (401, "stop"), (500, "split")])
def test_a_status_has_its_remedy(service: Service, wsdl: str, status: int, remedy: str) -> None:
    """An error page is never taken for an empty list."""
    service.instead = [(status, PAGE)]
    with pytest.raises(TransportError, match=f"ListDocuments: HTTP {status}") as caught:
        list(documents(wsdl).source.fetch(EVERYTHING))
    assert (caught.value.remedy, caught.value.status) == (remedy, status)


@pytest.mark.parametrize(
    ("body", "kind", "remedy"),
    [
        (PAGE, TransportError, "split"),
        (b"Fatal error: Out of memory", TransportError, "split"),
        (b"", TransportError, "split"),
        (ENVELOPE[:-30], MalformedReplyError, "split"),
        (ENVELOPE.replace(b"Kind", b"Colour"), MalformedReplyError, "split"),
        (ENVELOPE.replace(b"ListDocumentsResponse", b"OtherResponse"), MalformedReplyError, "split"),
        (ENVELOPE.replace(b"urn:made-up", b"urn:other"), MalformedReplyError, "split"),
        (ENVELOPE.replace(b"Envelope", b"Envelop"), TransportError, "split"),
    ],
)
def test_a_reply_that_is_not_a_list_is_never_taken_for_an_empty_one(
    service: Service, wsdl: str, body: bytes, kind: type[RemoteError], remedy: str
) -> None:
    """A page, a cut reply, and one of another shape are errors."""
    service.instead = [(200, ENVELOPE), (200, body)]
    source = documents(wsdl).source
    assert list(source.fetch(EVERYTHING)) == [{"DocNo": "1", "Kind": "issue"}]
    with pytest.raises(kind, match="ListDocuments: ") as caught:
        list(source.fetch(EVERYTHING))
    assert caught.value.remedy == remedy


def test_a_body_shorter_than_announced_is_an_error(service: Service, wsdl: str) -> None:
    """Even if the received part is well-formed."""
    source = documents(wsdl).source
    service.instead, service.missing = [(200, ENVELOPE + b"-")], 1
    with pytest.raises(TransportError, match="ListDocuments: the answer was cut short") as caught:
        list(source.fetch(EVERYTHING))
    assert caught.value.remedy == "split"


def source_of(result: Any, **options: Any) -> SoapSource:
    """Return a source whose operation returns a value, or raises it."""

    def list_things(**_: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    return SoapSource(list_things, arguments, Numbers("DocNo"), **options)


@pytest.mark.parametrize(
    ("failure", "kind", "remedy", "words"),
    [
        (requests.ReadTimeout("60 s"), TransportError, "split", "no answer in time"),
        (requests.ConnectTimeout("60 s"), TransportError, "retry", "no answer in time|60 s"),
        (requests.ConnectionError("refused"), TransportError, "retry", "refused"),
        (requests.exceptions.ChunkedEncodingError("broken"), TransportError, "split", "cut short"),
        (zeep.exceptions.Fault("Zu viele", code="17"), FaultError, "stop", r"fault 17, 'Zu viele'\. If this may pass"),
        (zeep.exceptions.Fault("TOO MANY rows", code="17"), FaultError, "split", "fault 17"),
        (zeep.exceptions.XMLSyntaxError("no end"), MalformedReplyError, "split", "cut short"),
        (zeep.exceptions.XMLParseError("an unknown tag"), MalformedReplyError, "split", "what the WSDL promises"),
        (zeep.exceptions.TransportError("no content", status_code=200), MalformedReplyError, "split", "no content"),
    ],
)
def test_a_failure_has_its_remedy(failure: Exception, kind: type[RemoteError], remedy: str, words: str) -> None:
    """Of the exceptions that zeep and requests raise."""
    source = source_of(failure, remedies={"too many": "split"})
    with pytest.raises(kind, match=f"list_things: .*({words})") as caught:
        list(source.fetch(EVERYTHING))
    assert caught.value.remedy == remedy


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (None, []),
        ([], []),
        ([{"DocNo": 1}], [{"DocNo": "1"}]),
        ({"Row": [{"DocNo": 1}], "Total": 1}, [{"DocNo": "1"}]),
        ({"Row": [{"DocNo": 1, "Lines": {"Line": [{"No": 2, "Note": None}]}}]},
         [{"DocNo": "1", "Lines": {"Line": [{"No": "2"}]}}]),
    ],
)  # fmt: skip
def test_rows_are_found(result: Any, found: Any) -> None:
    """In a list, or in the only list of a record; lists and records in a row keep their form."""
    assert list(source_of(result).fetch(EVERYTHING)) == found


@pytest.mark.parametrize("result", [{"A": [], "B": []}, {"Total": 5}, 5, [5], ["x"]])
def test_rows_that_are_not_found(result: Any) -> None:
    """Nothing is guessed, and only a record is a row."""
    with pytest.raises(MalformedReplyError, match="rows"):
        list(source_of(result).fetch(EVERYTHING))
    assert list(source_of({"A": [], "B": [{"No": 1}]}, rows=lambda found: found["B"]).fetch(EVERYTHING)) == [
        {"No": "1"}
    ]


@pytest.mark.parametrize(
    ("pattern", "bounds"),
    [("12__", ("1200", "1299")), ("_", ("0", "9")), ("___", ("100", "999")), ("7", ("7", "7"))],
)
def test_blocks_are_requested_by_their_bounds(pattern: str, bounds: tuple[str, str]) -> None:
    """Two bounds mean the same as `like` for a block of ids."""
    asked: list[tuple[Condition, ...]] = []

    def noted(conditions: tuple[Condition, ...]) -> dict[str, Any]:
        asked.append(conditions)
        return {}

    query = Query((Condition("No", "like", pattern),), IdRange(0, 10_000))
    key = Numbers("No")
    list(SoapSource(list, noted, key).fetch(query))
    assert asked == [(Condition("No", "from", bounds[0]), Condition("No", "to", bounds[1]))]
    list(SoapSource(list, noted, key, wildcards=True).fetch(query))
    assert asked[1] == query.conditions
    sample = Query((Condition("No", "like", "_12_"),), IdRange(0, 10_000))
    with pytest.raises(RemoteError, match="only has bounds cannot evaluate"):
        list(SoapSource(list, noted, key).fetch(sample))
    assert len(asked) == 2


@pytest.mark.parametrize("key", [PaddedNumbers("No", 4, "N"), Numbers("No", last=9_999)])
def test_no_key_above_the_last_is_requested(key: Any) -> None:
    """The walk may search anywhere, and a service could compare such a key in its own way."""
    asked: list[tuple[Condition, ...]] = []

    def noted(conditions: tuple[Condition, ...]) -> dict[str, Any]:
        asked.append(conditions)
        return {}

    source = SoapSource(list, noted, key)
    for one in (Condition("No", "like", "_____"), Condition("No", "from", "10000"), Condition("No", "gteq", "10000")):
        assert list(source.fetch(Query((one,), IdRange(0, 10**9)))) == []
    assert asked == []
    list(source.fetch(Query((Condition("No", "from", "9999"), Condition("No", "to", "4294967295")), IdRange(0, 10**9))))
    assert [one.value for one in asked[0]] == [key.text(9_999)] * 2


class Offline(zeep.Transport):
    """A transport with the schema of encoded arrays, which zeep would otherwise fetch."""

    def load(self, url: str) -> Any:
        """Return the schema, or the document."""
        if url == "http://schemas.xmlsoap.org/soap/encoding/":
            return resources.files("magento_pager.shop").joinpath("encoding.xsd").read_bytes()
        return super().load(url)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_other_styles_of_soap(flavour: Any) -> None:
    """A list of a shop, read like that of any service: RPC with encoded arrays, and WS-I."""
    with Shop(orders=300, flavour=flavour) as shop:
        client = zeep.Client(f"{shop.url}?wsdl=1", transport=Offline())  # type: ignore[no-untyped-call]
        login = {"username": shop.user, "apiKey": shop.key}
        session = client.service.login(**login)
        item = "item" if flavour == "rpc" else "complexObjectArray"

        def filters(conditions: tuple[Condition, ...]) -> dict[str, Any]:
            found = [{"key": one.field, "value": {"key": one.operator, "value": one.value}} for one in conditions]
            return {"sessionId": session, "filters": {"complex_filter": {item: found} if flavour == "wsi" else found}}

        source = SoapSource(client.service.salesOrderList, filters, Numbers("order_id"), wildcards=True)
        with connect(shop.url, shop.user, shop.key) as pager:
            assert [one["order_id"] for one in source.paginator("orders of a shop")] == [
                one["order_id"] for one in pager.orders()
            ]


def test_invalid_arguments_are_the_callers_mistake(wsdl: str) -> None:
    """The exception is not an error of the service, and the call is not retried."""
    client = zeep.Client(wsdl)
    nothing: dict[str, Any] = {}
    for wrong, kind in ((lambda _: {"First": 1}, TypeError), (lambda _: nothing["x"], KeyError)):
        source = SoapSource(client.service.ListDocuments, wrong, Numbers("DocNo"))
        with pytest.raises(kind):
            list(source.paginator("documents"))


def test_wildcards_skip_gaps_in_fewer_calls(service: Service, wsdl: str) -> None:
    """A service with `like` is sampled, so that no reply after a gap is larger than intended."""
    service.filters = {**service.filters, "Pattern": "string"}

    def liking(filters: dict[str, str]) -> Any:
        pattern = filters.get("Pattern")
        rows = honest(filters) if pattern is None else [row(number) for number in NUMBERS]
        return [one for one in rows if pattern is None or re.fullmatch(pattern.replace("_", "."), str(one["DocNo"]))]

    service.answer = liking
    client = zeep.Client(wsdl)
    names = {"from": "FirstNo", "to": "LastNo", "like": "Pattern"}
    source = SoapSource(
        client.service.ListDocuments,
        lambda conditions: {names[one.operator]: one.value for one in conditions},
        Numbers("DocNo", last=2_147_483_647),
        wildcards=True,
        remedies={"too many rows": "split"},
    )
    assert numbers(source.paginator("documents")) == list(NUMBERS)
    assert any("Pattern" in asked for asked in service.asked)


def test_a_cursor_resumes(wsdl: str) -> None:
    """As for a shop."""
    paginator = documents(wsdl)
    first = next(iter(paginator.pages()))
    rest = [one for page in paginator.pages(resume=first.cursor) for one in page.rows]
    assert numbers([*first.rows, *rest]) == list(NUMBERS)
    with pytest.raises(ValueError, match="does not belong"):
        paginator.pages(resume=Cursor("orders", 1, 9))
    assert issubclass(FaultError, PagerError)


# Keys that are no numbers


def test_a_source_without_a_key(tmp_path: Path) -> None:
    """Its paginator is built by the user, over numbers; the columns of the WSDL are still found."""
    with running(warehouse()) as wsdl:
        operation = zeep.Client(wsdl).service.ListDocuments
        source = SoapSource(operation, arguments, rows=lambda result: result, remedies={"too many rows": "split"})
        paginator = Paginator(source, Range("DocNo"), "DocNo", operation="documents", key="DocNo", last=2_147_483_647)
        assert numbers(paginator) == list(NUMBERS)
        assert dump(paginator, tmp_path / "documents.csv").rows == len(NUMBERS)
        assert (tmp_path / "documents.csv").read_text("utf-8").startswith("DocNo,Kind,Booked,Weight,Void,")
        with pytest.raises(ValueError, match="the source has no key"):
            source.paginator("documents")


def test_prefixed_numbers(tmp_path: Path) -> None:
    """Each once, in order, in few calls; dumped, resumed and verified by their text."""
    service = erp()
    with running(service) as wsdl:
        paginator = invoices(wsdl)
        assert [one["InvoiceNo"] for one in paginator] == INVOICES
        assert len(service.asked) < 40
        some = replace(paginator, first=100, last=199)
        assert [one["InvoiceNo"] for one in some] == INVOICES[97:197]
        out = tmp_path / "invoices.ndjson"
        source: Any = paginator.source
        assert source.columns("") == ({"InvoiceNo": "text", "Net": "decimal"}, frozenset())
        assert dump(paginator, tmp_path / "invoices.csv").rows == len(INVOICES)
        assert (tmp_path / "invoices.csv").read_text("utf-8").startswith("InvoiceNo,Net,")
        report = dump(paginator, out)
        assert (report.rows, report.complete) == (len(INVOICES), True)
        assert verify(paginator, out).ok
        cursor = next(iter(paginator.pages())).cursor
        rest = [one["InvoiceNo"] for page in paginator.pages(resume=cursor) for one in page.rows]
        assert rest == INVOICES[-len(rest) :]
        assert 0 < len(rest) < len(INVOICES)


def longer(filters: dict[str, str]) -> list[dict[str, object]]:
    """Return a number that outgrew its width."""
    return [*honest_invoices(filters), {"InvoiceNo": "INV-1000000"}]


def one_bound(filters: dict[str, str]) -> list[dict[str, object]]:
    """Drop the upper bound of two."""
    return honest_invoices({"From": filters["From"]} if "From" in filters else filters)


def prefix_alone(filters: dict[str, str]) -> list[dict[str, object]]:
    """Cut bounds to seven characters."""
    return honest_invoices({name: value[:7] + ("~" if name == "Until" else "") for name, value in filters.items()})


@pytest.mark.parametrize(
    ("lie", "kind"),
    [(longer, MalformedReplyError), (one_bound, FilterIgnoredError), (prefix_alone, FilterIgnoredError)],
)
def test_misleading_filters_on_prefixed_numbers(lie: Any, kind: type[RemoteError]) -> None:
    """No walk ends as if it were complete."""
    with running(erp(lie)) as wsdl, pytest.raises(kind):
        list(invoices(wsdl))


def test_rows_with_equal_times(tmp_path: Path) -> None:
    """A thousand rows of one second are returned once each, together; no call has no bound."""
    there = timestamps(5_000, 1_000)
    service = crm(lambda filters: modified(there, filters))
    with running(service) as wsdl:
        paginator = contacts(wsdl, "2023-11-14T00:00:00")
        assert sorted(one["ContactId"] for one in paginator) == sorted(name for _, name in there)
        assert all(asked for asked in service.asked)
        out = tmp_path / "contacts.ndjson"
        assert dump(paginator, out).rows == len(there)
        assert verify(paginator, out).ok
        day = [name for at, name in there if at[:10] == "2023-11-16"]
        found = replace(contacts(wsdl, "2023-11-16T00:00:00"), last=Times("", "").number("2023-11-16T23:59:59"))
        assert sorted(one["ContactId"] for one in found) == sorted(day)


def test_more_rows_of_one_second_than_a_window_has_seconds() -> None:
    """They cannot be split, and are returned together."""
    there = timestamps(40, 30)
    with running(crm(partial(modified, there))) as wsdl:
        first, last = (Times("", "").number(f"2023-11-15T06:13:{second}") for second in (15, 25))
        found = list(replace(contacts(wsdl, "2023-11-14T00:00:00"), first=first, last=last, window=1))
        assert len(found) >= 30
        assert sorted(one["ContactId"] for one in found) == sorted(
            name for at, name in there if "2023-11-15T06:13:15" <= at <= "2023-11-15T06:13:25"
        )


@pytest.mark.slow
def test_texts_by_their_beginning(tmp_path: Path) -> None:
    """Each once, whatever it begins with; a beginning with too many rows is split by the next character."""
    service = floor()
    with running(service) as wsdl:
        paginator = articles(wsdl)
        assert sorted(one["ArticleNo"] for one in paginator) == ARTICLES
        assert all(asked for asked in service.asked), "a call without a filter would bring the whole table"
        out = tmp_path / "articles.ndjson"
        assert dump(paginator, out).rows == len(ARTICLES)
        assert verify(paginator, out).ok
        some = replace(paginator, first=Texts("", ALPHABET).number("BOLT"), last=Texts("", ALPHABET).number("BOLT"))
        assert sorted(one["ArticleNo"] for one in some) == [one for one in ARTICLES if one.startswith("BOLT")]


def within(filters: dict[str, str]) -> list[dict[str, object]]:
    """Search the text anywhere instead of at the beginning."""
    beginning = filters.get("Begins") or filters["ArticleNo"]
    return [{"ArticleNo": one} for one in ARTICLES if beginning in one]


def exact_is_ignored(filters: dict[str, str]) -> list[dict[str, object]]:
    """Take a whole text for a beginning."""
    return matching_articles({"Begins": filters.get("Begins") or filters["ArticleNo"]})


@pytest.mark.parametrize("lie", [within, exact_is_ignored])
def test_misleading_filters_on_beginnings(lie: Any) -> None:
    """No walk ends as if it were complete."""
    with running(floor(lie)) as wsdl, pytest.raises(RemoteError, match="rticles: "):
        list(articles(wsdl))


def test_beginnings_cover_a_range_exactly() -> None:
    """All texts of a range of numbers, each once, and no others."""
    key = Texts("A", "abcdefghijkl")
    chance = random.Random(11)  # noqa: S311  no secret
    texts = sorted({"".join(chance.choices(key.alphabet, k=chance.randint(1, 6))) for _ in range(800)})
    for _ in range(60):
        first, last = sorted(key.number(one) for one in chance.sample(texts, 2))
        asked = list(key.beginnings(first - chance.randrange(3), last + chance.randrange(3)))
        for text in texts:
            hits = sum(text.startswith(operand) if how == "starts with" else text == operand for how, operand in asked)
            assert hits == (first - 2 <= key.number(text) <= last + 2 and hits) <= 1
            assert hits or not first <= key.number(text) <= last, (text, asked)


@pytest.mark.slow
def test_a_hundred_thousand_rows_by_time() -> None:
    """Exact, however many have the same second."""
    there = timestamps(99_000, 1_000)
    with running(crm(lambda filters: modified(there, filters))) as wsdl:
        assert sorted(one["ContactId"] for one in contacts(wsdl, "2023-11-14T00:00:00")) == sorted(
            name for _, name in there
        )


@pytest.mark.parametrize("kept", ["Since", "Until"])
def test_a_bound_on_time_that_is_dropped(kept: str) -> None:
    """It ends the walk, as does a clock that differs from that of the bounds."""
    there = timestamps(3_000, 10)

    def dropping(filters: dict[str, str]) -> Any:
        return modified(there, {kept: filters[kept]} if len(filters) > 1 else filters)

    with running(crm(dropping)) as wsdl, pytest.raises(FilterIgnoredError, match=r"ContactsModified: .* was requested"):
        list(contacts(wsdl, "2023-11-14T00:00:00"))


@pytest.mark.parametrize(
    ("service", "paginator"),
    [
        (warehouse(), documents),
        (erp(), invoices),
        (crm(partial(modified, timestamps(900, 50))), partial(contacts, since="2023-11-14T00:00:00")),
    ],
    ids=["numbers", "padded", "times"],
)
def test_bounds_that_a_service_honours(service: Service, paginator: Any) -> None:
    """Six kinds of queries, each with its outcome; none returns the whole table."""
    with running(service) as wsdl:
        found: Any = paginator(wsdl)
        evidence = found.source.examine(first=found.source.key.text(found.first))
        assert evidence.ok, str(evidence)
        assert [one.honoured for one in evidence.tried] == [True] * 6
        assert str(evidence).endswith("a walk can rely on it")
        assert len(service.asked) <= 20


@pytest.mark.parametrize(
    ("lie", "fails"),
    [
        (
            lambda filters: honest({"FirstNo": filters["FirstNo"]})[-900:] if "FirstNo" in filters else honest(filters),
            "",
        ),
        (lambda filters: honest({"LastNo": filters["LastNo"]})[:900], "not requested"),
        (
            lambda filters: honest(filters)[:-1] if filters.get("FirstNo") != "0" else honest(filters),
            "of 1 rows were returned",
        ),
        (lambda _: honest({"LastNo": "900"}), "not requested"),
        (lambda filters: honest(filters) if len(filters) > 1 else [row(70_001)], "not requested"),
        (lambda _: [], "no rows"),
    ],
)
def test_bounds_that_a_service_does_not_honour(lie: Any, fails: str) -> None:
    """The first one that fails is the last one tried, with the reason."""
    with running(warehouse(lie)) as wsdl:
        source: Any = documents(wsdl).source
        evidence = source.examine()
        assert not evidence.ok
        assert not evidence.tried[-1].honoured
        assert fails in evidence.tried[-1].outcome, str(evidence)
        assert all(one.honoured for one in evidence.tried[:-1])
        assert "FAILS" in str(evidence)
        assert str(evidence).endswith("a walk cannot rely on it")


WIDE = [10**15 + number for number in (*range(2, 3_000), *range(500_000, 503_000), 7 * 10**8)]


@pytest.mark.parametrize("bounds", [(10**15, 10**15 + 10**9), (10**15, 10**15 + 10**10)], ids=["alone", "shared"])
def test_ids_of_any_width(bounds: tuple[int, int], tmp_path: Path) -> None:
    """Wider than the numbers of the walk; also so far apart that several ids share a number."""

    def answer(filters: dict[str, str]) -> list[dict[str, object]]:
        first, last = int(filters.get("First", 0)), int(filters.get("Last", 1 << 63))
        return [{"Id": one} for one in WIDE if first <= one <= last]

    names = {"from": "First", "to": "Last"}
    with running(Service("Things", {"First": "long", "Last": "long"}, {"Id": "long"}, answer)) as wsdl:
        source = SoapSource(
            zeep.Client(wsdl).service.Things,
            lambda conditions: {names[one.operator]: int(one.value) for one in conditions},
            Numbers("Id", *bounds),
        )
        paginator = source.paginator("things")
        assert [int(one["Id"]) for one in paginator] == WIDE
        some = [int(one["Id"]) for one in source.paginator("things", first=10**15 + 500_000, last=10**15 + 500_008)]
        assert some[:9] == WIDE[2_998:3_007]
        assert len(some) - 9 in ([0] if source.key.alone else range(3))
        assert dump(paginator, tmp_path / "things.ndjson").rows == len(WIDE)
        assert verify(paginator, tmp_path / "things.ndjson").ok


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (Numbers("A"), "01"),
        (Numbers("A"), "4294967296"),
        (Numbers("A", last=1 << 40), "01"),
        (Numbers("A", last=1 << 40), str(1 << 41)),
        (Numbers("A", first=1 << 40, last=1 << 41), "5"),
        (PaddedNumbers("A", 4), "123"),
        (PaddedNumbers("A", 4, "N"), "M0123"),
        (Times("A", "B"), "2024-05-01T10:00:00Z"),
        (Times("A", "B", utc=True), "2024-05-01T10:00:00"),
        (Times("A", "B"), "1969-12-31T23:59:59"),
        (Times("A", "B"), "yesterday"),
        (Texts("A", "ABC"), "ABD"),
    ],
)
def test_a_key_of_another_kind(key: Any, text: str) -> None:
    """It raises an error; nothing is guessed."""
    with pytest.raises(ValueError, match=re.escape(text)):
        key.number(text)
    with pytest.raises(ValueError, match="''"):
        key.number("")


@pytest.mark.parametrize(
    "key",
    [
        Numbers("A"),
        Numbers("A", last=1 << 63),
        Numbers("A", first=10**30, last=10**30 + 10**12),
        PaddedNumbers("A", 9, "N"),
        Times("A", "B"),
        Times("A", "B", utc=True),
        Times("A", "B", fractions=True),
    ],
)
def test_numbers_have_the_order_of_keys(key: Any) -> None:
    """Each key has one number, and the higher key the higher number."""
    chance = random.Random(3)  # noqa: S311  no secret
    drawn = sorted(chance.randrange(key.highest + 1) for _ in range(500))
    texts = [key.text(one) for one in drawn]
    assert [key.number(one) for one in texts] == drawn
    assert [key.number(key.text(one, upper=True)) for one in drawn] == drawn
    if not isinstance(key, Numbers):
        assert texts == sorted(texts)


def test_invalid_options_are_refused() -> None:
    """Wildcards need digits, and numbers a width."""
    with pytest.raises(ValueError, match="wildcards need a key of Numbers"):
        SoapSource(list, arguments, Times("A", "B"), wildcards=True)
    for alphabet in ("", "ABA", "".join(map(chr, range(200, 300)))):
        with pytest.raises(ValueError, match="1 to 99 different characters"):
            Texts("A", alphabet)
    for first, last in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="first must be 0 or more"):
            Numbers("A", first, last)
    for digits in (0, 10):
        with pytest.raises(ValueError, match="digits must be 1 to 9"):
            PaddedNumbers("A", digits)


# Lists that are read step by step


THINGS = [{"Id": f"K{number}", "Size": number} for number in range(2_345)]


def stepped(way: str, there: list[dict[str, Any]], asked: list[Any]) -> SteppedSource:
    """Return a list that is read by an offset, by the last row, or by a token; a step has at most 500 rows."""

    def by_offset(offset: int, count: int) -> Any:
        asked.append(offset)
        return there[offset : offset + min(count, 500)]

    def behind_row(after: str | None, most: int) -> Any:
        asked.append(after)
        ids = [one["Id"] for one in there]
        first = ids.index(after) + 1 if after else 0
        return there[first : first + min(most, 500)]

    def by_token(token: str | None) -> Any:
        asked.append(token)
        first = int(token or "0", 16)
        return {"Things": there[first : first + 500], "More": f"{first + 500:x}" if first + 500 < len(there) else None}

    ways: dict[str, tuple[Any, Any, Any]] = {
        "offset": (
            by_offset,
            lambda begins: {"offset": begins or 0, "count": 1_000},
            lambda _, rows, begins: (begins or 0) + len(rows) if rows else None,
        ),
        "last row": (
            behind_row,
            lambda begins: {"after": begins, "most": 1_000},
            lambda _, rows, __: rows[-1]["Id"] if rows else None,
        ),
        "token": (by_token, lambda begins: {"token": begins}, lambda result, _, __: result["More"]),
    }
    return SteppedSource(*ways[way], "Id")


def ids_of(rows: Iterable[Any]) -> list[str]:
    """Return the identifiers of rows."""
    return [one["Id"] for one in rows]


@pytest.mark.parametrize("way", ["offset", "last row", "token"])
@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 2_345])
def test_step_by_step(way: str, count: int, tmp_path: Path) -> None:
    """Each row once, in the service's order, each step requested once; resumed, dumped and verified like any list."""
    asked: list[Any] = []
    source = stepped(way, THINGS[:count], asked)
    paginator = source.paginator("things")
    assert ids_of(paginator) == ids_of(THINGS[:count])
    assert len(asked) == len(set(asked)) or (count < 2 and len(asked) <= 6), "an empty list is asked for again"
    assert ids_of(paginator) == ids_of(THINGS[:count])
    pages = list(paginator.pages())
    for place, page in enumerate(pages):
        for one in (source, stepped(way, THINGS[:count], [])):
            rest = [row for later in one.paginator("things").pages(resume=page.cursor) for row in later.rows]
            assert ids_of(rest) == [row["Id"] for later in pages[place + 1 :] for row in later.rows]
    if count:
        out = tmp_path / "things.ndjson"
        assert dump(paginator, out).rows == count
        assert verify(paginator, out).ok


def test_steps_of_a_service() -> None:
    """Over HTTP, with a token next to the rows; columns are from the WSDL, failures have their remedy."""
    columns = {"Id": "string", "Size": "int", "More": "string"}

    def answer(filters: dict[str, str]) -> list[dict[str, object]]:
        first = int(filters.get("Continue", "0"))
        rows: list[dict[str, object]] = [dict(one) for one in THINGS[first : first + 400]]
        if rows and first + 400 < len(THINGS):
            rows[-1]["More"] = str(first + 400)
        return rows

    service = Service("ListThings", {"Continue": "string"}, columns, answer)
    with running(service) as wsdl:
        source = SteppedSource(
            zeep.Client(wsdl).service.ListThings,
            lambda token: {"Continue": token} if token else {},
            lambda _, rows, __: rows[-1].get("More") if rows else None,
            "Id",
        )
        service.instead = [(503, PAGE)]
        assert ids_of(source.paginator("things")) == ids_of(THINGS)
        assert len(service.asked) == 7
        assert source.columns("")[0] == {"Id": "text", "Size": "integer", "More": "text"}


def test_a_walk_of_steps_begins_anew() -> None:
    """A row that is new since the last walk is in the next one."""
    there = THINGS[:700]
    paginator = stepped("offset", there, []).paginator("things")
    assert len(list(paginator)) == 700
    there.append({"Id": "new"})
    assert ids_of(paginator)[-1] == "new"


def test_rows_that_move_between_steps() -> None:
    """Rows inserted before the position shift the others: rows that were already returned are skipped."""
    there = THINGS[:1_400]
    rows = iter(stepped("offset", there, []).paginator("things"))
    first = next(rows)
    there.insert(0, {"Id": "new"})
    assert ids_of([first, *rows]) == ids_of(THINGS[:1_400])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (THINGS[:10], "only rows of earlier steps"),
        ([{"Size": 1}], "has no Id"),
        ([{"Id": f"{one}"} for one in range(100_001)], "more than 100000 rows"),
    ],
)
def test_invalid_steps_are_refused(rows: Any, words: str) -> None:
    """A service that ignores the position would send its rows for ever."""

    def on(_: Any, __: Any, begins: Any) -> int:
        return (begins or 0) + 1

    source = SteppedSource(lambda **_: rows, lambda begins: {"begins": begins}, on, "Id")
    with pytest.raises(MalformedReplyError, match=words):
        list(source.paginator("things"))


def test_steps_take_no_conditions() -> None:
    """The user's function for the arguments would have to apply them."""
    with pytest.raises(RemoteError, match="only has bounds cannot evaluate"):
        list(stepped("offset", THINGS, []).fetch(Query((Condition("Size", "eq", "5"),), IdRange(0, 9))))
