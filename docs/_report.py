"""The keys of a dump's report: what `Report.as_json` writes, with the type and the meaning of each.

What is a field of a dataclass is described by that class; the rest is described here. A test holds real reports
against this.
"""

# ruff: noqa: INP001  docs are not a package

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import getdoc
from typing import TYPE_CHECKING

from magento_pager.export.checkpoints import Counters, Fingerprint
from magento_pager.walk.pages import Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a report.

    Attributes:
        path: the keys that lead to it, such as `asked.first`; `[]` stands for each element of a list.
        kind: the JSON type of its value, with `or null` where it may be null.
        meaning: what the value is.
    """

    path: str
    kind: str
    meaning: str


JSON = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "tuple[str, ...]": "list of strings"}
"""What a field of this type is in JSON."""

VALUES = {"True": "true", "False": "false", "None": "null"}
"""How JSON writes these."""

_TOP = """
entity | string | the list
asked | object | the request: what a later `--resume` must repeat
began | string or null | when the first run began, by the server's clock, in ISO 8601; null if the server sends no time
strategy | string | the strategies that returned rows, joined by ` + `: more than one if the server changed
= rows calls empty_calls checks bytes seconds first_id last_id verified
updated_since | object or null | the time of `--since` or `--state`, and what supports it; null without them
updated_since.time | string | the time, in ISO 8601
updated_since.condition | string or null | the condition that was sent; null if no page has been read
updated_since.verified | string or null | `rows`: rows carry the time of their last change, so each is checked; \
`probe`: they do not, and the condition was tested on a known row; `empty`: there was no row to test it on
updated_since.row | string, number or null | the identifier of that known row
updated_since.new_from | number or null | rows with this id or a higher one are included whenever they changed
updated_since.new_rows | number | rows with such an id
bounds | list of objects | the ranges in the conditions: how each was sent to the server
bounds[].column | string | the column
bounds[].by | string | `server` if the server alone applies the range, `here` if the client does, too
bounds[].condition | string | the bounds that were sent, in the form that this server honours
bounds[].here | string or null | the bounds that the server ignores, so they are applied to the rows that arrive
bounds[].verified | string | as in `updated_since.verified`
bounds[].row | string, number or null | the identifier of the row they were tested on
quarantined | list of objects | skipped rows, by id
= quarantined
repaired | list of numbers | ids of rows that were readable only after characters that XML does not allow were removed
details | object or null | how full records were read; null without `--details`
details.way | string or null | the protocol that returned them, `soap` or `xml-rpc`; null if none was needed
details.why | string or null | why the faster protocol was not used; null if it was
wire | string or null | the protocol of the latest rows, `soap` or `xml-rpc`; null if the list has only one
wire_reason | string or null | why it was chosen; null if there was no choice
undeclared_columns | list of strings | columns in the rows that the shop's WSDL does not declare
misfits | list of objects | values that are invalid for the type of their column, and null in the output
misfits[].column | string | the column
misfits[].count | number | how many values
misfits[].first | list of objects | the first ten of them
misfits[].first[].id | string, number or null | the identifier of the row
misfits[].first[].value | any | the value as the server sent it
digest | string | a digest of all rows, whatever their order and the format of the output
digests | list of objects | the same for each block of a million ids
digests[].first | number or null | the first id of the block; null for rows that carry no id
digests[].last | number or null | the last id of the block
digests[].rows | number | rows in the block
digests[].digest | string | their digest
complete | boolean | true once every requested id is covered and the output has its name
error | string or null | the message of the error that stopped the dump
"""


def keys() -> Iterator[Key]:
    """Yield each key of a report, in the order of `Report.as_json`."""
    counters = fields(Counters)
    for line in _TOP.strip().splitlines():
        if line == "= quarantined":
            yield from (Key(f"quarantined[].{name}", *field) for name, field in fields(Quarantined).items())
        elif line.startswith("= "):
            yield from (Key(name, *counters[name]) for name in line.split()[1:])
        else:
            key = Key(*line.split(" | "))
            yield key
            if key.path == "asked":
                yield from (Key(f"asked.{name}", *field) for name, field in fields(Fingerprint).items())


def fields(of: type) -> Mapping[str, tuple[str, str]]:
    """Return the JSON type and the meaning of each field of a dataclass, from its annotations and its docstring."""
    attributes = (getdoc(of) or "").partition("Attributes:\n")[2]
    meanings = re.findall(r"^    (\w+): (.*(?:\n        +.*)*)", attributes, re.MULTILINE)
    found = {}
    for name, meaning in meanings:
        kind, optional, _ = str(of.__annotations__[name]).partition(" | None")
        words = re.sub(r"\b(True|False|None)\b", lambda word: VALUES[word[0]], " ".join(meaning.split()).rstrip("."))
        found[name] = (JSON[kind] + " or null" * bool(optional), words)
    return found
