"""An owner that computes has fewer threads while the event loop is late."""

from __future__ import annotations

import pytest

from channels_graphql_ws.concurrency.shares import (
    FEWEST,
    HALF_LIFE,
    LATE,
    LITTLE,
    UNTIL_FEWER,
    UNTIL_MORE,
    Shares,
)

MUCH = 4 * LITTLE
TOO_LATE = 2 * LATE


class Case:
    """Shares, and a clock that a test sets."""

    def __init__(self, most: int = 8) -> None:
        self.now = 1_000.0
        self.shares = Shares(most, lambda: self.now)

    def note(
        self, owner: str, computed: float, late: float, *, after: float = UNTIL_FEWER
    ) -> None:
        self.now += after
        self.shares.note(owner, computed, late)

    def of(self, owner: str) -> int:
        return self.shares.of(owner)


def test_all_have_the_same_share_while_the_event_loop_is_not_late() -> None:
    case = Case()
    for _ in range(20):
        case.note("computes", MUCH, LATE)
    assert case.of("computes") == case.of("new") == 8


def test_who_computes_has_half_as_many_each_time_that_it_is_late() -> None:
    case = Case()
    shares: list[int] = []
    for _ in range(4):
        case.note("computes", MUCH, TOO_LATE)
        shares.append(case.of("computes"))
    assert shares == [4, FEWEST, FEWEST, FEWEST]
    assert case.of("new") == 8


def test_who_waits_for_something_else_keeps_its_share() -> None:
    case = Case()
    for _ in range(10):
        case.note("waits", LITTLE / 100, TOO_LATE)
        case.note("computes", MUCH, TOO_LATE)
    assert (case.of("waits"), case.of("computes")) == (8, FEWEST)


def test_what_has_begun_may_be_late_before_there_are_still_fewer() -> None:
    case = Case()
    case.note("computes", MUCH, TOO_LATE)
    case.note("computes", MUCH, TOO_LATE, after=UNTIL_FEWER / 2)
    assert case.of("computes") == 4


def test_there_is_one_more_after_a_while() -> None:
    case = Case()
    for _ in range(2):
        case.note("computes", MUCH, TOO_LATE)
    shares: list[int] = []
    for _ in range(8):
        case.note("computes", MUCH, 0.0, after=UNTIL_MORE / 2)
        shares.append(case.of("computes"))
    assert shares == [2, 3, 3, 4, 4, 5, 5, 6]
    for _ in range(20):
        case.note("computes", MUCH, 0.0, after=UNTIL_MORE)
    assert case.of("computes") == 8


def test_what_was_computed_counts_half_after_a_while() -> None:
    case = Case()
    case.note("computes", 3 * LITTLE, TOO_LATE)
    assert case.of("computes") == 4
    case.now += HALF_LIFE
    assert case.of("computes") == 4
    case.now += HALF_LIFE
    assert case.of("computes") == 8


def test_nobody_is_remembered_for_long() -> None:
    case = Case()
    for number in range(100):
        case.note(f"{number}", MUCH, 0.0, after=HALF_LIFE)
    assert len(case.shares._computed) <= 11


@pytest.mark.parametrize("most", [1, 2])
def test_a_share_is_never_larger_than_it_may_be(most: int) -> None:
    case = Case(most)
    for late in (TOO_LATE, 0.0):
        case.note("computes", MUCH, late, after=UNTIL_MORE)
        assert case.of("computes") == most


def test_there_may_be_fewer_for_all() -> None:
    case = Case(8)
    case.note("computes", MUCH, TOO_LATE)
    case.shares.most = 3
    assert (case.of("computes"), case.of("new")) == (3, 3)
    case.note("computes", MUCH, TOO_LATE)
    assert case.of("computes") == FEWEST
