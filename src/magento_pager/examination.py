"""`doctor`: can this shop be paged, by which strategies, and if not, what to do about it?

What lives here: one examination from the outside in (address, WSDL, login, then each list) and its report. It asks
little: a probe for each list, and a call for rows that cannot be told apart. Advice for a single failure is part of
that failure's own message; what only shows when everything is looked at together is said here.
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
    from magento_pager.shop.transport import HttpOptions
    from magento_pager.shop.wires import Wires
    from magento_pager.walk.evidence import ProbeReport

State = Literal["pageable", "absent", "denied", "trouble"]

ACCESS_DENIED = "2"
LARGEST_CLOCK_DIFFERENCE = 60.0  # seconds
NAMED = 5  # columns
COUNTED = 100  # rows without a number: who has more need not know how many


@dataclass(frozen=True, slots=True)
class XmlRpcFinding:
    """What was found out about a list by XML-RPC.

    Attributes:
        state: `alike` where the same rows came as by SOAP, `unlike` where others came, or none; `empty` where there was
            no row to compare.
        words: the evidence.
        strategy: the one that `auto` takes, or None.
        seconds_per_call: the mean of the trials' calls, or None.
        undeclared_columns: what rows hold and SOAP does not declare.
    """

    state: Literal["alike", "unlike", "empty"]
    words: str
    strategy: str | None = None
    seconds_per_call: float | None = None
    undeclared_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.state != "alike":
            return f"not by XML-RPC: {self.words}"
        pace = f"{self.seconds_per_call:.2f} s a call" if self.seconds_per_call is not None else ""
        names = self.undeclared_columns
        shown = ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)
        more = f"{len(names)} column{'s' * (len(names) > 1)} that SOAP does not declare ({shown})" if names else ""
        return f"by XML-RPC: {'; '.join(filter(None, [self.strategy, pace, self.words, more]))}"


@dataclass(frozen=True, slots=True)
class ListFinding:
    """What was found out about one list.

    Attributes:
        entity: the list.
        state: `absent` where the shop's version does not have it, `denied` where the API user may not read it,
            `trouble` where no strategy pages it by SOAP.
        strategy: the one that `auto` takes, or None.
        seconds_per_call: the mean of the probe's calls, or None.
        advice: what to do, in a sentence; empty where nothing is to be done.
        probe: the evidence, or None.
        xmlrpc: the same by XML-RPC; None where it was not tried, as the list is absent or denied.
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
    """What was found out about a shop.

    Attributes:
        url: the URL that was given.
        address: where calls go, or None where no WSDL could be read.
        flavour: "rpc" or "wsi", or None.
        namespace: the WSDL's, or None.
        wsdl_seconds: time to fetch and read the WSDL, or None.
        login_seconds: time to log in, or None.
        clock_difference: seconds that the server's clock is ahead of ours (behind: negative), or None.
        lists: one finding for each list; empty where it did not come to that.
        advice: what to do about the shop as a whole, a sentence each.
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
        return bool(self.lists) and all(one.state in {"pageable", "absent"} for one in self.lists)

    def as_json(self) -> dict[str, Any]:
        """The diagnosis as JSON values."""
        values = asdict(self) | {"healthy": self.healthy}
        for one, finding in zip(values["lists"], self.lists, strict=True):
            one["probe"] = finding.probe.as_json() if finding.probe else None
        return values

    def __str__(self) -> str:
        width = max((len(one.entity) for one in self.lists), default=0)
        lines = [f"shop      {self.url}"]
        if self.address:
            lines.append(f"calls to  {self.address} ({self.flavour}, {self.namespace})")
        if self.wsdl_seconds is not None:
            lines.append(f"WSDL      in {self.wsdl_seconds:.2f} s")
        if self.login_seconds is not None:
            lines.append(f"login     in {self.login_seconds:.2f} s")
        if self.clock_difference is not None:
            lines.append(f"clock     {self.clock_difference:+.0f} s from ours")
        for one in self.lists:
            pace = f"{one.seconds_per_call:.2f} s a call" if one.seconds_per_call is not None else ""
            parts = [one.strategy or "", pace, one.probe.server if one.probe else "", one.advice]
            lines.append(f"{one.entity:<{max(width + 1, 12)}}{one.state:<10}{'; '.join(filter(None, parts))}")
            lines += [f"{'':<{max(width + 1, 12) + 10}}{one.xmlrpc}"] if one.xmlrpc else []
        return "\n".join([*lines, *(f"advice    {sentence}" for sentence in self.advice)])


@with_options_of(connect)
def doctor(url: str, user: str, key: str, **options: Any) -> Diagnosis:
    """Examine a shop: whether each list can be paged, by which strategies, and what to do where not.

    Makes a probe for each list, of at most a few dozen small calls, and some more by XML-RPC. Takes the arguments of
    `connect`.

    Returns:
        What was found. A shop that cannot be reached, logged in to or read is a finding, not an error.

    Raises:
        ValueError: an option that cannot be right.
        TypeError: an unknown option.
    """
    return examine(url, user, key, http_options(**options))


def examine(url: str, user: str, key: str, options: HttpOptions | None = None) -> Diagnosis:
    """Examine a shop as `doctor` does.

    Args:
        url: the shop's base address, or that of any of its APIs or of its WSDL.
        user: the API user.
        key: the API key.
        options: how the shop is reached.

    Returns:
        What was found. A shop that cannot be reached or read is a finding, not an error.
    """
    began = time.monotonic()
    try:
        connection = Connection(url, user, key, options)
    except (PagerError, ValueError) as error:
        return Diagnosis(url, advice=(str(error),))
    with Pager(connection) as pager:
        address, namespace = map(connection.redacted, (connection.address, connection.namespace))
        found = Diagnosis(url, address, connection.flavour, namespace, round(time.monotonic() - began, 3))
        began = time.monotonic()
        try:
            connection.login()
        except PagerError as error:
            return replace(found, advice=(str(error),))
        found = replace(
            found,
            login_seconds=round(time.monotonic() - began, 3),
            clock_difference=_clock_difference(connection.clock),
        )
        lists = tuple(_by_both_wires(pager, _examined(pager, spec), spec) for spec in LISTS.values())
        return replace(found, lists=lists, advice=tuple(_advice(connection.flavour, found.clock_difference, lists)))


def _examined(pager: Pager, spec: ListSpec) -> ListFinding:
    if not pager.connection.has(spec.operation):
        since = f"the list came with Magento {spec.since}" if spec.since else "the WSDL does not declare it"
        return ListFinding(spec.name, "absent", advice=since)
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


def _by_both_wires(pager: Pager, found: ListFinding, spec: ListSpec) -> ListFinding:
    """Add what XML-RPC brings, which may be more than SOAP does."""
    if found.state in {"absent", "denied"}:
        return found
    asked = pager.list(spec.name, wire="auto")
    wires = cast("Wires", asked.wires)
    try:
        by_soap = found.state == "pageable"
        alike, words = wires.comparison(asked) if by_soap else wires.comparison_of_records(asked)
        if not alike:
            return replace(found, xmlrpc=XmlRpcFinding("empty" if words == NO_ROW else "unlike", words))
        paginator = pager.list(spec.name, wire="xml-rpc")
        report = paginator.probe()
    except PagerError as error:
        return replace(found, xmlrpc=XmlRpcFinding("unlike", str(error)))
    names = tuple(paginator.source.used()["undeclared_columns"])  # type: ignore[attr-defined]  # an XmlRpcSource
    strategy = report.chosen or "prefix"
    xmlrpc = XmlRpcFinding("alike", words, strategy, _mean(report), names)
    if found.state == "trouble":
        found = replace(found, advice=f'XML-RPC pages it: give --wire xml-rpc, or wire="xml-rpc". SOAP: {found.advice}')
    return replace(found, xmlrpc=xmlrpc)


def _mean(report: ProbeReport) -> float | None:
    """Return the mean time of the calls of trials, in seconds."""
    seconds = [trial.seconds for trial in report.trials]
    return round(sum(seconds) / len(seconds), 3) if seconds else None


def _probed(pager: Pager, spec: ListSpec) -> ProbeReport:
    """Probe a list; where its first rows break their replies, a walk decides whether others come.

    Raises:
        PagerError: no list comes, or no row does.
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
    """Say what a dump does with rows that lack the number they are told apart by; empty where there are none."""
    if spec.identity is None:
        return ""
    query = Query((Condition(spec.identity, "null", "1"),), IdRange(0, MAX_ID))
    try:
        with closing(ListSource(pager.connection, spec).fetch(query)) as found:
            rows = list(islice(found, COUNTED + 1))
    except PagerError:
        return ""
    if not rows or any(spec.identity in row for row in rows):  # none, or the filter was ignored
        return ""
    count = f"more than {COUNTED} rows have" if len(rows) > COUNTED else f"{len(rows)} row(s) have"
    fate = "dump skips them by name and exits with status 3"
    if all(spec.key in row for row in rows):
        fate = "dump delivers them; with --details it skips them by name and exits with status 3"
    elif len(rows) >= MOST_SKIPPED_IN_A_ROW:
        fate += f", or stops where {MOST_SKIPPED_IN_A_ROW} of them follow one another"
    return f"{count} no {spec.identity}: {fate}; give them one in the shop's database"


