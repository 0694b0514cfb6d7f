"""How much of a live server's behaviour the embedded shop has: the share of recorded queries it answers alike.

`python -m benchmarks.fidelity [FILE...]` prints a JSON line for each parser, flavour and list, and one for all. The
queries and what a live server answered are beside the checkout, in `shared/samples/filters`; other files of the same
formats can be given. Queries by SOAP are put to the shop's public `select`; calls by XML-RPC, whose flavour is `xmlrpc`
here, are requests in XML, and what is compared is read out of the replies.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import xmlrpc.client
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.sax.saxutils import escape

from magento_pager.fake.api import Api, Context
from magento_pager.fake.data import read_rows
from magento_pager.fake.database.sqlite import Database
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import listing, profile
from magento_pager.fake.sessions import Sessions
from magento_pager.fake.settings import Settings
from magento_pager.fake.xmlrpc import XmlRpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from magento_pager.fake.api import Tables
    from magento_pager.fake.declarations import Flavour

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples" / "filters"
"""Where the recordings are; not part of the project."""

RECORDED = ("truth.ndjson", "xmlrpc_truth.ndjson")
"""The files there."""

PARSERS = {"modern": "20.0.20", "1810": "1.8.1.0", "1702": "1.7.0.2", "1620": "1.6.2.0", "1411": "1.4.1.1"}
"""The profile of each recorded parser."""


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded query.

    Attributes:
        parser: whose filter code ran, as recorded.
        flavour: of SOAP.
        list: its name.
        simple: the entries of `filter`.
        complex: the entries of `complex_filter`.
        answer: what came back: the SHA-1 of the sorted ids joined by commas, or `fault` and a code.
    """

    parser: str
    flavour: Flavour
    list: str
    simple: tuple[tuple[str, str], ...]
    complex: tuple[tuple[str, str, str], ...]
    answer: str

    @property
    def group(self) -> tuple[str, str, str]:
        """Parser, flavour and list."""
        return self.parser, self.flavour, self.list


@dataclass(frozen=True, slots=True)
class XmlRpcLine:
    """One recorded call by XML-RPC.

    Attributes:
        parser: whose code ran, as recorded.
        list: the name of the list that is asked for; of a `multiCall`, the first one.
        method: `call` or `multiCall`.
        arguments: those behind the session, in XML.
        lists: the list of each result; of a `call` there is one.
        answer: what came back: the SHA-1 of the ids, `fault` and a code, or `http` and a status; of a `multiCall` the
            same of each result, separated by blanks.
    """

    parser: str
    list: str
    method: str
    arguments: tuple[str, ...]
    lists: tuple[str, ...]
    answer: str

    @property
    def group(self) -> tuple[str, str, str]:
        """Parser, flavour and list."""
        return self.parser, "xmlrpc", self.list


Recorded: TypeAlias = Line | XmlRpcLine


def read_lines(path: Path) -> Iterator[Recorded]:
    """Yield the recorded queries of a file, of either format."""
    for text in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(text)
        yield _soap(one) if "flavour" in one else _xmlrpc(one)


def _soap(one: dict[str, Any]) -> Line:
    """Return a recorded query by SOAP."""
    return Line(
        one["parser"],
        one["flavour"],
        one["list"],
        tuple(map(tuple, one["simple"])),
        tuple(map(tuple, one["complex"])),
        _answered(one),
    )


def _answered(one: dict[str, Any]) -> str:
    """What came back, in the words of `Line.answer`."""
    kind, _, rest = one["outcome"].partition(" ")
    return f"{kind} {rest.split()[0]}" if kind in {"fault", "http"} else one["ids_sha1"]


def _xmlrpc(one: dict[str, Any]) -> XmlRpcLine:
    """Return a recorded call by XML-RPC."""
    name = one["list"]
    if "calls" in one:
        calls = [[path, [filters]] for path, filters in one["calls"]]
        lists = tuple(_LISTS.get(path.removesuffix(".list"), "") for path, _ in one["calls"])
        answer = " ".join(map(_answered, one["results"]))
        return XmlRpcLine(one["parser"], name, "multiCall", (xml(calls),), lists, answer.replace("fault ", "fault:"))
    given = one.get("args", [one.get("filters")])
    arguments = () if given == "absent" else (xml(given),)
    if "xml" in one:
        arguments = (f"<value><array><data>{one['xml']}</data></array></value>",)
    path = xml(one.get("path", f"{LISTINGS[name].resource}.list"))
    return XmlRpcLine(one["parser"], name, "call", (path, *arguments), (name,), _answered(one))


_LISTS = {one.resource: name for name, one in LISTINGS.items()}


def xml(value: Any) -> str:
    """Return a value of JSON as one of XML-RPC.

    >>> xml({"a": [7, None, True]})
    '<value><struct><member><name>a</name><value><array><data><value><int>7</int></value><value><nil/></value>...
    """
    match value:
        case None:
            return "<value><nil/></value>"
        case bool():
            return f"<value><boolean>{value:d}</boolean></value>"
        case int():
            return f"<value><int>{value}</int></value>"
        case float():
            return f"<value><double>{value}</double></value>"
        case dict():
            members = (f"<member><name>{escape(name)}</name>{xml(one)}</member>" for name, one in value.items())
            return f"<value><struct>{''.join(members)}</struct></value>"
        case list():
            return f"<value><array><data>{''.join(map(xml, value))}</data></array></value>"
    return f"<value><string>{escape(str(value))}</string></value>"


