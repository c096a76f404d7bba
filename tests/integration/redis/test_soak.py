"""Servers that are killed, ended and stopped under clients that come back with their cursors."""

from __future__ import annotations

import pytest
from soak_stage import Setting, soak

pytestmark = [pytest.mark.redis, pytest.mark.servers]


@pytest.mark.usefixtures("redis_url")
@pytest.mark.parametrize("layer", ["core", "pubsub"])
async def test_each_event_comes_once_and_in_order_though_servers_are_killed_and_stopped(
    layer: str,
) -> None:
    outcome = await soak(
        Setting(
            layer=layer,
            clients=60,
            rooms=6,
            seconds=60,
            rounds=1,
            rate=40,
            stay=3,
            pause=0.2,
            hang=1,
            burst=150,
            faults=("burst", "kill", "stop", "end"),
            seed=1,
        )
    )
    assert outcome.findings == []
    assert outcome.faults.total() == 4
    assert outcome.figures["recoveries"] > 30
