"""The tests of docs/reference/testing.md pass as they are printed."""

from __future__ import annotations

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
    common: dict[str, Any] = {}
    exec(f"import graphene\nfrom channels_graphql_ws import{live}", common)  # noqa: S102 (ours)
    names = dict(common)
    for snippet in snippets("docs/reference/testing.md"):
        if "def test_" in snippet:
            # What one of them imports is not there for the others.
            exec(snippet, own := dict(common))  # noqa: S102 (ours)
            names |= {name: each for name, each in own.items() if "test" in name.lower()}
    return names


async def test_a_message_arrives_over_websocket(names):
    await names["test_a_message_arrives"]()


async def test_a_message_arrives_over_http(names):
    await names["test_a_message_is_streamed"]()


async def test_an_event_arrives_message_by_message(names):
    await names["test_an_event_arrives"]()


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
