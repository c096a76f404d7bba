"""The soak notices what is lost, doubled or out of order, and what a client was told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from soak_account import Account

LAYER = {"gap": {"missed": 2, "reason": "layer"}}
UNKNOWN = {"gap": {"missed": None, "reason": "layer"}}


def account(*messages: int | tuple[int | None, Mapping[str, Any]] | None) -> Account:
    made = Account()
    for message in messages:
        number, extensions = message if isinstance(message, tuple) else (message, {})
        made.take(number, extensions)
    return made


@pytest.mark.parametrize(
    ("messages", "lost"),
    [
        ((1, 2, 3, 4), 0),
        ((1, 4), 2),
        ((3, 4), 2),
        ((1, 2), 2),
        ((), 4),
        ((1, (4, LAYER)), 0),
        ((1, (4, UNKNOWN)), 0),
        ((1, (None, LAYER), 4), 0),
        (((4, LAYER),), 1),
        ((1, 2, (None, LAYER)), 0),
        (((2, UNKNOWN), 4), 1),
    ],
)
def test_a_lost_event_counts_unless_the_client_was_told(messages: Any, lost: int) -> None:
    assert account(*messages).lost(4) == lost


def test_a_broadcast_that_raised_need_not_arrive() -> None:
    assert account(1, 4).lost(6, failed=[2, 5]) == 2
    assert account(1, 2, 3).lost(3, failed=[2]) == 0


def test_what_comes_twice_or_late_is_seen() -> None:
    found = account(1, 1, 4, 2)
    assert (found.doubled, found.disordered, found.got) == (1, 1, 4)


def test_who_comes_back_recovers_or_is_told() -> None:
    found = account(1)
    found.came_back(recovered=True)
    found.take(3, {})
    assert (found.recoveries, found.lost(3)) == (1, 1)
    found.came_back(recovered=False)
    found.take(9, {})
    assert found.lost(9) == 1
    assert found.gaps["history"] == 1


def test_who_comes_back_without_a_cursor_has_missed_what_it_has_missed() -> None:
    found = account(1)
    found.came_back(recovered=None)
    found.take(7, {})
    assert found.lost(8) == 1


def test_a_word_of_a_loss_that_nobody_knows_of_is_counted() -> None:
    assert account(1, (2, UNKNOWN)).needless(2) == 1
    assert account(1, (4, UNKNOWN)).needless(4) == 0
