"""A message that costs a server too much is noticed."""

from __future__ import annotations

import hostile
import pytest

UNIT = hostile.Cost(cpu=0.1, held=0.01, memory=2**20, answer=100, log=0)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"cpu": 2.1}, ["too much CPU time"]),
        ({"held": 0.11}, ["keeps others waiting"]),
        ({"memory": 41 * 2**20}, ["too much memory"]),
        ({"log": 70_000}, ["too long a log"]),
    ],
)
def test_what_is_too_much_is_named(change, found):
    cost = UNIT._replace(**change)
    assert hostile.problems(cost, UNIT) == found
    assert hostile.row("name", 10, cost, UNIT, found).endswith(found[0] if found else "ok")


def test_a_process_that_breaks_counts():
    assert hostile.problems("ended by signal -24", UNIT) == ["ended by signal -24"]
    assert "signal" in hostile.row("name", 10, "ended", UNIT, ["ended by signal -24"])


def test_no_message_is_longer_than_it_may_be():
    for size in (hostile.SHORT, hostile.SIZE):
        messages = hostile.hostile(size)
        assert len(hostile.legacy(messages)) > 20
        for name, message in messages.items():
            assert message.size <= size + 1_000, name
