"""Servers that are killed and stopped under clients that come back with their cursors."""

from __future__ import annotations

import pytest
from soak_stage import Setting, soak

pytestmark = [pytest.mark.redis, pytest.mark.servers]


@pytest.mark.usefixtures("redis_url")
async def test_each_event_comes_once_and_in_order_though_servers_are_killed_and_stopped() -> None:
    outcome = await soak(
        Setting(
            layer="pubsub",
            clients=60,
            rooms=6,
            seconds=60,
            rounds=1,
            rate=40,
            stay=3,
            pause=0.2,
            hang=1,
            burst=0,
            faults=("kill", "stop"),
            seed=1,
        )
    )
    assert outcome.findings == []
    assert outcome.faults.total() == 2
    assert outcome.figures["recoveries"] > 0
