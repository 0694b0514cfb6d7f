"""What of Spark's filters a shop can be asked for, so that fewer rows travel.

What lives here: the translation. Spark applies every filter once more to what arrives, so a shop may send too much, and
must never send too little: a comparison goes there only where the server's own keeps every row that Spark would. That
is so of ids, of `shop`, of `updated_at` from below, and of some columns that each version has in the list's own table;
text is compared there without case, which keeps more rows. All else stays with Spark, `OR` included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import EqualTo, Filter, GreaterThan, GreaterThanOrEqual, In, LessThan, LessThanOrEqual

from magento_pager.lists import LISTS
from magento_pager.spark.columns import SHOP
from magento_pager.walk.changes import FIELD, format_timestamp
from magento_pager.walk.conditions import Condition, checked_where
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.strategies import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager.lists import ListName


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of the shops.

    Attributes:
        entity: the list.
        first: the first id, inclusive.
        last: the last id, inclusive; below `first` where no row can be wanted.
        since: rows changed then or later; None for all.
        where: further conditions.
        shops: names of the only shops that are wanted; None for all.
    """

    entity: ListName
    first: int = 0
    last: int = MAX_ID
    since: datetime | None = None
    where: tuple[Condition, ...] = ()
    shops: frozenset[str] | None = None

    def with_filters(self, filters: Iterable[Filter]) -> Selection:
        """The same with so many of the filters as can be put to a shop.

        >>> orders = Selection("orders").with_filters([GreaterThan(("order_id",), 5), EqualTo(("status",), "complete")])
        >>> orders.first, orders.last, str(orders.where[0])
        (6, 4294967295, "status eq 'complete'")
        >>> day = datetime.fromisoformat("2024-05-01T00:00:00Z")
        >>> span = [GreaterThan(("created_at",), day), LessThan(("created_at",), day), LessThan(("created_at",), day)]
        >>> list(map(str, Selection("orders").with_filters(span).where))
        ["created_at gteq '2024-05-01 00:00:00'", "created_at lteq '2024-05-01 00:00:00'"]
        >>> filters = [EqualTo(("grand_total",), 5), LessThan(("updated_at",), datetime.now())]
        >>> Selection("orders").with_filters(filters).where
        ()
        """
        wanted = self
        for one in filters:
            path: tuple[str, ...] = getattr(one, "attribute", ())
            value = getattr(one, "value", None)
            values = _values(one)
            if path == (SHOP,) and values:
                wanted = _with_shops(wanted, frozenset(map(str, values)))
            elif path == (LISTS[self.entity].key,):
                wanted = _with_ids(wanted, one, value, values)
            elif path == (FIELD,) and isinstance(one, GreaterThan | GreaterThanOrEqual):
                wanted = _with_time(wanted, value)
            elif len(path) == 1 and path[0] in LISTS[self.entity].comparable:
                wanted = _with_column(wanted, _condition(one, path[0], value, values))
        return wanted


def _with_shops(wanted: Selection, names: frozenset[str]) -> Selection:
    return replace(wanted, shops=names if wanted.shops is None else wanted.shops & names)


def _with_ids(wanted: Selection, one: Filter, value: Any, values: list[Any] | None) -> Selection:
    if values:
        return replace(wanted, first=max(wanted.first, min(values)), last=min(wanted.last, max(values)))
    match one:
        case GreaterThan():
            return replace(wanted, first=max(wanted.first, value + 1))
        case GreaterThanOrEqual():
            return replace(wanted, first=max(wanted.first, value))
        case LessThan():
            return replace(wanted, last=min(wanted.last, value - 1))
        case LessThanOrEqual():
            return replace(wanted, last=min(wanted.last, value))
    return wanted


def _with_time(wanted: Selection, moment: Any) -> Selection:
    fit = LISTS[wanted.entity].reports_changes and isinstance(moment, datetime) and moment.utcoffset() is not None
    return replace(wanted, since=moment) if fit and (wanted.since is None or moment > wanted.since) else wanted


def _with_column(wanted: Selection, condition: Condition | None) -> Selection:
    if condition is None:
        return wanted
    try:
        spec, conditions = LISTS[wanted.entity], [*wanted.where, condition]
        return replace(wanted, where=checked_where(conditions, (KEY, spec.key), spec.dates, spec.numbers))
    except ValueError:  # a second condition that makes no range, or a value that some server misreads
        return wanted


def _values(one: Filter) -> list[Any] | None:
    """The only values that a column may have; None where that is not what is said."""
    match one:
        case EqualTo():
            return [one.value]
        case In() if one.value:
            return [value for value in one.value if value is not None] or None
    return None


def _condition(one: Filter, column: str, value: Any, values: list[Any] | None) -> Condition | None:
    """A filter as a condition that keeps at least the same rows; None where there is none.

    >>> moment = datetime.fromisoformat("2024-05-01T10:00:00.5Z")
    >>> str(_condition(LessThan(("created_at",), moment), "created_at", moment, None))
    "created_at lteq '2024-05-01 10:00:00'"
    """
    if values is not None:
        (first, *more) = values
        return Condition(column, "eq", str(first)) if not more and isinstance(first, int | str) else None
    for kind, of_numbers, of_moments in (
        (GreaterThan, "gt", "gteq"),
        (GreaterThanOrEqual, "gteq", "gteq"),
        (LessThan, "lt", "lteq"),
        (LessThanOrEqual, "lteq", "lteq"),
    ):
        if isinstance(one, kind):
            # Moments lose their fractions of a second, which rows have none of: so the bound itself is let in.
            if isinstance(value, datetime) and value.utcoffset() is not None:
                return Condition(column, of_moments, format_timestamp(value))
            return Condition(column, of_numbers, str(value)) if isinstance(value, int) else None
    return None
