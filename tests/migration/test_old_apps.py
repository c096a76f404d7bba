"""Applications in the manner of other releases and packages run as they are."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp, testing
from channels_graphql_ws.testing import GraphqlWsTransport, LiveServer
from support import wait_until

each_app = pytest.mark.parametrize(
    "name", ["release_0_8", "release_0_9", "release_1_0_rc7", "fork", "strawberry_port"]
)
both_dialects = pytest.mark.parametrize("dialect", ["graphql-transport-ws", "graphql-ws"])

LISTEN = """subscription { onMessage(chatroom: "tea") { sender chatroom text } }"""
MESSAGE = {"sender": "ann", "chatroom": "tea", "text": "Milk?"}


def application_of(name: str) -> tuple[Any, Any]:
    """Return the module of an application, and the ASGI application."""
    module = importlib.import_module(f"old_apps.{name}")
    module.ended.clear()
    with warnings.catch_warnings():
        # Of `send_keepalive_every`: users see it, too.
        warnings.simplefilter("ignore", DeprecationWarning)
        return module, module.make_application()


async def chat(module: Any, client: Any) -> None:
    """Do what users of a chat do, and see that it is answered as ever."""
    await client.connect_and_init()
    answer = await client.execute("{ hello }")
    assert answer["data"] == {"hello": "Hello ann at /graphql/"}
    op_id = await client.start(LISTEN)
    heard = asyncio.create_task(client.receive(assert_id=op_id))
    # Nobody tells when the subscription is live: somebody talks until they are heard.
    while not heard.done():
        for text in ("skip", "Milk?"):
            await client.execute(module.SAY, {"text": text})
    assert (await heard)["data"] == {"onMessage": MESSAGE}
    await client.complete(op_id)
    while (await client.receive(raw_response=True))["type"] != "complete":
        pass
    await wait_until(lambda: module.ended == ["tea"])
    await client.finalize()


@each_app
@both_dialects
async def test_it_runs_in_this_process(name: str, dialect: str) -> None:
    module, application = application_of(name)
    wire = GraphqlWsTransport(application, "/graphql/", subprotocol=dialect)
    client = testing.GraphqlWsClient(wire, dialect, connection_params={"nick": "ann"})
    await chat(module, client)


@each_app
@both_dialects
@pytest.mark.servers
@pytest.mark.filterwarnings("ignore:remove second argument of ws_handler:DeprecationWarning")
@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
async def test_it_runs_on_each_server(name: str, dialect: str, server: str) -> None:
    module, application = application_of(name)
    async with LiveServer(application, server=server) as live:
        wire = GraphqlWsTransportAiohttp(live.ws_url)
        client = GraphqlWsClient(wire, dialect, connection_params={"nick": "ann"})
        await chat(module, client)


async def test_middleware_of_the_oldest_manner_sees_every_field() -> None:
    module, application = application_of("release_0_8")
    module.passed.clear()
    client = testing.GraphqlWsClient(
        GraphqlWsTransport(application, "/graphql/"), connection_params={"nick": "ann"}
    )
    await client.connect_and_init()
    await client.execute("{ hello }")
    assert module.passed == ["hello"]
    await client.finalize()


async def test_classes_of_a_framework_do_not_get_each_others_events() -> None:
    _, application = application_of("fork")
    wire = GraphqlWsTransport(application, "/graphql/")
    client = testing.GraphqlWsClient(wire)
    await client.connect_and_init()
    query = 'subscription { onOther(chatroom: "tea") { operation text } }'
    op_id = await client.subscribe(query, wait_confirmation=False)
    await client.execute('mutation { send(chatroom: "tea", text: "Milk?") }')
    event = (await client.receive_next(op_id))["data"]["onOther"]
    assert event == {"operation": "other", "text": "not for you"}
    assert await client.settle() == []
    await client.finalize()
