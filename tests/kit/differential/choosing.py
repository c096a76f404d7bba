"""Choose with Hypothesis: the first option is the plainest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

T = TypeVar("T")

THOROUGH = int(os.environ.get("CHANNELS_GRAPHQL_WS_TEST_THOROUGH", "1"))
"""How many times as many examples as in the suite: 50 takes several minutes."""


def examples(number: int) -> settings:
    """Give the settings of a test that tries this many examples."""
    return settings(
        max_examples=number * THOROUGH,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        # To shrink takes minutes: a case that failed says what it is made of.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        report_multiple_bugs=False,
        deadline=None,
    )


@cache
def _numbers(high: int) -> st.SearchStrategy[int]:
    return st.integers(0, high)


class Chooser:
    """Draws small numbers, and choices made of them."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def number(self, high: int) -> int:
        """Give a number from 0 to `high`."""
        return int(self._draw(_numbers(high)))

    def one(self, options: Sequence[T]) -> T:
        return options[self.number(len(options) - 1)]

    def rarely(self, percent: int = 10) -> bool:
        return percent > 0 and self.number(99) >= 100 - percent

    def some(self, options: Sequence[T], percent: int = 50) -> list[T]:
        return [option for option in options if self.rarely(percent)]
