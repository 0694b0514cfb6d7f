"""Records in full: the fields that a list lacks in its rows, requested row by row and added to them, page by page.

A stage of a walk: a page is complete or not delivered at all. What lives here: which of two protocols requests records,
and what happens to a row whose record cannot be read. The requests are in `records`.

- **Two protocols, the same rows.** SOAP takes a call for each record. XML-RPC takes many in one (`multiCall`; on a live
  shop 100 orders in 0.46 s, against 31 ms each). The first record of a walk is requested by both, and only if the
  results are equal is XML-RPC used for the rest; `records` converts its values into the form of the WSDL.
- **The row of the list wins.** A record adds the fields that the row lacks and never changes others: the conditions
  of the walk were checked on the row, and its key identifies it. The record was read a little later.
- **Nothing is lost silently.** If neither a record nor its row exists any more, the row was deleted and is dropped. A
  record of an existing row that cannot be read is requested again, alone and by SOAP; if that fails too while others
  can be read, the row is skipped and reported.
- **Never another row's record.** A record contains its key: if one result of a `multiCall` is of another record, that
  whole reply is discarded. Addresses do not name their customer: a `multiCall` requests them before and after the
  customer's own record; by SOAP, the list of customers is filtered by the received default address. Addresses that are
  nobody's default, and empty lists, must be equal twice.
- **One configurable product in a `multiCall`.** Since 1.3.0, Magento returns the attributes of the first for all later
  ones. A product of an unknown type may be configurable too.
"""

from __future__ import annotations

import logging
from array import array
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from magento_pager.errors import RemoteError
from magento_pager.shop.records import SoapRecords, XmlRpcRecords, address_ids, is_deleted, many_failed, wrong_record
from magento_pager.shop.sources import search_rows
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.flows import (
    NOTHING,
    Exactly,
    Piece,
    RecordsRequest,
    Reply,
    WindowRequest,
    attempt,
    filtered,
    find_row,
    next_piece,
    relayed,
)
from magento_pager.walk.isolation import MOST_SKIPPED_IN_A_ROW, Isolation, Outcome
from magento_pager.walk.pages import Quarantined
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import token_of
from magento_pager.walk.recovery import FEW_ATTEMPTS, action
from magento_pager.walk.strategies import KEY, Prefix
from magento_pager.walk.walk import DEFAULT_GOAL
from magento_pager.walk.windows import Goal, Pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from magento_pager.lists import ListSpec, RecordCall
    from magento_pager.shop.connection import Connection
    from magento_pager.walk.flows import Answer, Flow, Item, Record, RecordSource
    from magento_pager.walk.pages import Row, Token

MOST_AT_ONCE = 250  # records in one call: about 5 MB of orders
FIRST_AT_ONCE = 10
SECONDS_OF_PAGE = 10.0  # for the records of one page, about: an interruption loses this much work
COMPARED = 10  # records of a page at most, until one decides between the protocols
CONFIRMATIONS = 3  # further requests for addresses before they count as unreadable
XMLRPC_PATIENCE = 5.0  # seconds for which XML-RPC is retried before SOAP is used

log = logging.getLogger(__name__)


def _default(addresses: Iterable[Mapping[str, str]]) -> str | None:
    """Return the id of the default billing address among all addresses of a customer."""
    return next((one["customer_address_id"] for one in addresses if one.get("is_default_billing") == "true"), None)


