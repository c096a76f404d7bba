"""What waits in a hub: in its order, or small groups first, but for those who hear both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.pubsub import inbox as module
from channels_graphql_ws.pubsub.inbox import CROWD, Entry, Inbox

MANY = range(CROWD + 1)


class Case:
    """An inbox, and who listens to which group."""

    def __init__(self, **groups: Any) -> None:
        self.listeners: dict[str, dict[Hashable, int]] = {
            name: dict.fromkeys(members, 0) for name, members in groups.items()
        }
        self.inbox = Inbox(self.listeners)
        self.count = 0

    def put(self, *groups: str) -> None:
        """Put a message for each group; it has its number as its size."""
        for group in groups:
            self.count += 1
            self.inbox.put(Entry(self.count, {"group": group}, self.count))

    def pop(self, count: int, *, is_behind: bool = True) -> list[str]:
        """Take messages out, as the group and number of each."""
        taken = [self.inbox.pop(is_behind=is_behind) for _ in range(count)]
        return [f"{entry.message['group']}{entry.serial}" for entry in taken]


def test_messages_come_in_their_order() -> None:
    case = Case(crowd=MANY, small=["x"])
    case.put("crowd", "small", "crowd", "nobody")
    assert (len(case.inbox), case.inbox.size) == (4, 10)
    assert case.pop(4, is_behind=False) == ["crowd1", "small2", "crowd3", "nobody4"]
    assert (len(case.inbox), case.inbox.size) == (0, 0)
    with pytest.raises(IndexError):
        case.inbox.pop(is_behind=False)


def test_while_the_hub_is_behind_small_groups_take_turns_with_crowded_ones() -> None:
    case = Case(crowd=MANY, small=["x"], other=["y"])
    case.put("crowd", "crowd", "crowd", "small", "other", "small", "nobody")
    expected = ["small4", "other5", "crowd1", "small6", "crowd2", "nobody7", "crowd3"]
    assert case.pop(7) == expected
    assert not case.inbox


def test_a_listener_of_both_hears_them_in_their_order() -> None:
    case = Case(crowd=[*MANY, "x"], small=["x", "y"], third=["y"], other=["z"])
    case.put("crowd", "small", "third", "other", "small")
    order = case.pop(5)
    assert order.index("crowd1") < order.index("small2") < order.index("small5")
    # Who hears a message that waits for a crowd waits as well.
    assert order.index("small2") < order.index("third3")
    assert order[0] == "other4"


def test_what_was_overtaken_is_the_first_when_the_hub_is_no_more_behind() -> None:
    case = Case(crowd=MANY, small=["x"])
    case.put("crowd", "crowd", "small", "small")
    [first] = case.pop(1)
    rest = case.pop(3, is_behind=False)
    assert first == "small3"
    assert rest == ["crowd1", "crowd2", "small4"]


def test_what_is_put_back_is_the_first() -> None:
    case = Case(crowd=MANY, small=["x"])
    case.put("crowd", "small", "crowd")
    entry = case.inbox.pop(is_behind=True)
    size = case.inbox.size
    case.inbox.put_back(entry)
    assert case.inbox.size == size + entry.size
    assert case.inbox.pop(is_behind=True) is entry


def test_with_many_crowded_groups_nobody_overtakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CROWDS", 1)
    case = Case(a=MANY, b=MANY, small=["x"])
    case.put("a", "b", "small", "nobody")
    assert case.pop(4) == ["a1", "b2", "small3", "nobody4"]


def test_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    case = Case(crowd=[*MANY, "x"], shared=["x"], small=["y"])
    case.put("crowd", "crowd", "small")
    assert case.pop(3) == ["crowd1", "small3", "crowd2"]
    # One whose listeners are looked up counts for many.
    case.put("crowd", "shared", "small")
    assert case.pop(1) == ["crowd4"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 2)),
        min_size=1,
        max_size=40,
    )
)
def test_each_hears_all_of_it_in_order(steps: list[tuple[str, bool, int]]) -> None:
    """Groups share listeners in many ways; some are crowded."""
    case = Case(a=[*MANY, "x"], b=["x", "y"], c=["y", "z"], d=["z"], e=[*MANY, "v"], f=["w"])
    heard = defaultdict[Hashable, list[int]](list)
    taken = 0

    def take(is_behind: bool) -> None:
        entry = case.inbox.pop(is_behind=is_behind)
        for one in case.listeners[entry.message["group"]]:
            heard[one].append(entry.serial)

    for group, is_behind, count in steps:
        case.put(group)
        for _ in range(min(count, len(case.inbox))):
            take(is_behind)
            taken += 1
    while case.inbox:
        take(is_behind=True)
        taken += 1
    assert taken == len(steps)
    assert case.inbox.size == 0
    assert all(numbers == sorted(numbers) for numbers in heard.values())
    assert not case.inbox._waiting
    assert not case.inbox._crowds