def _clock_difference(there: datetime | None) -> float | None:
    """Seconds that a shop's clock is ahead of ours; None where it does not say its time."""
    return None if there is None else round((there - datetime.now(UTC)).total_seconds())


def _advice(flavour: str, difference: float | None, findings: tuple[ListFinding, ...]) -> list[str]:
    """What only shows when everything is looked at together."""
    advice: list[str] = []
    there = [one for one in findings if one.state != "absent"]
    if flavour == "wsi" and there and all(one.state == "trouble" for one in there):
        alike = all(one.xmlrpc and one.xmlrpc.state == "alike" for one in there)
        instead = ", or page them by XML-RPC" if alike else ""
        advice.append(
            "No list can be paged by SOAP, and the shop speaks WS-I: Magento 1.5.1 to 1.6.2 breaks every filter there. "
            f"Switch WS-I off (System, Configuration, Magento Core API, WS-I Compliance){instead}."
        )
    if difference is not None and abs(difference) > LARGEST_CLOCK_DIFFERENCE:
        advice.append(
            f"The server's clock is {abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} ours: give "
            "times in the server's clock."
        )
    scans = [one.entity for one in there if one.strategy == "prefix" and one.probe and one.probe.trials]
    if scans:
        advice.append(f"Each call for {', '.join(scans)} scans the whole table: page them at a quiet hour.")
    return advice
