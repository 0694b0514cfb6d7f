"""Names of the strategies and checks, as types and as values: plain data, quick to import."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

StrategyName: TypeAlias = Literal[
    "auto", "key-range", "range", "alias", "mapped", "in-list", "prefix", "regexp", "single-filter"
]
"""Name of a strategy, for options and arguments.

>>> strategy: StrategyName = "prefix"
"""

STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
"""Names of all strategies, for options and arguments.

>>> STRATEGIES[:3]
('auto', 'key-range', 'range')
"""

Check: TypeAlias = Literal["usual", "full"]
"""How a walk is checked; see `Paginator.check`."""
