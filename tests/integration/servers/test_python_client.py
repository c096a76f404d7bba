"""The Python client over sockets: our servers, restarts, recovery, the shell, the documents."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import graphene
import pytest

from channels_graphql_ws import (
    GraphqlProtocolTypeRouter,
    GraphqlSseTransport,
    GraphqlWsClient,
    GraphqlWsClientSync,
    GraphqlWsConsumer,
    Retry,
    Subscription,
)
from node_process import serving
from support import GUARD, wait_until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[3]

AT_ONCE = Retry(wait=lambda _: 0.01)

NEWS = "subscription N($r: String!) { news(reader: $r) { text } }"
TELL = "mutation T($text: String!) { tell(text: $text) }"


@pytest.fixture(autouse=True)
def this_host_is_allowed(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]


@pytest.fixture(params=["websocket", "legacy", "http"])
async def client(request: pytest.FixtureRequest, server: Any) -> AsyncIterator[GraphqlWsClient]:
    match request.param:
        case "websocket":
            client = GraphqlWsClient(server.url("graphql/"))
        case "legacy":
            client = GraphqlWsClient(server.url("graphql/"), "graphql-ws")
        case _:
            client = GraphqlWsClient(server.url("graphql/", "http"))
    async with client:
        yield client


async def test_queries_and_events_arrive_whatever_the_server(client):
    reader = f"python-{id(client)}"
    assert await client.query("query H($n: String) { hello(name: $n) }", {"n": "Ann"}) == {
        "hello": "Hello Ann"
    }
    events = client.subscription(NEWS, {"r": reader})
    waiting = asyncio.create_task(anext(events))
    async with asyncio.timeout(GUARD):
        while not waiting.done():
            await client.query(TELL, {"text": "Milk?"})
    assert (await waiting)["news"] == {"text": "Milk?"}
    await events.aclose()


async def test_files_are_uploaded(server):
    document = "mutation L($file: Upload!) { length(file: $file) }"
    async with GraphqlWsClient(server.url("graphql/", "http")) as client:
        assert await client.query(document, {"file": io.BytesIO(b"12345")}, into=int) == 5


async def test_a_thread_gets_the_same_without_an_event_loop(server):
    def ask() -> Any:
        with GraphqlWsClientSync(server.url("graphql/")) as client:
            return client.query("{ hello }")

    assert await asyncio.to_thread(ask) == {"hello": "Hello world"}


class OnNumber(Subscription):
    """Numbers that survive a restart of the server, since their history does."""

    history_size = 1000

    number = graphene.Int(required=True)

    @staticmethod
    def publish(payload: int, _info: Any) -> dict[str, Any]:
        return {"number": payload}


class Query(graphene.ObjectType):
    hello = graphene.String(default_value="world")


class Root(graphene.ObjectType):
    on_number = OnNumber.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Root)


application = GraphqlProtocolTypeRouter(
    SCHEMA,
    middleware_stack=None,
    check_origin=False,
    confirm_subscriptions=True,
    single_connection_enabled=True,
)


def transport_for(kind: str, port: int) -> Any:
    address = f"127.0.0.1:{port}/graphql/"
    match kind:
        case "websocket":
            return f"ws://{address}"
        case "http":
            return f"http://{address}"
        case _:
            return GraphqlSseTransport(f"http://{address}")


@pytest.mark.parametrize("kind", ["websocket", "http", "single stream"])
async def test_a_restart_of_the_server_loses_and_doubles_nothing(kind):
    received: list[int] = []
    gaps: list[Any] = []

    async def listen(client: GraphqlWsClient) -> None:
        document = "subscription { onNumber { number } }"
        async with client.subscription(document, wait_confirmation=True) as events:
            confirmed.set()
            async for event in events:
                received.append(event["onNumber"]["number"])
                gaps.extend([event.gap] if event.gap else [])

    confirmed = asyncio.Event()
    async with contextlib.AsyncExitStack() as first_life:
        life = serving(application, timeout_graceful_shutdown=0.1)
        port = await first_life.enter_async_context(life)
        client = GraphqlWsClient(transport_for(kind, port), retry=AT_ONCE)
        listening = asyncio.create_task(listen(client))
        await wait_until(lambda: confirmed.is_set() or listening.done())
        for number in range(5):
            await OnNumber.broadcast(payload=number)
        await wait_until(lambda: len(received) == 5)
    for number in range(5, 10):
        await OnNumber.broadcast(payload=number)
    async with serving(application, port, timeout_graceful_shutdown=0.1):
        await wait_until(lambda: len(received) == 10)
        for number in range(10, 15):
            await OnNumber.broadcast(payload=number)
        await wait_until(lambda: len(received) == 15)
        listening.cancel()
        await asyncio.wait([listening])
        await client.finalize()
    assert (received, gaps) == (list(range(15)), [])


@contextlib.asynccontextmanager
async def program(*arguments: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python program, and end it whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(3 * GUARD):
        return (await process.stdout.readline()).decode().strip()


class OnMessage(OnNumber):
    """What the program in the documents listens to."""

    text = graphene.String(required=True)

    @staticmethod
    def publish(payload: str, _info: Any) -> dict[str, Any]:
        return {"text": payload, "number": 0}


class Messages(graphene.ObjectType):
    on_message = OnMessage.Field()


class MessageConsumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Messages)


async def test_the_program_of_the_documents_prints_each_event_once_over_a_restart(tmp_path: Path):
    page = (ROOT / "docs" / "reference" / "client.md").read_text()
    found = re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert len(found[1].splitlines()) <= 20
    printed: list[str] = []
    async with contextlib.AsyncExitStack() as whole:
        async with contextlib.AsyncExitStack() as first_life:
            port = await first_life.enter_async_context(serving(MessageConsumer.as_asgi()))
            (tmp_path / "follow.py").write_text(found[1].replace(":8000", f":{port}"))
            process = await whole.enter_async_context(program("follow.py", folder=tmp_path))
            # It does not wait for a confirmation: what it misses before it is there, it misses.
            telling = asyncio.create_task(_tell_until_heard(process))
            printed.append(await telling)
            await OnMessage.broadcast(payload="one")
            while printed[-1] != "one":
                printed.append(await line_of(process))
        await OnMessage.broadcast(payload="two")
        async with serving(MessageConsumer.as_asgi(), port):
            await OnMessage.broadcast(payload="three")
            printed += [await line_of(process) for _ in range(2)]
    assert [each for each in printed if each != "hello"] == ["one", "two", "three"]


async def _tell_until_heard(process: asyncio.subprocess.Process) -> str:
    heard = asyncio.create_task(line_of(process))
    while not heard.done():
        await OnMessage.broadcast(payload="hello")
        await asyncio.wait([heard], timeout=0.05)
    return await heard


async def test_the_shell_prints_events_and_goes_on_over_a_restart(tmp_path: Path):
    document = "subscription { onNumber { number } }"
    async with contextlib.AsyncExitStack() as whole:
        async with contextlib.AsyncExitStack() as first_life:
            port = await first_life.enter_async_context(serving(application))
            url = f"ws://127.0.0.1:{port}/graphql/"
            arguments = ("-m", "channels_graphql_ws", "subscribe", url, document, "--follow")
            process = await whole.enter_async_context(program(*arguments, folder=tmp_path))
            # The site confirms, and the shell shows whatever comes.
            assert json.loads(await line_of(process))["data"] is None
            await OnNumber.broadcast(payload=1)
            assert json.loads(await line_of(process))["data"] == {"onNumber": {"number": 1}}
        await OnNumber.broadcast(payload=2)
        async with serving(application, port):
            lines = [json.loads(await line_of(process)) for _ in range(2)]
    assert lines[0]["extensions"]["recovered"] is True
    assert [line["data"] for line in lines] == [None, {"onNumber": {"number": 2}}]
