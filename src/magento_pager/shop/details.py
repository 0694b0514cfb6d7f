"""Records in full: what a list leaves out of its rows, asked for row by row and put into them, page by page.

What lives here: which of two ways asks for records, and what becomes of a row whose record does not come. The ways are
in `records`. It is a stage of a walk: from page to page, whole or not at all. How calls travel is not known here.

- **Two ways, the same rows.** SOAP takes a call for each record. XML-RPC, where the shop has it, takes many in one
  (`multiCall`; seen on a live shop: 100 orders in 0.46 s, against 31 ms each). Both are asked for the first record of a
  walk, and only if XML-RPC gives the same is it trusted with the rest. It gives more columns than SOAP, numbers and
  booleans as such and NULLs as values: all of that is brought into the form that the WSDL promises, in `records`.
- **The row of the list wins.** A record adds what the row lacks and never changes what it has: the conditions of the
  walk were checked on the row, and its key names it. The record was read a moment later.
- **Nothing is lost silently.** A record that is not there, and whose row the list no longer has either, was deleted
  meanwhile: its row is left out, as if it had been deleted before. A record that does not come although its row is
  there is asked for again, alone and by SOAP; if it still does not while others do, its row is left out and named.
- **Never another's.** Proxies and caches mix replies up. A record names itself: where one result of a `multiCall` is
  not the one that was asked for, nothing of that reply is used. A list of addresses names nobody: a `multiCall` asks
  for it twice, around the customer's own record; by SOAP the list of customers is asked whose default address came,
  and addresses that are nobody's default, or none at all, have to come twice. No address comes with two customers.
- **One configurable product in a `multiCall`.** Of all later ones Magento gives the attributes that the first one has
  (seen on 20.0.20; the code is the same since 1.3.0). A type that we do not know may be such a one.
"""

from __future__ import annotations

import logging
import time
from array import array
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError
from magento_pager.shop.connection import ListSource
from magento_pager.shop.records import Answer, Found, SoapRecords, Way, XmlRpcRecords, address_ids, another
from magento_pager.walk.calls import Calls
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.flows import find_row
from magento_pager.walk.isolation import MOST_IN_A_ROW, SINGLE_ROW_RETRIES
from magento_pager.walk.pages import Cursor, Page, Quarantined
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import PATIENCE, Reader
from magento_pager.walk.recovery import action
from magento_pager.walk.strategies import Prefix
from magento_pager.walk.walk import DEFAULT_GOAL, Walk
from magento_pager.walk.windows import Goal, Pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Reversible, Sequence

    from magento_pager.lists import ListSpec
    from magento_pager.shop.connection import Connection
    from magento_pager.walk.pages import Row

MOST_AT_ONCE = 250  # records in one call: about 5 MB of orders
FIRST_AT_ONCE = 10
PROBED = 3  # records of a page that the ways are compared by, until one settles it
TIMES_ASKED = 3  # that addresses are asked for once more before they are given up
PROBING = 5.0  # seconds for which XML-RPC is tried again before it is given up: SOAP can do the same

log = logging.getLogger(__name__)


def _default(found: Iterable[Mapping[str, str]]) -> str | None:
    """Return the id of the default billing address among all of a customer."""
    return next((one["customer_address_id"] for one in found if one.get("is_default_billing") == "true"), None)


