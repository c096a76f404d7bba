"""What the numbers of senders tell: losses, doubles, and what comes behind later ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.pubsub import arrivals
from channels_graphql_ws.pubsub.arrivals import DOUBLE, OVERTAKEN, Arrivals


def test_one_after_another_nothing_is_missing() -> None:
    seen = Arrivals()
    assert [seen.check("G", "s", number) for number in range(5, 10)] == [0] * 5
    assert (seen.missed, seen.doubled) == (0, 0)


def test_what_was_sent_before_anybody_listened_is_not_missing() -> None:
    assert Arrivals().check("G", "s", 500) == 0


def test_each_sender_and_each_group_counts_for_itself() -> None:
    seen = Arrivals()
    numbers = [("G", "s", 1), ("G", "t", 7), ("H", "s", 3), ("G", "s", 2), ("G", "t", 8)]
    assert [seen.check(*each) for each in numbers] == [0] * 5


def test_a_hole_is_told_once_and_a_double_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    seen = Arrivals()
    told = [seen.check("G", "s", number) for number in (1, 2, 5, 6, 2, 6, 7)]
    assert told == [0, 0, 2, 0, DOUBLE, DOUBLE, 0]
    assert (seen.missed, seen.doubled) == (2, 2)
    assert "has lost events of group G (2 in this process so far)" in caplog.text


def test_one_that_comes_behind_a_later_one_is_dropped_as_it_was_told_to_be_lost() -> None:
    seen = Arrivals()
    assert [seen.check("G", "s", number) for number in (1, 3, 2, 4)] == [0, 1, DOUBLE, 0]
    assert (seen.missed, seen.doubled) == (1, 1)


def test_one_that_comes_behind_the_first_of_its_sender_is_told_once() -> None:
    seen = Arrivals()
    told = [seen.check("G", "s", number) for number in (9, 7, 8, 7, 6, 10)]
    assert told == [0, OVERTAKEN, DOUBLE, DOUBLE, OVERTAKEN, 0]
    # 7 and 8 at once, then 6.
    assert (seen.missed, seen.doubled) == (3, 4)


def test_a_lost_tail_is_found_by_what_the_sender_announces() -> None:
    seen = Arrivals()
    seen.check("G", "s", 1)
    assert seen.announced("G", "s", 1, 0) == 0
    assert seen.announced("G", "s", 4, 0) == 3
    assert seen.announced("G", "s", 4, 0) == 0
    assert seen.announced("G", "unknown", 4, 0) == 0
    assert seen.announced("H", "s", 4, 0) == 0
    assert seen.check("G", "s", 5) == 0


def joined_for(seconds: float) -> Arrivals:
    """A hub that joined all its groups so long ago."""
    return Arrivals(lambda _: seconds)


def test_a_first_number_that_is_not_the_first_of_its_sender_is_judged_by_its_age() -> None:
    # What was sent before it was sent 5 seconds ago.
    assert joined_for(4).check("G", "s", 9, pause=5) == 0
    assert joined_for(60).check("G", "s", 9, pause=5) is None
    assert joined_for(60).check("G", "s", 2, pause=5) == 1
    assert joined_for(60).check("G", "s", 1) == 0
    assert joined_for(60).check("G", "s", 9) == 0


def test_what_was_told_as_lost_is_not_told_again_when_it_comes_late() -> None:
    seen = joined_for(60)
    assert seen.check("G", "s", 2, pause=5) == 1
    assert seen.check("G", "s", 1) == DOUBLE
    assert seen.announced("G", "t", 4, age=5) is None
    assert seen.check("G", "t", 3) == DOUBLE
    assert seen.missed == 2


def test_the_only_broadcast_of_a_sender_is_missed_by_what_it_announces() -> None:
    seen = joined_for(60)
    assert seen.announced("G", "s", 1, age=2) == 1
    assert seen.announced("G", "s", 1, age=4) == 0
    assert seen.announced("G", "t", 7, age=2) is None
    # Sent before anybody listened.
    assert seen.announced("G", "u", 7, age=59.5) == 0
    assert seen.announced("G", "u", 7, age=100) == 0
    assert seen.check("G", "s", 2) == 0
    assert seen.missed == 2


def test_a_sender_that_was_forgotten_is_not_taken_for_one_that_was_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "MOST_SENDERS", 1)
    seen = joined_for(60)
    assert [seen.check("G", sender, 1) for sender in "ab"] == [0, 0]
    assert seen.check("G", "a", 2, pause=1) == 0
    assert seen.check("G", "a", 1) == DOUBLE
    assert seen.announced("G", "b", 1, age=3) == 0


def test_nothing_is_remembered_of_a_group_that_was_left() -> None:
    seen = Arrivals()
    seen.check("G", "s", 1)
    seen.forget("G")
    seen.forget("G")
    assert seen.check("G", "s", 10) == 0


def test_senders_are_remembered_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_SENDERS", 2)
    seen = Arrivals()
    for sender in "abc":
        seen.check("G", sender, 1)
    assert list(seen._groups["G"].senders) == ["b", "c"]


def test_ids_of_durable_events_are_remembered_within_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "MOST_IDS", 2)
    seen = Arrivals()
    ids = [("G", "a"), ("H", "a"), ("G", "a"), ("G", "b"), ("G", "c"), ("G", "a")]
    assert [seen.is_known(*each) for each in ids] == [False, False, True, False, False, False]
    assert seen.doubled == 1


def test_the_log_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    seen = Arrivals()
    seen.lost("G", 1)
    seen.lost("G", None)
    assert len(caplog.records) == 1
    assert seen.missed == 2


@given(st.lists(st.integers(1, 30), max_size=60))
def test_whatever_comes_is_delivered_once_and_in_order_and_no_hole_is_silent(
    numbers: list[int],
) -> None:
    seen = Arrivals()
    delivered: list[int] = []
    for number in numbers:
        verdict = seen.check("G", "s", number)
        if verdict not in (DOUBLE, OVERTAKEN):
            delivered.append(number)
    assert delivered == sorted(set(delivered))
    if delivered:
        # Whatever came, be it too late, was sent while somebody listened.
        assert seen.missed == delivered[-1] - min(numbers) + 1 - len(delivered)
