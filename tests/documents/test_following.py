"""The README and the tutorial, followed line by line in an empty folder, with the wheel."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp
from pages import ROOT, Block
from programs import Visitor
from reader import Page, Reader, built_wheel
from support import GUARD

# They install everything from nothing.
pytestmark = pytest.mark.timeout(1200)

START_HERE = ROOT / "example" / "start_here"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def reader(tmp_path: Path, wheel: Path) -> Reader:
    """Return somebody with an empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return Reader(folder, wheel)


def assert_graphiql(visitor: Visitor) -> None:
    assert "<title>GraphiQL" in visitor.get("/graphql/", Accept="text/html")


async def event(
    listener: Visitor, subscription: Block, sender: Visitor, mutation: Block
) -> object:
    """Subscribe, and send until something arrives: nothing says when a group is joined."""
    url = listener.url.replace("http", "ws") + "/graphql/"
    headers = {"Origin": listener.url, "Cookie": listener.cookies}
    client = GraphqlWsClient(GraphqlWsTransportAiohttp(url, headers=headers))
    await client.connect_and_init()
    op_id = await client.subscribe(subscription.code, wait_confirmation=False)
    receiving = asyncio.create_task(client.receive(wait_id=op_id))
    async with asyncio.timeout(GUARD):
        while not receiving.done():
            answer = await asyncio.to_thread(sender.execute, mutation.code)
            assert "errors" not in answer
            await asyncio.wait([receiving], timeout=0.5)
    await client.finalize()
    return receiving.result()


async def test_the_readme(reader: Reader):
    page = Page("README.md")
    assert "tox run -e example" in page.take("").code
    reader.run("python3 -m venv .venv")
    reader.run(page.take("sh").code)

    schema, live = page.take("python"), page.take("python")
    reader.write(schema)
    reader.write(live)
    with reader.serve(page.take("sh").code) as visitor:
        assert_graphiql(visitor)
        received = await event(visitor, page.take("graphql"), visitor, page.take("graphql"))
    assert received == {"data": {"onMessage": {"text": "Milk?"}}}

    reader.run("django-admin startproject mysite .")
    reader.write(page.take("python"))
    reader.write(schema, "mysite/schema.py")
    reader.write(page.take("python"))
    with reader.serve(page.take("sh").code) as visitor:
        assert_graphiql(visitor)
        assert visitor.execute("{ hello }") == {"data": {"hello": "world"}}
    page.assert_end()


async def test_the_tutorial(reader: Reader, redis_url: str):
    page = Page("docs/tutorial/project.md")
    reader.run(page.take("sh").code)
    reader.run(page.take("sh").code)
    for _ in ("settings", "schema", "asgi"):
        reader.write(page.take("python"))
    runserver = page.take("sh").code
    with reader.serve(runserver) as visitor:
        assert_graphiql(visitor)
        assert visitor.execute(page.take("graphql").code) == json.loads(page.take("json").code)
    page.assert_end()

    page = Page("docs/tutorial/live-data.md")
    models = page.take("python")
    reader.write(models)
    assert "Create model Message" in reader.run(page.take("sh").code)
    schema = page.take("python")
    reader.write(schema)
    with reader.serve(runserver) as visitor:
        subscription, mutation = page.take("graphql"), page.take("graphql")
        assert visitor.execute(mutation.code) == json.loads(page.take("json").code)
        visitor.submit("/admin/login/?next=/admin/", username="ada", password="lovelace")  # noqa: S106 (of the test)
        mutation = page.take("graphql")
        received = await event(visitor, subscription, visitor, mutation)
        assert received == json.loads(page.take("json").code)
        kept = visitor.execute(page.take("graphql").code)["data"]["messages"]
        (message,) = json.loads(page.take("json").code)["data"]["messages"]
        assert message in kept
    page.assert_end()

    page = Page("docs/tutorial/processes.md")
    reader.run(page.take("sh").code)
    reader.write(page.take("python"))
    redis = ("redis://127.0.0.1:6379", redis_url)
    with (
        reader.serve(page.take("sh").code, instead=redis) as one,
        reader.serve(page.take("sh").code, instead=redis) as two,
    ):
        for visitor in (one, two):
            visitor.submit("/admin/login/?next=/admin/", username="ada", password="lovelace")  # noqa: S106 (of the test)
        received = await event(one, page.take("graphql"), two, page.take("graphql"))
        assert received == json.loads(page.take("json").code)
    page.assert_end()

    page = Page("docs/tutorial/tests.md")
    tests = page.take("python")
    reader.write(tests)
    printed = reader.run(page.take("sh").code)
    assert "Ran 2 tests" in printed
    assert "OK" in printed
    page.assert_end()

    for name in ("chat/models.py", "chat/schema.py", "chat/tests.py", "mysite/asgi.py"):
        built = (reader.folder / name).read_text(encoding="utf-8")
        assert built == (START_HERE / name).read_text(encoding="utf-8"), name