def recorded_shop() -> Database:
    """Return a database with the rows that the live server had."""
    database = Database()
    database.fill(read_rows(SAMPLES / "dataset.json"))
    return database


def increment_ids(database: Database) -> dict[str, Mapping[str, int]]:
    """Return the id of each increment id, of the lists whose rows may come without an id."""
    newest = profile("20.0.20")
    found: dict[str, Mapping[str, int]] = {}
    for name in ("invoices", "shipments"):
        asked = listing(name, newest)
        at = asked.columns.index("increment_id")
        numbers = (str(row[at]) for row in database.select(newest, "rpc", asked, [], []))
        found[name] = dict(zip(numbers, database.ids(name), strict=True))
    return found


def answer(database: Tables, line: Recorded, known: Mapping[str, Mapping[str, int]]) -> str:
    """What the embedded shop answers, in the words of `Line.answer`.

    Args:
        database: the rows.
        line: the query.
        known: ids by increment id, see `increment_ids`.
    """
    version = profile(PARSERS[line.parser])
    if isinstance(line, XmlRpcLine):
        return _reply(XmlRpc(Api(database, _SESSIONS, "", "")), line, known)
    asked = listing(line.list, version)
    key, number = asked.columns.index(asked.key_field), None
    if line.list in version.missing_ids:
        number = asked.columns.index("increment_id")
    try:
        rows = database.select(version, line.flavour, asked, line.simple, line.complex)
        ids = sorted(int(str(row[key])) if number is None else known[line.list][str(row[number])] for row in rows)
    except ShopFault as fault:
        return f"fault {fault.code}"
    except PhpFatal as fatal:
        return f"fatal {fatal.status}"
    return _sha1(ids)


_SESSIONS = Sessions()


def _sha1(ids: Iterable[int]) -> str:
    """Return the SHA-1 of ids that are sorted, joined by commas."""
    return hashlib.sha1(",".join(map(str, ids)).encode(), usedforsecurity=False).hexdigest()


def _reply(shop: XmlRpc, line: XmlRpcLine, known: Mapping[str, Mapping[str, int]]) -> str:
    """What the embedded shop answers to a request by XML-RPC."""
    session = xml(_SESSIONS.login("", 3600))
    params = "".join(f"<param>{value}</param>" for value in (session, *line.arguments))
    body = f"<methodCall><methodName>{line.method}</methodName><params>{params}</params></methodCall>"
    settings = Settings(profile=profile(PARSERS[line.parser]))
    found = shop.answer(body.encode(), Context(settings, 0.0))
    if found.status != HTTPStatus.OK:
        return f"http {found.status}"
    reply = b"".join(found.pieces)
    if line.method == "call":
        return _rows(reply.decode(), line.list, known)
    results: Any = xmlrpc.client.loads(reply)[0][0]
    return " ".join(_element(rows, name, known) for rows, name in zip(results, line.lists, strict=True))


def _rows(reply: str, name: str, known: Mapping[str, Mapping[str, int]]) -> str:
    """Return the fault of a reply, or the ids of its rows, by their number where they have none.

    Looked for as text: some hundred replies have all orders, which a parser takes minutes for.
    """
    if fault := re.search("<fault>.*?<int>(-?[0-9]+)</int>", reply):
        return f"fault {fault[1]}"

    def values(field: str) -> list[str]:
        return re.findall(
            f"<name>{field}</name><value>(?:<(?:int|string)>([^<]*)</(?:int|string)>|<nil/>)</value>", reply
        )

    keys = values(LISTINGS[name].key_field)
    return _sha1(sorted(map(int, keys) if all(keys) else (known[name][one] for one in values("increment_id"))))


def _element(rows: Any, name: str, known: Mapping[str, Mapping[str, int]]) -> str:
    """Return the same of one result of a `multiCall`."""
    if isinstance(rows, dict):
        return f"fault:{rows['faultCode']}"
    keys = (row.get(LISTINGS[name].key_field) for row in rows)
    return _sha1(
        sorted(
            int(key) if key is not None else known[name][row["increment_id"]]
            for key, row in zip(keys, rows, strict=True)
        )
    )


def shares(database: Database, lines: Iterable[Recorded]) -> Iterator[dict[str, object]]:
    """Yield the number of lines of each group are answered alike; the last one is all groups together."""
    known = increment_ids(database)
    total: Counter[tuple[str, ...]] = Counter()
    same: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        alike = answer(database, line, known) == line.answer
        groups: tuple[tuple[str, ...], ...] = (line.group, ("all", "all", "all"))
        for group in groups:
            total[group] += 1
            same[group] += alike
    for group in sorted(total, key=lambda one: (one[0] == "all", one)):
        yield {
            **dict(zip(("parser", "flavour", "list"), group, strict=True)),
            "profile": PARSERS.get(group[0], "all"),
            "lines": total[group],
            "same": same[group],
            "share": round(same[group] / total[group], 4),
        }


def main(paths: list[str]) -> int:
    """Print the shares; the exit status is 1 unless all lines are answered alike."""
    files = [Path(one) for one in paths] or [SAMPLES / name for name in RECORDED]
    if not SAMPLES.exists():
        print(f"no recordings at {SAMPLES}", file=sys.stderr)
        return 2
    with recorded_shop() as database:
        share: object = 0.0
        for one in shares(database, (line for path in files for line in read_lines(path))):
            print(json.dumps(one))
            share = one["share"]
    return 0 if share == 1 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
