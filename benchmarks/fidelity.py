"""How closely the embedded shop follows a live server: the fraction of recorded queries that it answers alike.

`python -m benchmarks.fidelity [FILE...]` prints a JSON line for each parser, flavour and list, and one for all. The
queries and the answers of a live server are next to the checkout, in `shared/samples/filters`; other files of the same
formats can be given. Queries by SOAP are passed to the shop's public `select`. Calls by XML-RPC, with the flavour
`xmlrpc` here, are requests in XML, and their replies are compared.
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
"""The folder of the recordings, which are not part of the project."""

RECORDED = ("truth.ndjson", "xmlrpc_truth.ndjson")
"""The files in that folder."""

PARSERS = {"modern": "20.0.20", "1810": "1.8.1.0", "1702": "1.7.0.2", "1620": "1.6.2.0", "1411": "1.4.1.1"}
"""The profile of each recorded parser."""


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded query.

    Attributes:
        parser: the version whose filter code was recorded.
        flavour: of SOAP.
        list: its name.
        simple: the entries of `filter`.
        complex: the entries of `complex_filter`.
        answer: the SHA-1 of the sorted ids joined by commas, or `fault` and a code.
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
        parser: the version whose code was recorded.
        list: the name of the requested list; of a `multiCall`, the first one.
        method: `call` or `multiCall`.
        arguments: those after the session, in XML.
        lists: the list of each result; a `call` has one.
        answer: the SHA-1 of the ids, `fault` and a code, or `http` and a status; of a `multiCall` one of these for
            each result, separated by blanks.
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
        recording = json.loads(text)
        yield _soap(recording) if "flavour" in recording else _xmlrpc(recording)


def _soap(recording: dict[str, Any]) -> Line:
    """Return a recorded query by SOAP."""
    return Line(
        recording["parser"],
        recording["flavour"],
        recording["list"],
        tuple(map(tuple, recording["simple"])),
        tuple(map(tuple, recording["complex"])),
        _recorded_answer(recording),
    )


def _recorded_answer(recording: dict[str, Any]) -> str:
    """Return the recorded answer, in the form of `Line.answer`."""
    kind, _, rest = recording["outcome"].partition(" ")
    return f"{kind} {rest.split()[0]}" if kind in {"fault", "http"} else recording["ids_sha1"]


def _xmlrpc(recording: dict[str, Any]) -> XmlRpcLine:
    """Return a recorded call by XML-RPC."""
    name = recording["list"]
    if "calls" in recording:
        calls = [[path, [filters]] for path, filters in recording["calls"]]
        lists = tuple(_LISTS.get(path.removesuffix(".list"), "") for path, _ in recording["calls"])
        answer = " ".join(map(_recorded_answer, recording["results"]))
        return XmlRpcLine(
            recording["parser"], name, "multiCall", (xml(calls),), lists, answer.replace("fault ", "fault:")
        )
    argument = recording.get("args", [recording.get("filters")])
    arguments = () if argument == "absent" else (xml(argument),)
    if "xml" in recording:
        arguments = (f"<value><array><data>{recording['xml']}</data></array></value>",)
    path = xml(recording.get("path", f"{LISTINGS[name].resource}.list"))
    return XmlRpcLine(recording["parser"], name, "call", (path, *arguments), (name,), _recorded_answer(recording))


_LISTS = {entry.resource: name for name, entry in LISTINGS.items()}


def xml(value: Any) -> str:
    """Return a JSON value as an XML-RPC value.

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
            members = (f"<member><name>{escape(name)}</name>{xml(member)}</member>" for name, member in value.items())
            return f"<value><struct>{''.join(members)}</struct></value>"
        case list():
            return f"<value><array><data>{''.join(map(xml, value))}</data></array></value>"
    return f"<value><string>{escape(str(value))}</string></value>"


def recorded_shop() -> Database:
    """Return a database with the rows of the live server."""
    database = Database()
    database.fill(read_rows(SAMPLES / "dataset.json"))
    return database


def increment_ids(database: Database) -> dict[str, Mapping[str, int]]:
    """Return the id of each increment id, for the lists whose rows may have no id."""
    newest = profile("20.0.20")
    by_list: dict[str, Mapping[str, int]] = {}
    for name in ("invoices", "shipments"):
        requested = listing(name, newest)
        index = requested.columns.index("increment_id")
        numbers = (str(row[index]) for row in database.select(newest, "rpc", requested, [], []))
        by_list[name] = dict(zip(numbers, database.ids(name), strict=True))
    return by_list


