"""The tests of docs/testing.md pass as they are printed."""

from __future__ import annotations

import re
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
    names: dict[str, Any] = {}
    exec(f"import graphene\nfrom channels_graphql_ws import{live}", names)  # noqa: S102 (ours)
    for snippet in snippets("docs/testing.md"):
        if "async def test_" in snippet:
            exec(snippet, names)  # noqa: S102 (ours)
    return names


async def test_a_message_arrives_over_websocket(names):
    await names["test_a_message_arrives"]()


async def test_a_message_arrives_over_http(names):
    await names["test_a_message_is_streamed"]()


async def test_the_fixture_says_hello(names, graphql_ws_client):
    await names["test_hello"](graphql_ws_client)
