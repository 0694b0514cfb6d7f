"""Every row of a Magento 1.x / OpenMage list exactly once, with every id accounted for, through an API without paging.

The public names are imported when they are first used: zeep takes a tenth of a second, which `magento-pager --help` and
tests that only use the embedded shop do not need to spend.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magento_pager.errors import (
        CheckpointMismatchError,
        FaultError,
        FilterIgnoredError,
        MalformedReplyError,
        NoStrategyError,
        PagerError,
        RemoteError,
        TransportError,
    )
    from magento_pager.examination import Diagnosis, ListFinding, XmlRpcFinding, doctor
    from magento_pager.export.dumping import dump
    from magento_pager.export.outputs import Output
    from magento_pager.export.report import Progress, Report
    from magento_pager.export.verification import Difference, Verification, verify
    from magento_pager.lists import LISTS, ColumnSet, ListName, ListSpec, WireName
    from magento_pager.pager import Pager, connect
    from magento_pager.services.keys import Numbers, PaddedNumbers, Texts, Times
    from magento_pager.services.soap import SoapSource
    from magento_pager.services.stepped import SteppedSource
    from magento_pager.shop.details import Details
    from magento_pager.walk.bounds import Between, between
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.estimating import Estimate
    from magento_pager.walk.evidence import ProbeReport, Trial
    from magento_pager.walk.names import STRATEGIES, StrategyName
    from magento_pager.walk.pages import Bounds, Changes, Cursor, Page, PageStats
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.planning import Plan
    from magento_pager.walk.ranges import MAX_ID, IdRange
    from magento_pager.walk.reading import Source
    from magento_pager.walk.regexps import ids_regexp, range_regexp
    from magento_pager.walk.strategies import (
        Alias,
        InList,
        KeyRange,
        Mapped,
        Prefix,
        Range,
        Regexp,
        SingleFilter,
        Strategy,
    )
    from magento_pager.walk.windows import Goal

__all__ = [
    "LISTS",
    "MAX_ID",
    "STRATEGIES",
    "Alias",
    "Between",
    "Bounds",
    "Changes",
    "CheckpointMismatchError",
    "ColumnSet",
    "Condition",
    "Cursor",
    "Details",
    "Diagnosis",
    "Difference",
    "Estimate",
    "FaultError",
    "FilterIgnoredError",
    "Goal",
    "IdRange",
    "InList",
    "KeyRange",
    "ListFinding",
    "ListName",
    "ListSpec",
    "MalformedReplyError",
    "Mapped",
    "NoStrategyError",
    "Numbers",
    "Output",
    "PaddedNumbers",
    "Page",
    "PageStats",
    "Pager",
    "PagerError",
    "Paginator",
    "Plan",
    "Prefix",
    "ProbeReport",
    "Progress",
    "Query",
    "Range",
    "Regexp",
    "RemoteError",
    "Report",
    "SingleFilter",
    "SoapSource",
    "Source",
    "SteppedSource",
    "Strategy",
    "StrategyName",
    "Texts",
    "Times",
    "TransportError",
    "Trial",
    "Verification",
    "WireName",
    "XmlRpcFinding",
    "between",
    "connect",
    "doctor",
    "dump",
    "ids_regexp",
    "range_regexp",
    "verify",
]

__version__ = "0.1.0"

_HOMES = (
    "errors",
    "lists",
    "walk.names",
    "walk.ranges",
    "walk.regexps",
    "walk.conditions",
    "walk.strategies",
    "walk.windows",
    "walk.reading",
    "walk.pages",
    "walk.evidence",
    "walk.estimating",
    "walk.bounds",
    "walk.planning",
    "walk.paginator",
    "export.outputs",
    "export.report",
    "export.dumping",
    "pager",  # this and the modules below import zeep
    "examination",
    "export.verification",
    "services.keys",
    "services.soap",
    "services.stepped",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
