"""Records in full: what a list leaves out of its rows, asked for row by row and put into them, page by page.

A stage of a walk: from page to page, whole or not at all. What lives here: which of two ways asks for records, and what
becomes of a row whose record does not come. The ways are in `records`.

- **Two ways, the same rows.** SOAP takes a call for each record. XML-RPC takes many in one (`multiCall`; on a live shop
  100 orders in 0.46 s, against 31 ms each). Both are asked for the first record of a walk, and only if XML-RPC gives
  the same is it trusted with the rest; what it gives is brought into the form that the WSDL promises, in `records`.
- **The row of the list wins.** A record adds what the row lacks and never changes what it has: the conditions of the
  walk were checked on the row, and its key names it. The record was read a moment later.
- **Nothing is lost silently.** A record that is not there, and whose row the list no longer has either, was deleted
  meanwhile, and so is its row. One that does not come although its row is there is asked for again, alone and by SOAP;
  if it still does not while others do, its row is skipped and named.
- **Never another's.** A record names itself: where a result of a `multiCall` is another one, nothing of that reply is
  used. Addresses name nobody: a `multiCall` asks for them twice, around the customer's own record; by SOAP the list of
  customers is asked whose default address came, and those that are nobody's default, or none, have to come twice.
- **One configurable product in a `multiCall`.** Of all later ones Magento gives the attributes of the first one, since
  1.3.0. A type that we do not know may be such a one.
"""

from __future__ import annotations

