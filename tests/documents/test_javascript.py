"""The clients of docs/how-to/javascript.md, as npm has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node_process import node_starter, node_with_packages
from pages import ROOT, blocks, write_files

HERE = Path(__file__).resolve().parent / "node"
SEND = 'mutation { sendMessage(room: "tea", text: "Milk?") { message { id } } }'
CLIENTS = {"graphql-ws", "apollo", "urql", "relay", "events", "graphql-sse"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The modules of the page, where they find their packages."""
    folder = tmp_path_factory.mktemp("modules")
    found = blocks(ROOT / "docs" / "how-to" / "javascript.md")
    write_files([each for each in found if each.language == "js"], folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.fixture
async def start_node(modules: Path) -> AsyncIterator:
    """Start a script, with the packages of its lock file."""
    node = node_with_packages(HERE)
    if not (modules / "node_modules").exists():
        (modules / "node_modules").symlink_to(HERE / "node_modules")
    async with node_starter(node, HERE) as start:
        yield start


async def test_each_client_gets_a_message_and_answers_to_queries(project, modules, start_node):
    project.add_user("ada", "lovelace")
    with project.served() as visitor:
        visitor.submit("/login/", username="ada", password="lovelace")  # noqa: S106 (of the test)
        visitor.execute(SEND)
        process = await start_node("javascript.mjs", str(modules), visitor.url[len("http://") :])
        answers = await process.line()
        assert answers == {"queries": [["Milk?"]] * 3, "tokens": ["asked"]}
        received: dict[str, dict[str, str]] = {}
        # Nothing says when the last of them is subscribed.
        while received.keys() != CLIENTS:
            await asyncio.to_thread(visitor.execute, SEND)
            line = await process.line()
            received[line["name"]] = line["message"]
        for name, message in received.items():
            assert (name, message["author"], message["text"]) == (name, "ada", "Milk?")
