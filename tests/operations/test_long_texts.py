"""Long texts of one owner are decoded with pauses between them."""

from __future__ import annotations

import asyncio

import pytest

from channels_graphql_ws.execution.breathing import WINDOW
from channels_graphql_ws.operations import long_texts
from channels_graphql_ws.operations.long_texts import (
    LONGEST_PAUSE,
    decoding_in_turn,
    pause_after,
)


def test_a_pause_is_as_long_as_decoding_was() -> None:
    assert pause_after(WINDOW) == 0
    assert pause_after(0.03) == pytest.approx(0.06)
    assert pause_after(10.0) == LONGEST_PAUSE


async def test_an_owner_pauses_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(long_texts, "pause_after", lambda seconds: asked.append(seconds) or 1e-6)
    decoded: list[int] = []
    for number in range(3):
        async with decoding_in_turn("me"):
            decoded.append(number)
    assert decoded == [0, 1, 2]
    assert min(asked) >= 0


async def test_an_owner_is_forgotten_that_has_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "pause_after", lambda _seconds: 0.0)
    async with decoding_in_turn("me"):
        pass
    owners = long_texts._owned_of(asyncio.get_running_loop())
    assert "me" not in owners
    monkeypatch.setattr(long_texts, "pause_after", lambda _seconds: 1e-6)
    async with decoding_in_turn("me"):
        pass
    assert "me" in owners
    async with decoding_in_turn("me"):
        monkeypatch.setattr(long_texts, "pause_after", lambda _seconds: 0.0)
    assert "me" not in owners


async def test_what_cannot_be_decoded_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(long_texts, "pause_after", lambda seconds: asked.append(seconds) or 0.0)
    for owner in ("me", None):
        with pytest.raises(ValueError, match="no JSON"):
            async with decoding_in_turn(owner):
                raise ValueError("no JSON")
    assert len(asked) == 2


async def test_those_who_are_not_known_do_not_wait_for_one_another() -> None:
    async with asyncio.TaskGroup() as group:
        begun = asyncio.Barrier(2)

        async def decode() -> None:
            async with decoding_in_turn(None):
                await begun.wait()

        for _ in range(2):
            group.create_task(decode())