import logging
from array import array
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from magento_pager.errors import RemoteError
from magento_pager.shop.records import SoapRecords, XmlRpcRecords, address_ids, another, is_gone, many_failed
from magento_pager.shop.sources import looking_at
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
SECONDS_OF_PAGE = 10.0  # that the records of one page may take, about: so much a stop loses
PROBED = 10  # records of a page that the ways are compared by, until one settles it
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
    """A stage of a walk that puts records in full into its rows.

    Attributes:
        way: "xml-rpc" or "soap", as the last walk went; None as long as nothing settled it.
        why: in words, why it is not "xml-rpc"; else empty.
    """

    def __init__(
        self, connection: Connection, spec: ListSpec, *, goal: Goal = DEFAULT_GOAL, repair: bool = False
    ) -> None:
        """Get ready; nothing is asked before the first page.

        Args:
            connection: to the shop.
            spec: the list that is walked; it has records.
            goal: records and seconds that a call should bring; of records, never more than `MOST_AT_ONCE`.
            repair: read records in which control characters break the XML, without those characters.
        """
        if spec.record is None:
            raise ValueError(f"{spec.name} have no records in full: leave details away")
        self.way: str | None = None
        self.why = ""
        self._begin = partial(_Course, self, connection, spec, spec.record, goal, repair=repair)
        self._operation = spec.record.soap

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Go on with a walk, and deliver its rows with their records: pages of at most 250.

        Rows that were deleted meanwhile, and those that cannot be read, are left out.

        Raises:
            RemoteError: a call failed, and did so again as long as it was tried; or the server is unwell.
        """
        yield from relayed(walk, self._begin().relay)

    def chosen(self, way: str, why: str) -> None:
        """Remember by which way a walk goes."""
        self.way, self.why = way, why
        log.info("%s: records in full by %s%s", self._operation, way, why and f": {why}")

    @classmethod
    def of(cls, stages: Iterable[object]) -> Details | None:
        """The one among the stages of a paginator; None where rows are not in full."""
        return next((stage for stage in stages if isinstance(stage, cls)), None)

    def as_json(self) -> dict[str, str | None]:
        """The way and why it is not the other one, as JSON values."""
        return {"way": self.way, "why": self.why or None}

    def __repr__(self) -> str:
        return f"<Details by {self._operation}, way: {self.way}>"


class _Course:
    """A walk under way: what its later pages need to know of the ones before."""

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
        self._each = 0.0  # seconds that a record takes, about
        self._owners = _Owners()
        self._isolation = Isolation[str](part.soap, self._comes_again, repair=repair)

    def relay(self, item: Item) -> Flow[Reply]:
        """Put records into what a walk delivers; what it asks for is passed on."""
        if not isinstance(item, Piece):
            return (yield item)
        if self._way is None and (keys := [key for _, row in item.rows if (key := row.get(self._part.key))]):
            yield from self._choose(keys)
        for piece in self._cut(item):
            filled = yield from self._filled(piece)
            yield filled
            del piece, filled  # or their rows take memory while the next ones come
        return NOTHING

    def _cut(self, piece: Piece) -> Iterator[Piece]:
        """Cut a piece whose rows carry ids into some whose records take `SECONDS_OF_PAGE` at most, about."""
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
        """Put records into the rows of a piece."""
        if not piece.rows:
            return piece
        answers = yield from self._answers([row for _, row in piece.rows])
        rows: list[tuple[Token, Row]] = []
        skipped, repaired = list(piece.quarantined), set(piece.repaired)
        for (token, row), came in zip(piece.rows, answers, strict=True):
            answer = self._of_row(row, came, piece.window)
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
        named = tuple(sorted(skipped, key=lambda one: one.id))
        return replace(piece, rows=tuple(rows), quarantined=named, repaired=tuple(sorted(repaired)))

    def _joined(self, row: Row, found: Record) -> Row:
        """Add to a row what it lacks.

        Raises:
            MalformedReplyError: it lacked its id, and the record has one that is none.
        """
        spec = self._spec
        more = found if isinstance(found, dict) else {str(self._part.into): found}
        joined = row | {name: value for name, value in more.items() if name not in row}
        token_of(joined, spec.key, spec.identity, spec.operation)
        return joined

    def _answers(self, rows: Sequence[Row]) -> Flow[list[Answer]]:
        """Request the record of each row."""
        share = self._part.share
        keys = [row.get(self._part.key) or "" for row in rows]
        alone = dict.fromkeys(
            key for key, row in zip(keys, rows, strict=True) if share and row.get("type") not in share
        )
        singles, others = [key for key in alone if key], [key for key in dict.fromkeys(keys) if key not in {"", *alone}]
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
            yield from self._confirm(answers, tied=way is self._xmlrpc)
        return [answers[key] if key else RemoteError(f"it has no {self._part.key} to ask for it by") for key in keys]

    def _of_row(self, row: Row, answer: Answer, window: IdRange) -> Answer:
        """Return an answer; an error where it is the record of another row with the same key.

        A row without an id is the only one of its window with that key.
        """
        name = self._spec.key
        if not isinstance(answer, dict) or name not in answer:
            return answer
        wanted, found = row.get(name), answer[name]
        if found == wanted or (wanted is None and (not found.isdigit() or int(found) in window)):
            return answer
        return another(self._part, row[self._part.key], f"{name} {found} instead of {wanted or window}")

    def _confirm(self, answers: dict[str, Answer], *, tied: bool) -> Flow[None]:
        """Turn lists of addresses that may be another customer's into those that are not, or into errors.

        Args:
            answers: what came for each customer; changed in place.
            tied: each list came with its customer's own record.
        """
        lists = {key: found for key, found in answers.items() if isinstance(found, list)}
        doubtful = self._shared(lists)
        if not tied:
            proven = yield from self._proven(lists)
            doubtful |= lists.keys() - proven
        for key in [key for key in lists if key in doubtful]:
            answers[key] = yield from self._confirmed(key, lists[key])
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

    def _proven(self, lists: Mapping[str, Sequence[Mapping[str, str]]]) -> Flow[set[str]]:
        """Return the customers whose default address is theirs, by the list of customers filtered by that address.

        Customers are numbered, and there is one call for each bit of a number, for those who have it: two who have
        each other's addresses differ in a bit. 10 calls prove 1,000 customers. Lists of values came with 1.7.0.1;
        before, nothing is proven here.
        """
        defaults = [(key, default) for key, found in lists.items() if (default := _default(found))]
        for bit in range(len(defaults).bit_length()):
            half = dict(pair for number, pair in enumerate(defaults, 1) if number >> bit & 1)
            if (yield from self._customers_of(list(half.values()), "in")) != half.keys():
                return set()
        return {key for key, _ in defaults}

    def _customers_of(self, addresses: Sequence[str], operator: str) -> Flow[set[str]]:
        """Find the customers who have one of these as their default address; none where the shop does not say."""
        everybody = IdRange(0, MAX_ID)
        query = Query((Condition("default_billing", operator, ",".join(addresses)),), everybody)
        reply = yield from attempt(WindowRequest(Exactly(query), everybody, any_row=True, unchecked=len(addresses) + 1))
        customers = set[str]() if isinstance(reply, RemoteError) else set(map(str, reply.tokens))
        return customers if len(customers) <= len(addresses) else set()  # else the filter was ignored

    def _confirmed(self, key: str, found: Answer) -> Flow[Answer]:
        """Return the addresses of a customer who has one of them as the default; else those that SOAP gives twice."""
        for _ in range(TIMES_ASKED):
            if not isinstance(found, list):
                return found
            default = _default(found)
            customers = (yield from self._customers_of([default], "eq")) if default else set()
            if key in customers:
                return found
            again = yield from self._one(key)
            if again == found and not customers:
                return again
            found = again
        return another(self._part, key, "the addresses of others")

    def _one(self, key: str, *, patient: bool = False) -> Flow[Answer]:
        """Request one record by SOAP."""
        return (yield from self._batch(self._soap, [key], patient=patient))[key]

    def _choose(self, keys: Sequence[str]) -> Flow[None]:
        """Choose the way: XML-RPC if it gives the same as SOAP; it may stay open."""
        for key in keys[:PROBED]:
            expected = yield from self._one(key)
            if isinstance(expected, RemoteError):
                continue  # it will be looked into in its turn
            reply = yield from attempt(RecordsRequest(self._xmlrpc, [key], patience=PROBING))
            found = reply if isinstance(reply, RemoteError) else reply.records[0]
            why = ""
            if isinstance(found, RemoteError):
                why = str(found)
            elif found != expected and found != (yield from self._one(key)):  # or has it just been changed?
                why = f"XML-RPC gives another record than SOAP does for {key}"
            self._way = self._soap if why else self._xmlrpc
            self._details.chosen(self._way.name, why)
            return

    def _batch(
        self, way: RecordSource, keys: Sequence[str], *, insist: int = 0, patient: bool = False
    ) -> Flow[dict[str, Answer]]:
        """Request some records; in parts where they are too much, or where one breaks the reply.

        Where waiting may help, a record that came is waited for, or else one that comes at once is looked for; unless
        `patient`, or none is found: then this is the one that is waited for.
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
                came = (key for key in part if not isinstance(answers[key], RemoteError))
                self._isolation.readable = next(came, self._isolation.readable)
                self._each = (self._each + reply.seconds / len(part)) / (2 if self._each else 1)
                if way is self._xmlrpc:
                    self._pace = self._pace.after(span, len(part), reply.seconds)
                continue
            if reply.remedy == "retry" and hasty:
                if len(part) == (len(keys) if readable else 1):
                    self._isolation.readable = yield from self._well(readable, part[0])
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
        """Find the id of a row, if the list still has it."""
        if isinstance(token, int):
            row_id = IdRange(token, token)
            reply = yield from attempt(WindowRequest(Prefix(KEY), row_id, any_row=True, tokens_only=True))
            if isinstance(reply, RemoteError) and action(reply, narrowed=True) == "stop":
                raise reply
            return token if isinstance(reply, RemoteError) or reply.rows else None  # it exists if it breaks the reply
        alone = Condition(str(self._spec.identity), "eq", token)
        known = yield from filtered(find_row(window, KEY), (alone,), any_row=True)
        return known.id if known else None

    def _alone(self, row: Row, error: RemoteError, window: IdRange) -> Flow[Outcome[Record]]:
        """Decide about a row whose record did not come."""
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
            yield from self._confirm(answers, tied=False)
        return answers[key]

    def _repaired(self, key: str) -> Flow[Answer]:
        """Request a record without the characters that XML forbids; for one that names nobody, twice."""
        answers: list[Answer] = []
        for _ in range(2 if self._part.echo else 1):
            reply = yield RecordsRequest(self._soap, [key], repair=True)
            answers += reply.records
        if self._part.echo:
            mended = {key: answers[0]}
            self._claim(mended)
            return mended[key] if answers[0] == answers[-1] else another(self._part, key, "two different lists")
        return answers[0]

    def _well(self, readable: str | None, failed: str) -> Flow[str | None]:
        """Return a record that comes now: the one that came before, or else another one, at once; None for none."""
        if readable is None:
            return (yield from self._first_that_comes(failed, attempts=1))
        return readable if (yield from self._comes_again(readable)) else None

    def _comes_again(self, key: str) -> Flow[bool]:
        """Request again a record that came before; False where it was deleted."""
        answer = yield from self._one(key, patient=True)
        if isinstance(answer, RemoteError) and not is_gone(answer, self._part):
            raise answer
        return not isinstance(answer, RemoteError)

    def _others(self, failed: str) -> Iterator[Flow[str | None]]:
        """Look for another record that comes, among those of the first rows of the list; then wait for one."""
        yield self._first_that_comes(failed, attempts=1)
        yield self._first_that_comes(failed, attempts=0)

    def _first_that_comes(self, failed: str, *, attempts: int) -> Flow[str | None]:
        """Look for another record that comes; each is asked for so often, with 0 until patience ends with an error."""
        looking, tried = looking_at(self._spec), 0
        while tried < MOST_SKIPPED_IN_A_ROW and (piece := (yield from next_piece(looking))) is not None:
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
    """Return what a piece says of some of its ids."""
    rows = tuple(pair for pair in piece.rows if pair[0] in window)
    behind = sum(int(token) > window.last for token, _ in piece.rows)
    return replace(
        piece,
        window=window,
        rows=rows,
        quarantined=tuple(one for one in piece.quarantined if one.id in window),
        repaired=tuple(number for number in piece.repaired if number in window),
        ahead=None if piece.ahead is None else piece.ahead + behind,
    )
