"""The tests of docs/reference/testing.md pass as they are printed."""

from __future__ import annotations

import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def snippets(document: str) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```$", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """Return the tests, which import the files of the README's quick start."""
    schema, live, *_ = snippets("README.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "schema", module("schema", schema))
        # The settings are those of the tests.
        live = live.partition("django.setup()\n")[2]
        patch.setitem(sys.modules, "live", module("live", live))
        found: dict[str, Any] = {}
        for number, snippet in enumerate(snippets("docs/reference/testing.md")):
            if "def test_" in snippet and "mysite" not in snippet:
                found |= vars(module(f"snippet_{number}", snippet))
        yield found


def module(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    exec(source, vars(made))  # noqa: S102 (ours)
    return made


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
async def test_a_message_arrives_through_a_socket(names):
    await names["test_a_message_goes_through_a_socket"]()


async def test_events_arrive_again(names, faulty_channel_layer):
    await names["test_events_arrive_again_after_an_outage"](faulty_channel_layer)
