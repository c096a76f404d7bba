"""Fixtures of the conformance tests: the dialect, the stage, and those who connect to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from conformance.peer import LEGACY, NEW, Peers
from conformance.stage import Stage


@pytest.fixture(params=[NEW, LEGACY])
def subprotocol(request: pytest.FixtureRequest) -> str:
    """Each test runs in both dialects, unless it is parametrized with one of them."""
    return request.param


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def peers(subprotocol: str) -> AsyncIterator[Peers]:
    peers = Peers(subprotocol)
    yield peers
    await peers.leave()
