"""`doctor`: whether this shop's lists can be paged, by which strategies, and what to do if not.

What lives here: one examination (address, WSDL, login, then each list) and its report. It makes few calls: a probe for
each list, and a call for rows that cannot be identified. The message of a failure has its own advice; the advice here
is what follows from all findings together.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast

from magento_pager.errors import FaultError, NoStrategyError, PagerError
from magento_pager.lists import LISTS, ListSpec
from magento_pager.pager import Pager, connect, http_options, with_options_of
from magento_pager.shop.connection import Connection
from magento_pager.shop.sources import ListSource
from magento_pager.shop.wires import NO_ROW
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.isolation import MOST_SKIPPED_IN_A_ROW
from magento_pager.walk.ranges import MAX_ID, IdRange

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.shop.transport import HttpOptions
    from magento_pager.shop.wires import Wires
    from magento_pager.walk.evidence import ProbeReport

State = Literal["pageable", "absent", "denied", "trouble"]

ACCESS_DENIED = "2"
LARGEST_CLOCK_DIFFERENCE = 60.0  # seconds
NAMED = 5  # columns
COUNTED = 100  # rows without a number: of more, only "more than 100" is reported


@dataclass(frozen=True, slots=True)
class XmlRpcFinding:
    """Finding about a list by XML-RPC.

    Attributes:
        state: `alike` where it returned the same rows as SOAP, `unlike` where it returned other rows or failed; `empty`
            where there was no row to compare.
        words: the evidence, as text.
        strategy: the strategy that `auto` uses, or None.
        seconds_per_call: mean duration of the trials' calls, or None.
        undeclared_columns: columns of the rows that SOAP does not declare.

    >>> str(XmlRpcFinding("empty", "there was no row to compare"))
    'not by XML-RPC: there was no row to compare'
    """

    state: Literal["alike", "unlike", "empty"]
    words: str
    strategy: str | None = None
    seconds_per_call: float | None = None
    undeclared_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.state != "alike":
            return f"not by XML-RPC: {self.words}"
        pace = f"{self.seconds_per_call:.2f} s per call" if self.seconds_per_call is not None else ""
        names = self.undeclared_columns
        shown = ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)
        more = f"{len(names)} column{'s' * (len(names) > 1)} that SOAP does not declare ({shown})" if names else ""
        return f"by XML-RPC: {'; '.join(filter(None, [self.strategy, pace, self.words, more]))}"


@dataclass(frozen=True, slots=True)
class ListFinding:
    """Finding about one list.

    Attributes:
        entity: the list.
        state: `pageable`; `absent` where the shop's version does not have the list; `denied` where the API user may not
            read it; `trouble` where no strategy pages it by SOAP.
        strategy: the strategy that `auto` uses, or None.
        seconds_per_call: mean duration of the probe's calls, or None.
        advice: what to do, in a sentence; empty where nothing needs doing.
        probe: the evidence, or None.
        xmlrpc: the finding by XML-RPC; None where it was not tried, because the list is absent or denied.

    >>> ListFinding("orders", "pageable", "key-range").strategy
    'key-range'
    """

    entity: str
    state: State
    strategy: str | None = None
    seconds_per_call: float | None = None
    advice: str = ""
    probe: ProbeReport | None = None
    xmlrpc: XmlRpcFinding | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings about a shop.

    Attributes:
        url: the URL that was given.
        address: the address of the calls, or None where no WSDL could be read.
        flavour: "rpc" or "wsi", or None.
        namespace: the namespace of the WSDL, or None.
        wsdl_seconds: time to fetch and read the WSDL, or None.
        login_seconds: time to log in, or None.
        clock_difference: how many seconds the server's clock is ahead of this machine's (negative: behind), or None.
        lists: one finding for each list; empty where the examination ended before.
        advice: what to do about the shop as a whole, one sentence each.

    >>> Diagnosis("https://shop.example/", advice=("Check the address.",)).healthy
    False
    """

    url: str
    address: str | None = None
    flavour: str | None = None
    namespace: str | None = None
    wsdl_seconds: float | None = None
    login_seconds: float | None = None
    clock_difference: float | None = None
    lists: tuple[ListFinding, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """True where every list that the shop has can be paged."""
        return bool(self.lists) and all(finding.state in {"pageable", "absent"} for finding in self.lists)

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values."""
        values = asdict(self) | {"healthy": self.healthy}
        for entry, finding in zip(values["lists"], self.lists, strict=True):
            entry["probe"] = finding.probe.as_json() if finding.probe else None
        return values

    def __str__(self) -> str:
        width = max((len(finding.entity) for finding in self.lists), default=0)
        lines = [f"shop      {self.url}"]
        if self.address:
            lines.append(f"calls to  {self.address} ({self.flavour}, {self.namespace})")
        if self.wsdl_seconds is not None:
            lines.append(f"WSDL      in {self.wsdl_seconds:.2f} s")
        if self.login_seconds is not None:
            lines.append(f"login     in {self.login_seconds:.2f} s")
        if self.clock_difference is not None:
            lines.append(f"clock     {self.clock_difference:+.0f} s compared with this machine")
        for finding in self.lists:
            pace = f"{finding.seconds_per_call:.2f} s per call" if finding.seconds_per_call is not None else ""
            parts = [finding.strategy or "", pace, finding.probe.server if finding.probe else "", finding.advice]
            lines.append(f"{finding.entity:<{max(width + 1, 12)}}{finding.state:<10}{'; '.join(filter(None, parts))}")
            lines += [f"{'':<{max(width + 1, 12) + 10}}{finding.xmlrpc}"] if finding.xmlrpc else []
        return "\n".join([*lines, *(f"advice    {sentence}" for sentence in self.advice)])


@with_options_of(connect)
def doctor(url: str, user: str, key: str, **options: Any) -> Diagnosis:
    """Examine a shop: whether each list can be paged, by which strategies, and what to do if not.

    Probes each list by at most a few dozen small calls, and some more by XML-RPC. Takes the arguments of `connect`.

    Returns:
        The findings. A shop that cannot be reached, logged in to or read is a finding, not an error.

    Raises:
        ValueError: an option has an impossible value.
        TypeError: an unknown option.

    >>> from magento_pager.fake import Shop
    >>> with Shop(orders=3) as shop:
    ...     doctor(shop.url, shop.user, shop.key).healthy
    True
    """
    return examine(url, user, key, http_options(**options))


def examine(
    url: str,
    user: str,
    key: str,
    options: HttpOptions | None = None,
    *,
    progress: Callable[[str], object] = lambda _: None,
) -> Diagnosis:
    """Examine a shop as `doctor` does.

    Args:
        url: the shop's base address, or that of any of its APIs or of its WSDL.
        user: the API user.
        key: the API key.
        options: the options of the connection.
        progress: called with a line of text, such as "Checking invoices (2 of 6)...", before each list.

    Returns:
        The findings. A shop that cannot be reached or read is a finding, not an error.
    """
    began = time.monotonic()
    try:
        connection = Connection(url, user, key, options)
    except (PagerError, ValueError) as error:
        return Diagnosis(url, advice=(str(error),))
    with Pager(connection) as pager:
        address, namespace = map(connection.redacted, (connection.address, connection.namespace))
        diagnosis = Diagnosis(url, address, connection.flavour, namespace, round(time.monotonic() - began, 3))
        began = time.monotonic()
        try:
            connection.login()
        except PagerError as error:
            return replace(diagnosis, advice=(str(error),))
        diagnosis = replace(
            diagnosis,
            login_seconds=round(time.monotonic() - began, 3),
            clock_difference=_clock_difference(connection.clock),
        )
        lists: tuple[ListFinding, ...] = ()
        for number, spec in enumerate(LISTS.values(), start=1):
            progress(f"Checking {spec.name} ({number} of {len(LISTS)})...")
            lists += (_by_both_wires(pager, _examined(pager, spec), spec),)
        return replace(
            diagnosis, lists=lists, advice=tuple(_advice(connection.flavour, diagnosis.clock_difference, lists))
        )


def _examined(pager: Pager, spec: ListSpec) -> ListFinding:
    if not pager.connection.has(spec.operation):
        reason = f"Magento has this list from {spec.since} on" if spec.since else "the WSDL does not declare this list"
        return ListFinding(spec.name, "absent", advice=reason)
    try:
        report = _probed(pager, spec)
    except NoStrategyError as error:
        return ListFinding(spec.name, "trouble", advice=str(error), probe=error.report)
    except FaultError as error:
        state: State = "denied" if error.code == ACCESS_DENIED else "trouble"
        return ListFinding(spec.name, state, advice=str(error))
    except PagerError as error:
        return ListFinding(spec.name, "trouble", advice=str(error))
    advice = _about_rows_without_identity(pager, spec)
    return ListFinding(spec.name, "pageable", report.chosen or "prefix", _mean(report), advice, report)


def _by_both_wires(pager: Pager, finding: ListFinding, spec: ListSpec) -> ListFinding:
    """Add the finding by XML-RPC, which may have more columns than SOAP."""
    if finding.state in {"absent", "denied"}:
        return finding
    compared = pager.list(spec.name, wire="auto")
    wires = cast("Wires", compared.wires)
    try:
        by_soap = finding.state == "pageable"
        alike, reason = wires.comparison(compared) if by_soap else wires.comparison_of_records(compared)
        if not alike:
            return replace(finding, xmlrpc=XmlRpcFinding("empty" if reason == NO_ROW else "unlike", reason))
        paginator = pager.list(spec.name, wire="xml-rpc")
        report = paginator.probe()
    except PagerError as error:
        return replace(finding, xmlrpc=XmlRpcFinding("unlike", str(error)))
    names = tuple(paginator.source.used()["undeclared_columns"])  # type: ignore[attr-defined]  # an XmlRpcSource
    strategy = report.chosen or "prefix"
    xmlrpc = XmlRpcFinding("alike", reason, strategy, _mean(report), names)
    if finding.state == "trouble":
        finding = replace(finding, advice=f'use XML-RPC: --wire xml-rpc, or wire="xml-rpc". By SOAP: {finding.advice}')
    return replace(finding, xmlrpc=xmlrpc)


def _mean(report: ProbeReport) -> float | None:
    """Return the mean duration of the trials' calls, in seconds."""
    seconds = [trial.seconds for trial in report.trials]
    return round(sum(seconds) / len(seconds), 3) if seconds else None


def _probed(pager: Pager, spec: ListSpec) -> ProbeReport:
    """Probe a list; where replies with its first rows fail, a walk finds out whether other rows can be read.

    Raises:
        PagerError: the list, or every row, cannot be read.
    """
    try:
        return pager.list(spec.name).probe(exhaustive=True)
    except NoStrategyError as error:
        if error.report.trials or not error.report.calls:
            raise
        with suppress(PagerError):
            if any(page.rows for page in pager.list(spec.name, patience=0.0).pages()):
                return error.report
        raise


def _about_rows_without_identity(pager: Pager, spec: ListSpec) -> str:
    """Return what a dump does with rows that lack the number that identifies them; empty where there are none."""
    if spec.identity is None:
        return ""
    query = Query((Condition(spec.identity, "null", "1"),), IdRange(0, MAX_ID))
    try:
        with closing(ListSource(pager.connection, spec).fetch(query)) as reply:
            rows = list(islice(reply, COUNTED + 1))
    except PagerError:
        return ""
    if not rows or any(spec.identity in row for row in rows):  # none, or the server ignored the filter
        return ""
    count = f"more than {COUNTED} rows have" if len(rows) > COUNTED else f"{len(rows)} row(s) have"
    effect = "dump skips and reports them, and exits with status 3"
    if all(spec.key in row for row in rows):
        effect = "dump writes them; with --details it skips and reports them, and exits with status 3"
    elif len(rows) >= MOST_SKIPPED_IN_A_ROW:
        effect += f", or stops after {MOST_SKIPPED_IN_A_ROW} of them in a row"
    return f"{count} no {spec.identity}: {effect}; assign one in the shop's database"


def _clock_difference(server_time: datetime | None) -> float | None:
    """Return how many seconds a shop's clock is ahead of this machine's; None where the shop does not send its time."""
    return None if server_time is None else round((server_time - datetime.now(UTC)).total_seconds())


def _advice(flavour: str, difference: float | None, findings: tuple[ListFinding, ...]) -> list[str]:
    """Return the advice that follows from all findings together."""
    advice: list[str] = []
    present = [finding for finding in findings if finding.state != "absent"]
    if flavour == "wsi" and present and all(finding.state == "trouble" for finding in present):
        alike = all(finding.xmlrpc and finding.xmlrpc.state == "alike" for finding in present)
        alternative = ", or page them by XML-RPC (--wire xml-rpc)" if alike else ""
        advice.append(
            "No list can be paged by SOAP. The shop uses WS-I, in which Magento 1.5.1 to 1.6.2 breaks every filter. "
            f"Switch WS-I off (System, Configuration, Magento Core API, WS-I Compliance){alternative}."
        )
    if difference is not None and abs(difference) > LARGEST_CLOCK_DIFFERENCE:
        side = "ahead of" if difference > 0 else "behind"
        advice.append(
            f"The server's clock is {abs(difference):.0f} s {side} this machine's. "
            "Give times, as for --since, by the server's clock."
        )
    scanned = [
        finding.entity for finding in present if finding.strategy == "prefix" and finding.probe and finding.probe.trials
    ]
    if scanned:
        advice.append(f"Each call for {', '.join(scanned)} scans the whole table. Read them when the shop is quiet.")
    return advice
