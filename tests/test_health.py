"""What the probes of an orchestrator are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import AsyncRequestFactory

from channels_graphql_ws import health, shut_down
from channels_graphql_ws.process_statistics import Statistics


async def _asked(view: Any) -> tuple[int, dict[str, Any]]:
    answer = await view(AsyncRequestFactory().get("/"))
    assert answer["Cache-Control"] == "no-store"
    return answer.status_code, json.loads(answer.content)


async def test_a_process_is_alive_and_ready() -> None:
    assert await _asked(health.live) == (200, {"live": True})
    assert await _asked(health.ready) == (200, {"ready": True, "problems": []})


async def test_a_process_that_shuts_down_is_alive_and_not_ready() -> None:
    await shut_down(0)
    assert await _asked(health.live) == (200, {"live": True})
    expected = {"ready": False, "problems": ["the process is shutting down"]}
    assert await _asked(health.ready) == (503, expected)


async def test_a_process_whose_channel_layer_is_silent_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Statistics, "is_healthy", property(lambda _: False))
    expected = {"ready": False, "problems": ["the channel layer does not carry messages"]}
    assert await _asked(health.ready) == (503, expected)