class _Owners:
    """Which customer each address came with. Takes four bytes an address: the ids of a shop lie close together."""

    NOBODY = MAX_ID  # that of an address which came with two customers
    _BLOCK = 64

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}

    def of(self, address: int) -> int:
        """Return the customer's id; 0 where the address is new."""
        block = self._blocks.get(address // self._BLOCK)
        return block[address % self._BLOCK] if block else 0

    def give(self, address: int, customer: int) -> None:
        """Remember a customer's id."""
        block = self._blocks.setdefault(address // self._BLOCK, array("I", [0]) * self._BLOCK)
        block[address % self._BLOCK] = customer


class Details:
    """A stage of a walk that puts records in full into the rows of a page.

    Attributes:
        way: "xml-rpc" or "soap"; None as long as nothing settled it.
        why: in words, why it is not "xml-rpc"; else empty.
    """

    def __init__(
        self,
        connection: Connection,
        spec: ListSpec,
        *,
        goal: Goal = DEFAULT_GOAL,
        patience: float = PATIENCE,
        nice: float = 0.0,
        repair: bool = False,
        told: Details | None = None,
    ) -> None:
        """Get ready; nothing is asked before the first page.

        Args:
            connection: to the shop.
            spec: the list that is walked; it has records.
            goal: records and seconds that a call should bring; of records, never more than `MOST_AT_ONCE`.
            patience: seconds for which a call is tried again, ever more slowly, where a failure may pass.
            nice: seconds to leave the server alone after a call, for each second that the call took.
            repair: read records in which control characters break the XML, without those characters.
            told: another one that is told the way as well, once it is chosen.
        """
        self.way: str | None = None
        self.why = ""
        self._begin = partial(Details, connection, spec, goal=goal, patience=patience, nice=nice, repair=repair)
        self._told = told
        if spec.record is None:
            raise ValueError(f"{spec.name} have no records in full: leave details away")
        self._part = spec.record
        self._reader = Reader(
            ListSource(connection, spec, repair=True),  # it only looks for rows, and delivers none
            spec.key,
            spec.identity,
            spec.operation,
            patience=patience,
        )
        self._soap, self._xmlrpc = SoapRecords(connection, self._part), XmlRpcRecords(connection, self._part)
        self._nice = nice
        self._repair = repair
        self._chosen: Way | None = None
        pace = Pace.start(Goal(min(goal.rows, MOST_AT_ONCE), goal.seconds))
        self._pace = replace(pace, width=min(pace.width, FIRST_AT_ONCE))
        self._calls = 0
        self._owners = _Owners()
        self._good: str | None = None  # the key of a record that came
        self._in_a_row = 0  # rows left out since one came

    def begin(self) -> Details:
        """Return the stage for one walk, which remembers nothing of others; this one is told the way it goes."""
        return self._begin(told=self)

    @classmethod
    def of(cls, stages: Iterable[object]) -> Details | None:
        """The one among the stages of a paginator; None where rows are not in full."""
        return next((stage for stage in stages if isinstance(stage, cls)), None)

    def as_json(self) -> dict[str, str | None]:
        """The way and why it is not the other one, as JSON values."""
        return {"way": self.way, "why": self.why or None}

    def __repr__(self) -> str:
        return f"<Details by {self._part.soap}, way: {self.way}>"

    def __call__(self, page: Page) -> Page:
        """The page with its records in full; rows that were deleted meanwhile, and those that cannot be read, left out.

        Raises:
            RemoteError: a call failed, and did so again as long as it was tried; or the server is unwell.
        """
        if not page.rows:
            return page
        began, self._calls = time.monotonic(), 0
        rows: list[Row] = []
        left_out = list(page.quarantined)
        repaired = set(page.repaired)
        for row, came in zip(page.rows, self._answers(page.rows), strict=True):
            answer = self._of_row(row, came)
            settled: Found | Quarantined | None
            if not isinstance(answer, RemoteError):
                settled = answer
            elif (mended := self._mended(row, answer)) is not None:
                settled = mended
                repaired |= {number for number in [self._present(row, page)] if number is not None}
            else:
                settled = self._settled(row, answer, page)
            if isinstance(settled, Quarantined):
                left_out.append(settled)
                self._in_a_row += 1
                if self._in_a_row >= MOST_IN_A_ROW:
                    self._in_a_row = 0
                    raise self._unwell(settled.reason)
            elif settled is not None:
                rows.append(self._joined(row, settled))
                self._in_a_row = 0
        stats = replace(
            page.stats, calls=page.stats.calls + self._calls, seconds=page.stats.seconds + time.monotonic() - began
        )
        named = tuple(sorted(left_out, key=lambda one: one.id))
        return replace(page, rows=tuple(rows), stats=stats, quarantined=named, repaired=tuple(sorted(repaired)))

    def _joined(self, row: Row, found: Found) -> Row:
        """A row with what it lacks.

        Raises:
            MalformedReplyError: it lacked its id, and the record has one that is none.
        """
        more = found if isinstance(found, dict) else {str(self._part.into): found}
        joined = row | {name: value for name, value in more.items() if name not in row}
        self._reader.token(joined)
        return joined

    def _answers(self, rows: Sequence[Row]) -> list[Answer]:
        """What came for each row."""
        share = self._part.share
        keys = [row.get(self._part.key) or "" for row in rows]
        alone = dict.fromkeys(
            key for key, row in zip(keys, rows, strict=True) if share and row.get("type") not in share
        )
        singles, others = [key for key in alone if key], [key for key in dict.fromkeys(keys) if key not in {"", *alone}]
        answers: dict[str, Answer] = {}
        way = self._chosen or (self._settle_way([*others, *singles]) if any(keys) else self._soap)
        while singles or others:
            size = min(self._pace.width, MOST_AT_ONCE) if way is self._xmlrpc else 1
            batch = [*singles[:1], *others[: size - len(singles[:1])]]
            del others[: len(batch) - len(singles[:1])], singles[:1]
            answers |= zip(batch, self._batch(way, batch), strict=True)
            if self._failures(answers.values()) >= MOST_IN_A_ROW:
                raise self._unwell(str(answers[batch[-1]]))
        if self._part.echo:
            self._confirm(answers, tied=way is self._xmlrpc)
        came = (key for key, answer in reversed(answers.items()) if not isinstance(answer, RemoteError))
        self._good = next(came, self._good)
        return [answers[key] if key else RemoteError(f"it has no {self._part.key} to ask for it by") for key in keys]

    def _of_row(self, row: Row, answer: Answer) -> Answer:
        """Return an answer; an error where it is the record of another row with the same key."""
        name = self._reader.id_field
        if isinstance(answer, dict) and name in row and answer.get(name, row[name]) != row[name]:
            return another(self._part, row[self._part.key], f"{name} {answer[name]} instead of {row[name]}")
        return answer

    def _confirm(self, answers: dict[str, Answer], *, tied: bool) -> None:
        """Turn lists of addresses that may be another customer's into those that are not, or into errors.

        Args:
            answers: what came for each customer; changed in place.
            tied: each list came with its customer's own record.
        """
        lists = {key: found for key, found in answers.items() if isinstance(found, list)}
        doubtful = self._shared(lists) | (set() if tied else lists.keys() - self._proven(lists))
        answers.update((key, self._confirmed(key, lists[key])) for key in lists if key in doubtful)
        self._claim(answers)

    def _shared(self, lists: Mapping[str, Sequence[Mapping[str, str]]]) -> set[str]:
        """Return the customers with an address that came with another one as well."""
        holders: dict[int, set[str]] = {}
        for key, found in lists.items():
            for address in address_ids(found):
                holders.setdefault(address, {key}).add(key)
                if (owner := self._owners.of(address)) not in {0, int(key)}:
                    holders[address].add(str(owner))
        return {key for keys in holders.values() if len(keys) > 1 for key in keys} & lists.keys()

    def _claim(self, answers: dict[str, Answer]) -> None:
        """Remember whose addresses these are; those of two customers are nobody's, and an error."""
        lists = {key: found for key, found in answers.items() if isinstance(found, list)}
        shared = self._shared(lists)
        for key, found in lists.items():
            for address in address_ids(found):
                self._owners.give(address, _Owners.NOBODY if key in shared else int(key))
            if key in shared:
                answers[key] = another(self._part, key, "an address that came with another customer as well")

    def _proven(self, lists: Mapping[str, Sequence[Mapping[str, str]]]) -> set[str]:
        """Return the customers whose default address is theirs, by the list of customers filtered by that address.

        Customers are numbered, and there is one call for each bit of a number, for those who have it: two who have
        each other's addresses differ in a bit. 10 calls prove 1,000 customers. Lists of values came with 1.7.0.1;
        before, nothing is proven here.
        """
        defaults = [(key, default) for key, found in lists.items() if (default := _default(found))]
        for bit in range(len(defaults).bit_length()):
            half = dict(pair for number, pair in enumerate(defaults, 1) if number >> bit & 1)
            if self._customers_of(list(half.values()), "in") != half.keys():
                return set()
        return {key for key, _ in defaults}

    def _customers_of(self, addresses: Sequence[str], operator: str) -> set[str]:
        """Return the customers who have one of these as their default address; none where the shop does not say."""
        query = Query((Condition("default_billing", operator, ",".join(addresses)),), IdRange(0, MAX_ID))
        customers: set[str] = set()
        self._calls += 1
        with suppress(RemoteError):
            customers.update(map(str, islice(self._reader.tokens(query), len(addresses) + 1)))
        return customers if len(customers) <= len(addresses) else set()  # else the filter was ignored

    def _confirmed(self, key: str, found: Answer) -> Answer:
        """Return the addresses of a customer who has one of them as the default; else those that SOAP gives twice."""
        for _ in range(TIMES_ASKED):
            if not isinstance(found, list):
                return found
            default = _default(found)
            customers = self._customers_of([default], "eq") if default else set[str]()
            if key in customers:
                return found
            (again,) = self._batch(self._soap, [key])
            if again == found and not customers:
                return again
            found = again
        return another(self._part, key, "the addresses of others")

    def _alone(self, key: str, *, insist: int = 0) -> Answer:
        """Ask for one key by SOAP, and confirm the answer."""
        answers = dict(zip([key], self._batch(self._soap, [key], insist=insist), strict=True))
        if self._part.echo:
            self._confirm(answers, tied=False)
        return answers[key]

    def _settle_way(self, keys: Sequence[str]) -> Way:
        """The way to go: by XML-RPC if it gives the same as SOAP."""
        impatient = replace(self._reader, patience=min(PROBING, self._reader.patience))
        for key in keys[:PROBED]:
            (expected,) = self._batch(self._soap, [key])
            if isinstance(expected, RemoteError):
                continue  # which will be looked into when it is this one's turn
            try:
                (found,) = impatient.persistently(partial(self._ask, self._xmlrpc, [key]))
            except RemoteError as error:
                return self._choose(self._soap, str(error))
            if isinstance(found, RemoteError):
                return self._choose(self._soap, str(found))
            if found != expected and [found] != self._batch(self._soap, [key]):  # or has it just been changed?
                return self._choose(self._soap, f"XML-RPC gives another record than SOAP does for {key}")
            return self._choose(self._xmlrpc, "")
        return self._soap

    def _choose(self, way: Way, why: str) -> Way:
        self._chosen = way
        for one in filter(None, (self, self._told)):
            one.way, one.why = way.name, why
        log.info("%s: records in full by %s%s", self._part.soap, way.name, why and f": {why}")
        return way

    def _batch(self, way: Way, keys: Sequence[str], *, insist: int = 0) -> list[Answer]:
        """The answers for some keys; asked for in parts where they are too much, or where one breaks the reply."""
        began = time.monotonic()
        all_of_them = IdRange(0, len(keys) - 1)
        try:
            answers = self._reader.persistently(partial(self._ask, way, keys), insist=insist)
        except RemoteError as error:
            if action(error, narrowed=len(keys) == 1) == "stop":
                raise
            time.sleep(error.pause)
            if len(keys) == 1:
                return [error]
            log.info("%d records in smaller parts: %s", len(keys), error)
            if error.remedy != "isolate":
                self._pace = self._pace.strained(all_of_them)
            half = len(keys) // 2
            return [*self._batch(way, keys[:half]), *self._batch(way, keys[half:])]
        if way is self._xmlrpc:
            self._pace = self._pace.after(all_of_them, len(keys), time.monotonic() - began)
        return answers

    def _ask(self, way: Way, keys: Sequence[str]) -> list[Answer]:
        """One call."""
        self._calls += 1
        began = time.monotonic()
        try:
            answers = way.ask(keys)
        finally:
            time.sleep(self._nice * (time.monotonic() - began))
        if self._failures(answers) >= MOST_IN_A_ROW:
            error = self._unwell(str(answers[-1]))
            error.remedy = "again"  # such as when the database went away amid the call
            raise error
        return answers

    def _failures(self, answers: Reversible[Answer]) -> int:
        """How many of the last answers in a row are failures, and not of records that were deleted."""
        count = 0
        for answer in reversed(answers):
            if not isinstance(answer, RemoteError) or self._gone(answer):
                break
            count += 1
        return count

    def _gone(self, error: RemoteError) -> bool:
        return isinstance(error, FaultError) and error.code == self._part.missing

    def _mended(self, row: Row, error: RemoteError) -> Found | None:
        """A record that is readable without the characters that XML forbids, where that may be done."""
        if not self._repair or not isinstance(error, MalformedReplyError):
            return None
        key = row[self._part.key]
        with suppress(RemoteError):
            answers: list[Answer] = []
            for _ in range(2 if self._part.echo else 1):
                self._calls += 1
                answers += self._soap.ask([key], repair=True)
            mended = {key: answers[0]}
            if self._part.echo:
                self._claim(mended)
            answer = self._of_row(row, mended[key])
            if not isinstance(answer, RemoteError) and answers[-1] == answer:
                return answer
        return None

    def _settled(self, row: Row, error: RemoteError, page: Page) -> Found | Quarantined | None:
        """What becomes of a row whose record did not come: with it after all, left out and named, or gone."""
        number, key = self._present(row, page), row.get(self._part.key)
        if number is None:
            return None
        if key:
            self._check_well(key, error)
            insist = SINGLE_ROW_RETRIES if error.remedy == "split" else 0
            answer = self._of_row(row, self._alone(key, insist=insist))
            if not isinstance(answer, RemoteError):
                return answer
            error = answer
            self._check_well(key, error)
        if self._present(row, page) is None:
            return None
        return Quarantined(number, error.text if isinstance(error, FaultError) else str(error))

    def _present(self, row: Row, page: Page) -> int | None:
        """The id of a row, if the list still has it; the id of one that does not carry it is looked for."""
        token, like = self._reader.token(row), Prefix(self._reader.key)
        self._calls += 1
        if isinstance(token, int):
            return token if self._reader.read(like, IdRange(token, token)).rows else None
        alone = Condition(str(self._reader.identity_field), "eq", token)
        known = Calls(replace(self._reader, where=(alone,))).result(find_row(page.window, self._reader.key))
        return known.id if known else None

    def _check_well(self, key: str, error: RemoteError) -> None:
        """Raise unless another record comes."""
        for other in self._others(key):
            (answer,) = self._batch(self._soap, [other])
            if not isinstance(answer, RemoteError):
                self._good = other
                return
            if other == self._good and not self._gone(answer):
                raise self._unwell(f"{error}, and neither can {other}, which could before ({answer})")
        raise error

    def _others(self, key: str) -> Iterator[str]:
        """Keys of records that should come if the server is well: one that did, else the first of the list."""
        if self._good is not None:
            yield self._good
        tried = 0
        cursor = Cursor(self._reader.operation, 0, MAX_ID)
        like = Prefix(self._reader.key)
        walk = Walk(like, cursor.operation, like.key, self._reader.identity_field, candidates=(like,))
        for page in Calls(self._reader).pages(walk.looking(), cursor):
            for row in page.rows:
                other = row.get(self._part.key)
                if other and other != key:
                    yield other
                    tried += 1
                if tried == MOST_IN_A_ROW:
                    return

    def _unwell(self, reason: str) -> RemoteError:
        return RemoteError(
            f"{self._part.soap}: too many records cannot be read ({reason}): the server is unwell; resume when it is "
            "not"
        )
