"""Spark's filters as conditions for shops, so that fewer rows are sent.

What lives here: the translation. Spark applies every filter again to the rows it receives, so a shop may send too many
rows, but never too few: a filter is sent only where the server's comparison keeps every row that Spark would keep. That
holds for ids, `shop`, lower bounds of `updated_at`, and some columns that each version has in the list's main table;
servers compare text without case, which keeps more rows. Spark applies all other filters itself, including `OR`.
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
    """Rows to read, and from which shops.

    Attributes:
        entity: the list.
        first: the first id, inclusive.
        last: the last id, inclusive; below `first` where no row can match.
        since: rows changed at this time or later; None for all.
        where: further conditions.
        shops: names of the selected shops; None for all.
    """

    entity: ListName
    first: int = 0
    last: int = MAX_ID
    since: datetime | None = None
    where: tuple[Condition, ...] = ()
    shops: frozenset[str] | None = None

    def with_filters(self, filters: Iterable[Filter]) -> Selection:
        """Return the selection with all filters that can be sent to a shop.

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
        selection = self
        for spark_filter in filters:
            path: tuple[str, ...] = getattr(spark_filter, "attribute", ())
            value = getattr(spark_filter, "value", None)
            values = _values(spark_filter)
            if path == (SHOP,) and values:
                selection = _with_shops(selection, frozenset(map(str, values)))
            elif path == (LISTS[self.entity].key,):
                selection = _with_ids(selection, spark_filter, value, values)
            elif path == (FIELD,) and isinstance(spark_filter, GreaterThan | GreaterThanOrEqual):
                selection = _with_time(selection, value)
            elif len(path) == 1 and path[0] in LISTS[self.entity].comparable:
                selection = _with_column(selection, _condition(spark_filter, path[0], value, values))
        return selection


def _with_shops(selection: Selection, names: frozenset[str]) -> Selection:
    return replace(selection, shops=names if selection.shops is None else selection.shops & names)


def _with_ids(selection: Selection, spark_filter: Filter, value: Any, values: list[Any] | None) -> Selection:
    if values:
        return replace(selection, first=max(selection.first, min(values)), last=min(selection.last, max(values)))
    match spark_filter:
        case GreaterThan():
            return replace(selection, first=max(selection.first, value + 1))
        case GreaterThanOrEqual():
            return replace(selection, first=max(selection.first, value))
        case LessThan():
            return replace(selection, last=min(selection.last, value - 1))
        case LessThanOrEqual():
            return replace(selection, last=min(selection.last, value))
    return selection


def _with_time(selection: Selection, time: Any) -> Selection:
    fit = LISTS[selection.entity].reports_changes and isinstance(time, datetime) and time.utcoffset() is not None
    return replace(selection, since=time) if fit and (selection.since is None or time > selection.since) else selection


def _with_column(selection: Selection, condition: Condition | None) -> Selection:
    if condition is None:
        return selection
    try:
        spec, conditions = LISTS[selection.entity], [*selection.where, condition]
        return replace(selection, where=checked_where(conditions, (KEY, spec.key), spec.dates, spec.numbers))
    except ValueError:  # a second condition that does not form a range, or a value that some server misreads
        return selection


def _values(spark_filter: Filter) -> list[Any] | None:
    """Return the only values that a filter allows; None for another kind of filter."""
    match spark_filter:
        case EqualTo():
            return [spark_filter.value]
        case In() if spark_filter.value:
            return [value for value in spark_filter.value if value is not None] or None
    return None


def _condition(spark_filter: Filter, column: str, value: Any, values: list[Any] | None) -> Condition | None:
    """Return a condition that keeps at least the rows that a filter keeps; None where there is none.

    >>> time = datetime.fromisoformat("2024-05-01T10:00:00.5Z")
    >>> str(_condition(LessThan(("created_at",), time), "created_at", time, None))
    "created_at lteq '2024-05-01 10:00:00'"
    """
    if values is not None:
        (first, *more) = values
        return Condition(column, "eq", str(first)) if not more and isinstance(first, int | str) else None
    for kind, number_operator, time_operator in (
        (GreaterThan, "gt", "gteq"),
        (GreaterThanOrEqual, "gteq", "gteq"),
        (LessThan, "lt", "lteq"),
        (LessThanOrEqual, "lteq", "lteq"),
    ):
        if isinstance(spark_filter, kind):
            # Times lose their fractions of a second, which rows do not have, so the bound must be included.
            if isinstance(value, datetime) and value.utcoffset() is not None:
                return Condition(column, time_operator, format_timestamp(value))
            return Condition(column, number_operator, str(value)) if isinstance(value, int) else None
    return None
