"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

import redis_server

pytest_plugins = ["leaks", "pytest_channels_graphql_ws", "pytester"]

# A deadline for each example would be a timed assertion.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis server: the one the environment names, or one of our own.

    Other tests, and perhaps other programs, use it too: take names of your own, never flush it.
    """
    if url := redis_server.external_url():
        yield url
        return
    with _redis() as server:
        yield server.url


@pytest.fixture
def redis_outage() -> Iterator[redis_server.RedisServer]:
    """A Redis server for this test alone, which may stop and start it."""
    with _redis() as server:
        yield server


def _redis() -> redis_server.RedisServer:
    try:
        return redis_server.RedisServer()
    except redis_server.RedisNotFoundError as error:
        if redis_server.is_required():
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
