"""The tests of docs/testing.md pass as they are printed."""

from __future__ import annotations

import asyncio
import re
import unittest
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def snippets(document: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```$", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the quick start of the README defines, without its settings, and the tests."""
    live = snippets("README.md")[0].partition("from channels_graphql_ws import")[2]
    names: dict[str, Any] = {"asyncio": asyncio, "pytest": pytest}
    exec(f"import graphene\nfrom channels_graphql_ws import{live}", names)  # noqa: S102 (ours)
    for snippet in snippets("docs/testing.md"):
        if "def test_" in snippet:
            exec(snippet, names)  # noqa: S102 (ours)
    return names


async def test_a_message_arrives_over_websocket(names):
    await names["test_a_message_arrives"]()


async def test_a_message_arrives_over_http(names):
    await names["test_a_message_is_streamed"]()


async def test_the_fixture_says_hello(names, graphql_ws_client):
    await names["test_hello"](graphql_ws_client)


def test_a_message_arrives_without_an_event_loop(names):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(names["MessageTests"]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])


@pytest.mark.servers
@pytest.mark.filterwarnings("ignore:remove second argument of ws_handler:DeprecationWarning")
async def test_a_message_arrives_through_a_socket(names, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    await names["test_a_message_goes_through_a_socket"]()


async def test_clients_hear_again(names, faulty_channel_layer):
    await names["test_clients_hear_again_after_an_outage"](faulty_channel_layer)