class _Owners:
    """The customer of each address. Takes four bytes per address, because the ids of a shop are close together."""

    NOBODY = MAX_ID  # for an address that was received with two customers
    _BLOCK = 64

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}

    def of(self, address: int) -> int:
        """Return the customer's id; 0 for a new address."""
        block = self._blocks.get(address // self._BLOCK)
        return block[address % self._BLOCK] if block else 0

    def give(self, address: int, customer: int) -> None:
        """Remember a customer's id."""
        block = self._blocks.setdefault(address // self._BLOCK, array("I", [0]) * self._BLOCK)
        block[address % self._BLOCK] = customer


class Details:
    """A stage of a walk that adds records in full to its rows.

    Attributes:
        way: the protocol of the last walk, "xml-rpc" or "soap"; None before it is decided.
        why: the reason why it is not "xml-rpc", as text; otherwise empty.
    """

    def __init__(
        self, connection: Connection, spec: ListSpec, *, goal: Goal = DEFAULT_GOAL, repair: bool = False
    ) -> None:
        """Prepare the stage; nothing is sent before the first page.

        Args:
            connection: to the shop.
            spec: the list; it must have records.
            goal: records and seconds that a call should take; of records, at most `MOST_AT_ONCE`.
            repair: read records in which control characters break the XML, without those characters.
        """
        if spec.record is None:
            raise ValueError(f"{spec.name} have no records in full. Remove the option details")
        self.way: str | None = None
        self.why = ""
        self._begin = partial(_Progress, self, connection, spec, spec.record, goal, repair=repair)
        self._operation = spec.record.soap

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Run a walk; yield its rows with their records in pages of at most 250.

        Rows deleted meanwhile are dropped; rows whose record cannot be read are skipped.

        Raises:
            RemoteError: a call failed and so did its retries, or the server is failing.
        """
        yield from relayed(walk, self._begin().relay)

    def chosen(self, way: str, why: str) -> None:
        """Remember the protocol of a walk and its reason."""
        self.way, self.why = way, why
        log.info("%s: records in full by %s%s", self._operation, way, why and f": {why}")

    @classmethod
    def of(cls, stages: Iterable[object]) -> Details | None:
        """Return the one among the stages of a paginator; None if rows are not in full."""
        return next((stage for stage in stages if isinstance(stage, cls)), None)

    def as_json(self) -> dict[str, str | None]:
        """Return the protocol and its reason as JSON values."""
        return {"way": self.way, "why": self.why or None}

    def __repr__(self) -> str:
        return f"<Details by {self._operation}, way: {self.way}>"


class _Progress:
    """A walk in progress: what its later pages need to know of the earlier ones."""

    def __init__(
        self,
        details: Details,
        connection: Connection,
        spec: ListSpec,
        part: RecordCall,
        goal: Goal,
        *,
        repair: bool,
    ) -> None:
        self._details = details
        self._spec = spec
        self._part = part
        self._soap, self._xmlrpc = SoapRecords(connection, part), XmlRpcRecords(connection, part)
        self._way: RecordSource | None = None
        pace = Pace.start(Goal(min(goal.rows, MOST_AT_ONCE), goal.seconds))
        self._pace = replace(pace, width=min(pace.width, FIRST_AT_ONCE))
        self._each = 0.0  # seconds per record, about
        self._owners = _Owners()
        self._isolation = Isolation[str](part.soap, self._still_works, repair=repair)

    def relay(self, item: Item) -> Flow[Reply]:
        """Add records to the pieces of a walk; pass its requests on."""
        if not isinstance(item, Piece):
            return (yield item)
        if self._way is None and (keys := [key for _, row in item.rows if (key := row.get(self._part.key))]):
            yield from self._choose(keys)
        for piece in self._cut(item):
            filled = yield from self._filled(piece)
            yield filled
            del piece, filled  # otherwise their rows stay in memory while the next ones arrive
        return NOTHING

    def _cut(self, piece: Piece) -> Iterator[Piece]:
        """Cut a piece whose rows carry ids, so that the records of each part take about `SECONDS_OF_PAGE` at most."""
        while piece.by_ids:
            width = 1 if self._way is self._soap else min(self._pace.width, MOST_AT_ONCE)
            most = min(MOST_AT_ONCE, int(SECONDS_OF_PAGE / max(self._each, 1e-6)))
            size = width * max(1, most // width)
            if len(piece.rows) <= size:
                break
            last = int(piece.rows[size - 1][0])
            yield _part_of(piece, IdRange(piece.window.first, last))
            piece = _part_of(piece, IdRange(last + 1, piece.window.last))
        yield piece

    def _filled(self, piece: Piece) -> Flow[Piece]:
        """Add records to the rows of a piece."""
        if not piece.rows:
            return piece
        answers = yield from self._answers([row for _, row in piece.rows])
        rows: list[tuple[Token, Row]] = []
        skipped, repaired = list(piece.quarantined), set(piece.repaired)
        for (token, row), raw_answer in zip(piece.rows, answers, strict=True):
            answer = self._of_row(row, raw_answer, piece.window)
            if isinstance(answer, RemoteError):
                number = yield from self._present(token, piece.window)
                if number is None:
                    continue  # deleted meanwhile
                outcome = yield from self._alone(row, answer, piece.window)
                if outcome.value is None:
                    if (yield from self._present(token, piece.window)) is not None:
                        skipped.append(Quarantined(number, outcome.reason))
                    continue
                answer = outcome.value
                repaired |= {number} if outcome.repaired else set()
            rows.append((token, self._joined(row, answer)))
            self._isolation.remember(row[self._part.key])
        named = tuple(sorted(skipped, key=lambda skipped_row: skipped_row.id))
        return replace(piece, rows=tuple(rows), quarantined=named, repaired=tuple(sorted(repaired)))

    def _joined(self, row: Row, record: Record) -> Row:
        """Return a row with the fields that it lacks from its record.

        Raises:
            MalformedReplyError: the row lacked its id, and that of the record is invalid.
        """
        spec = self._spec
        more = record if isinstance(record, dict) else {str(self._part.into): record}
        joined = row | {name: value for name, value in more.items() if name not in row}
        token_of(joined, spec.key, spec.identity, spec.operation)
        return joined

    def _answers(self, rows: Sequence[Row]) -> Flow[list[Answer]]:
        """Request the record of each row."""
        shareable = self._part.share
        keys = [row.get(self._part.key) or "" for row in rows]
        unshareable = dict.fromkeys(
            key for key, row in zip(keys, rows, strict=True) if shareable and row.get("type") not in shareable
        )
        singles = [key for key in unshareable if key]
        others = [key for key in dict.fromkeys(keys) if key not in {"", *unshareable}]
        answers: dict[str, Answer] = {}
        way = self._way or self._soap
        while singles or others:
            size = min(self._pace.width, MOST_AT_ONCE) if way is self._xmlrpc else 1
            batch = [*singles[:1], *others[: size - len(singles[:1])]]
            del others[: len(batch) - len(singles[:1])], singles[:1]
            answers |= yield from self._batch(way, batch)
            if isinstance(last := answers[batch[-1]], RemoteError) and many_failed(answers.values(), self._part):
                raise self._isolation.failing_server(batch[-1], last)
        if self._part.echo:
            yield from self._confirm(answers, with_record=way is self._xmlrpc)
        reason = f"it has no {self._part.key}, by which its record is requested"
        return [answers[key] if key else RemoteError(reason) for key in keys]

    def _of_row(self, row: Row, answer: Answer, window: IdRange) -> Answer:
        """Return an answer, or an error if it is the record of another row with the same key.

        A row without an id is the only one of its window with that key.
        """
        name = self._spec.key
        if not isinstance(answer, dict) or name not in answer:
            return answer
        expected, received = row.get(name), answer[name]
        if received == expected or (expected is None and (not received.isdigit() or int(received) in window)):
            return answer
        return wrong_record(self._part, row[self._part.key], f"{name} {received} instead of {expected or window}")

    def _confirm(self, answers: dict[str, Answer], *, with_record: bool) -> Flow[None]:
        """Replace lists of addresses that may be another customer's by confirmed ones, or by errors.

        Args:
            answers: by customer; changed in place.
            with_record: each list was received together with its customer's own record.
        """
        lists = {key: addresses for key, addresses in answers.items() if isinstance(addresses, list)}
        doubtful = self._shared(lists)
        if not with_record:
            proven = yield from self._proven(lists)
            doubtful |= lists.keys() - proven
        for key in [key for key in lists if key in doubtful]:
            answers[key] = yield from self._confirmed(key, lists[key])
        self._claim(answers)

    def _shared(self, lists: Mapping[str, Sequence[Mapping[str, str]]]) -> set[str]:
        """Return the customers with an address that was also received with another customer."""
        holders: dict[int, set[str]] = {}
        for key, addresses in lists.items():
            for address in address_ids(addresses):
                holders.setdefault(address, {key}).add(key)
                if (owner := self._owners.of(address)) not in {0, int(key)}:
                    holders[address].add(str(owner))
        return {key for keys in holders.values() if len(keys) > 1 for key in keys} & lists.keys()

    def _claim(self, answers: dict[str, Answer]) -> None:
        """Remember the customer of each address; one with two customers is nobody's, and their lists become errors."""
        lists = {key: addresses for key, addresses in answers.items() if isinstance(addresses, list)}
        shared = self._shared(lists)
        for key, addresses in lists.items():
            for address in address_ids(addresses):
                self._owners.give(address, _Owners.NOBODY if key in shared else int(key))
            if key in shared:
                answers[key] = wrong_record(self._part, key, "an address that another customer has too")

    def _proven(self, lists: Mapping[str, Sequence[Mapping[str, str]]]) -> Flow[set[str]]:
        """Return the customers whose default address is theirs, by the list of customers filtered by that address.

        Customers are numbered, and each bit of the numbers takes one call, for the customers with that bit: two with
        each other's addresses differ in a bit. 10 calls prove 1,000 customers. It proves nothing before 1.7.0.1.
        """
        defaults = [(key, default) for key, addresses in lists.items() if (default := _default(addresses))]
        for bit in range(len(defaults).bit_length()):
            half = dict(pair for number, pair in enumerate(defaults, 1) if number >> bit & 1)
            if (yield from self._customers_of(list(half.values()), "in")) != half.keys():
                return set()
        return {key for key, _ in defaults}

    def _customers_of(self, addresses: Sequence[str], operator: str) -> Flow[set[str]]:
        """Return the customers with one of these default addresses; none if the shop ignores the filter."""
        everybody = IdRange(0, MAX_ID)
        query = Query((Condition("default_billing", operator, ",".join(addresses)),), everybody)
        reply = yield from attempt(WindowRequest(Exactly(query), everybody, any_row=True, unchecked=len(addresses) + 1))
        customers = set[str]() if isinstance(reply, RemoteError) else set(map(str, reply.tokens))
        return customers if len(customers) <= len(addresses) else set()  # otherwise the filter was ignored

    def _confirmed(self, key: str, answer: Answer) -> Flow[Answer]:
        """Return a customer's addresses if one is their default in the list of customers, or if SOAP repeats them."""
        for _ in range(CONFIRMATIONS):
            if not isinstance(answer, list):
                return answer
            default = _default(answer)
            customers = (yield from self._customers_of([default], "eq")) if default else set()
            if key in customers:
                return answer
            repeated = yield from self._one(key)
            if repeated == answer and not customers:
                return repeated
            answer = repeated
        return wrong_record(self._part, key, "the addresses of other customers")

    def _one(self, key: str, *, patient: bool = False) -> Flow[Answer]:
        """Request one record by SOAP."""
        return (yield from self._batch(self._soap, [key], patient=patient))[key]

    def _choose(self, keys: Sequence[str]) -> Flow[None]:
        """Choose the protocol: XML-RPC if a record is equal by both. It may stay undecided."""
        for key in keys[:COMPARED]:
            expected = yield from self._one(key)
            if isinstance(expected, RemoteError):
                continue  # it is requested again with its page
            reply = yield from attempt(RecordsRequest(self._xmlrpc, [key], patience=XMLRPC_PATIENCE))
            answer = reply if isinstance(reply, RemoteError) else reply.records[0]
            why = ""
            if isinstance(answer, RemoteError):
                why = str(answer)
            elif answer != expected and answer != (yield from self._one(key)):  # it may have just been changed
                why = f"XML-RPC and SOAP return different records for {key}"
            self._way = self._soap if why else self._xmlrpc
            self._details.chosen(self._way.name, why)
            return

    def _batch(
        self, way: RecordSource, keys: Sequence[str], *, insist: int = 0, patient: bool = False
    ) -> Flow[dict[str, Answer]]:
        """Request some records, in parts if they are too large or if one breaks the reply.

        If waiting may help, retry a record that could be read before, or else another one; with `patient`, this one.
        """
        answers: dict[str, Answer] = {}
        stack = [keys]
        while stack:
            part = stack.pop()
            span = IdRange(0, len(part) - 1)
            readable = None if patient else self._isolation.readable
            hasty = 0 if patient else 1 if readable and len(part) < len(keys) else FEW_ATTEMPTS
            reply = yield from attempt(RecordsRequest(way, part, insist, hasty and max(hasty, insist + 1)))
            if isinstance(reply, Reply):
                answers |= zip(part, reply.records, strict=True)
                readable_keys = (key for key in part if not isinstance(answers[key], RemoteError))
                self._isolation.readable = next(readable_keys, self._isolation.readable)
                self._each = (self._each + reply.seconds / len(part)) / (2 if self._each else 1)
                if way is self._xmlrpc:
                    self._pace = self._pace.after(span, len(part), reply.seconds)
                continue
            if reply.remedy == "retry" and hasty:
                if len(part) == (len(keys) if readable else 1):
                    self._isolation.readable = yield from self._readable_now(readable, part[0])
                if len(part) == 1 and self._isolation.readable is None:
                    patient = True
                    stack.append(part)
                    continue
            elif action(reply, narrowed=len(part) == 1) == "stop":
                raise reply
            if len(part) == 1:
                answers[part[0]] = reply
                continue
            log.info("%d records in smaller parts: %s", len(part), reply)
            if reply.remedy != "isolate":
                self._pace = self._pace.after_failure(span)
            half = len(part) // 2
            stack += [part[half:], part[:half]]
        return answers

    def _present(self, token: Token, window: IdRange) -> Flow[int | None]:
        """Return the id of a row; None if the list does not have it any more."""
        if isinstance(token, int):
            row_id = IdRange(token, token)
            reply = yield from attempt(WindowRequest(Prefix(KEY), row_id, any_row=True, tokens_only=True))
            if isinstance(reply, RemoteError) and action(reply, narrowed=True) == "stop":
                raise reply
            return token if isinstance(reply, RemoteError) or reply.rows else None  # it exists if it breaks the reply
        condition = Condition(str(self._spec.identity), "eq", token)
        known = yield from filtered(find_row(window, KEY), (condition,), any_row=True)
        return known.id if known else None

    def _alone(self, row: Row, error: RemoteError, window: IdRange) -> Flow[Outcome[Record]]:
        """Decide about a row whose record could not be read."""
        key = row.get(self._part.key)
        if not key:
            return Outcome(None, str(error))

        def request_again(insist: int, repair: bool) -> Flow[Record]:  # noqa: FBT001  see RequestAgain
            answer = yield from (self._repaired(key) if repair else self._confirmed_one(key, insist))
            answer = self._of_row(row, answer, window)
            if isinstance(answer, RemoteError):
                raise answer
            return answer

        return (yield from self._isolation.decide(str(key), error, request_again, partial(self._others, key)))

    def _confirmed_one(self, key: str, insist: int) -> Flow[Answer]:
        """Request one record by SOAP, and confirm the answer."""
        answers = yield from self._batch(self._soap, [key], insist=insist)
        if self._part.echo:
            yield from self._confirm(answers, with_record=False)
        return answers[key]

    def _repaired(self, key: str) -> Flow[Answer]:
        """Request a record without the characters that XML forbids; addresses are requested twice."""
        answers: list[Answer] = []
        for _ in range(2 if self._part.echo else 1):
            reply = yield RecordsRequest(self._soap, [key], repair=True)
            answers += reply.records
        if self._part.echo:
            repaired = {key: answers[0]}
            self._claim(repaired)
            return repaired[key] if answers[0] == answers[-1] else wrong_record(self._part, key, "two different lists")
        return answers[0]

    def _readable_now(self, readable: str | None, failed: str) -> Flow[str | None]:
        """Return the key of a record that can be read now: `readable`, or else another one at once; None for none."""
        if readable is None:
            return (yield from self._first_readable(failed, attempts=1))
        return readable if (yield from self._still_works(readable)) else None

    def _still_works(self, key: str) -> Flow[bool]:
        """Request a record again that was read before; return False if it was deleted."""
        answer = yield from self._one(key, patient=True)
        if isinstance(answer, RemoteError) and not is_deleted(answer, self._part):
            raise answer
        return not isinstance(answer, RemoteError)

    def _others(self, failed: str) -> Iterator[Flow[str | None]]:
        """Search for another readable record among those of the first rows of the list; then wait for one."""
        yield self._first_readable(failed, attempts=1)
        yield self._first_readable(failed, attempts=0)

    def _first_readable(self, failed: str, *, attempts: int) -> Flow[str | None]:
        """Search for another readable record, with `attempts` at each, or with 0 until patience ends in an error."""
        search, tried = search_rows(self._spec), 0
        while tried < MOST_SKIPPED_IN_A_ROW and (piece := (yield from next_piece(search))) is not None:
            keys = [row.get(self._part.key) for _, row in piece.rows]
            for key in [key for key in keys if key and key != failed][: MOST_SKIPPED_IN_A_ROW - tried]:
                tried += 1
                reply = yield from attempt(RecordsRequest(self._soap, [key], attempts=attempts))
                if isinstance(reply, Reply) and not isinstance(reply.records[0], RemoteError):
                    return str(key)
                if isinstance(reply, RemoteError) and reply.remedy == "retry" and not attempts:
                    raise reply
        return None


def _part_of(piece: Piece, window: IdRange) -> Piece:
    """Return the part of a piece with some of its ids."""
    rows = tuple(pair for pair in piece.rows if pair[0] in window)
    after = sum(int(token) > window.last for token, _ in piece.rows)
    return replace(
        piece,
        window=window,
        rows=rows,
        quarantined=tuple(skipped for skipped in piece.quarantined if skipped.id in window),
        repaired=tuple(number for number in piece.repaired if number in window),
        ahead=None if piece.ahead is None else piece.ahead + after,
    )