def answer(database: Tables, line: Recorded, known: Mapping[str, Mapping[str, int]]) -> str:
    """Return the answer of the embedded shop, in the form of `Line.answer`.

    Args:
        database: the rows.
        line: the query.
        known: ids by increment id, see `increment_ids`.
    """
    version = profile(PARSERS[line.parser])
    if isinstance(line, XmlRpcLine):
        return _reply(XmlRpc(Api(database, _SESSIONS, "", "")), line, known)
    requested = listing(line.list, version)
    key, number = requested.columns.index(requested.key_field), None
    if line.list in version.missing_ids:
        number = requested.columns.index("increment_id")
    try:
        rows = database.select(version, line.flavour, requested, line.simple, line.complex)
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
    """Return the answer of the embedded shop to a request by XML-RPC."""
    session = xml(_SESSIONS.login("", 3600))
    params = "".join(f"<param>{value}</param>" for value in (session, *line.arguments))
    body = f"<methodCall><methodName>{line.method}</methodName><params>{params}</params></methodCall>"
    settings = Settings(profile=profile(PARSERS[line.parser]))
    answer_ = shop.answer(body.encode(), Context(settings, 0.0))
    if answer_.status != HTTPStatus.OK:
        return f"http {answer_.status}"
    reply = b"".join(answer_.pieces)
    if line.method == "call":
        return _rows(reply.decode(), line.list, known)
    results: Any = xmlrpc.client.loads(reply)[0][0]
    return " ".join(_element(rows, name, known) for rows, name in zip(results, line.lists, strict=True))


def _rows(reply: str, name: str, known: Mapping[str, Mapping[str, int]]) -> str:
    """Return the fault of a reply, or the ids of its rows, from the increment ids if they have none.

    Read by regular expressions, because a parser would take minutes for the hundreds of replies with all orders.
    """
    if fault := re.search("<fault>.*?<int>(-?[0-9]+)</int>", reply):
        return f"fault {fault[1]}"

    def values(field: str) -> list[str]:
        return re.findall(
            f"<name>{field}</name><value>(?:<(?:int|string)>([^<]*)</(?:int|string)>|<nil/>)</value>", reply
        )

    keys = values(LISTINGS[name].key_field)
    return _sha1(sorted(map(int, keys) if all(keys) else (known[name][number] for number in values("increment_id"))))


def _element(rows: Any, name: str, known: Mapping[str, Mapping[str, int]]) -> str:
    """Return the fault, or the ids, of one result of a `multiCall`."""
    if isinstance(rows, dict):
        return f"fault:{rows['faultCode']}"
    keys = (row.get(LISTINGS[name].key_field) for row in rows)
    return _sha1(
        sorted(
            int(key) if key is not None else known[name][row["increment_id"]]
            for key, row in zip(keys, rows, strict=True)
        )
    )


def fractions(database: Database, lines: Iterable[Recorded]) -> Iterator[dict[str, object]]:
    """Yield the fraction of lines answered alike, for each group and at last for all groups together."""
    known = increment_ids(database)
    total: Counter[tuple[str, ...]] = Counter()
    same: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        alike = answer(database, line, known) == line.answer
        groups: tuple[tuple[str, ...], ...] = (line.group, ("all", "all", "all"))
        for group in groups:
            total[group] += 1
            same[group] += alike
    for group in sorted(total, key=lambda group: (group[0] == "all", group)):
        yield {
            **dict(zip(("parser", "flavour", "list"), group, strict=True)),
            "profile": PARSERS.get(group[0], "all"),
            "lines": total[group],
            "same": same[group],
            "fraction": round(same[group] / total[group], 4),
        }


def main(paths: list[str]) -> int:
    """Print the fractions; the exit status is 1 unless all lines are answered alike."""
    files = [Path(path) for path in paths] or [SAMPLES / name for name in RECORDED]
    if not SAMPLES.exists():
        print(f"no recordings at {SAMPLES}", file=sys.stderr)
        return 2
    with recorded_shop() as database:
        total: object = 0.0
        for figures in fractions(database, (line for path in files for line in read_lines(path))):
            print(json.dumps(figures))
            total = figures["fraction"]
    return 0 if total == 1 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
