"""What type checkers know of the clients: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_type

from channels_graphql_ws import (
    ClientSubscription,
    ConnectionClosedError,
    ConnectionEvent,
    ConnectionState,
    Gap,
    GraphqlHttpTransport,
    GraphqlResult,
    GraphqlWsClient,
    GraphqlWsClientSync,
    GraphqlWsConsumer,
    GraphqlWsResponseError,
    GraphqlWsTransport,
    GraphqlWsTransportAiohttp,
    Retry,
    SubscriptionEvent,
    testing,
)


async def a_program_asks() -> None:
    """A client over the network."""
    transport = GraphqlWsTransportAiohttp(
        "ws://localhost/graphql/", cookies={"sessionid": "x"}, headers={"Origin": "http://x"}
    )
    client = GraphqlWsClient(transport, connection_params={"token": "x"})
    await client.connect_and_init()
    assert_type(client.transport, GraphqlWsTransport)
    assert_type(client.connected, bool)
    assert_type(client.connection_ack_payload, Any)
    result = await client.execute("{ hello }", {"n": 1})
    assert_type(result, Any)
    assert_type(result["data"]["hello"], Any)
    op_id = await client.subscribe("subscription { onTick }", wait_confirmation=False)
    await client.receive(wait_id=op_id, raw_response=True, timeout=1)
    await client.wait_response(lambda payload: payload["data"]["n"] > 1, timeout=2.5)
    await client.complete(op_id)
    await client.start("{ hello }", msg_id="mine")
    await client.start("{ hello }", msg_id=GraphqlWsClient.AUTO)
    assert_type(await client.wait_disconnect(), dict[str, Any])
    await client.finalize()


async def a_program_is_told_what_went_wrong(client: GraphqlWsClient) -> int | None:
    """Errors have attributes of known types."""
    try:
        await client.execute("{ hello }")
    except GraphqlWsResponseError as error:
        assert_type(error.response, Mapping[str, Any])
        assert_type(error.message, str | None)
    except ConnectionClosedError as error:
        assert_type(error.code, int | None)
        return error.code
    return None


async def a_test_asks(consumer: type[GraphqlWsConsumer]) -> None:
    """The client of the tests, without a network."""
    transport = testing.GraphqlWsTransport(
        consumer.as_asgi(),
        "graphql/",
        communicator_kwds={"headers": [(b"cookie", b"a=b")]},
        subprotocol="graphql-ws",
    )
    client = testing.GraphqlWsClient(transport, subprotocol="graphql-ws")
    await client.connect_and_init(connect_only=True)
    await client.send_raw_message({"type": "connection_init"})
    await client.send_raw_text("{")
    await client.send_raw_bytes(b"")
    await client.assert_no_messages("silence", attempts=1, interval=0.1)
    assert_type(await client.settle(), list[dict[str, Any]])
    errors, data = await client.receive_error("1")
    assert_type(errors, Any)
    assert_type(data, Any)
    assert_type(await client.wait_disconnect(assert_code=4400), dict[str, Any])


class OwnTransport(GraphqlWsTransport):
    """Users bring their own: no more than this is needed."""

    TIMEOUT = 5

    async def connect(self, timeout: float | None = None, subprotocol: str = "") -> None:
        del timeout, subprotocol

    async def send(self, message: dict[str, Any]) -> None:
        del message

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        del timeout
        return {}

    async def disconnect(self, timeout: float | None = None) -> None:
        del timeout

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        del timeout
        return {"code": 1000}


@dataclass
class User:
    """What a program makes of a result."""

    name: str


async def a_program_uses_the_new_calls(token: str) -> None:
    """Results are of the types that were asked for."""

    async def headers() -> Mapping[str, str]:
        return {"Authorization": token}

    def listen(event: ConnectionEvent) -> None:
        assert_type(event.delay, float | None)

    async with GraphqlWsClient(
        lambda: "ws://localhost/", headers=headers, on={"retrying": listen}
    ) as client:
        assert_type(client, GraphqlWsClient)
        assert_type(client.state, ConnectionState)
        assert_type(await client.query("{ hello }", {"n": 1}, timeout=1), Any)
        assert_type(await client.query("{ me { name } }", into=User), User)
        assert_type(await client.query("{ users { name } }", into=list[User]), list[User])
        assert_type(await client.result("{ hello }"), GraphqlResult)
        async for event in client.subscription("subscription { onTick }", queue_limit=1):
            assert_type(event, SubscriptionEvent[Any])
            assert_type(event["onTick"], Any)
            assert_type(event.gap, Gap | None)
        async with client.subscription("subscription { user { name } }", into=User) as users:
            assert_type(users, ClientSubscription[User])
            assert_type((await anext(users)).data, User)
    GraphqlWsClient("http://localhost/", retry=Retry(attempts=3), cookies={"sessionid": "x"})
    GraphqlWsClient(GraphqlHttpTransport("http://localhost/", batch_interval=0.1, proxy=None))


def a_program_without_an_event_loop() -> None:
    """The same without `await`."""
    with GraphqlWsClientSync("ws://localhost/", lazy=False, connection_params={"a": 1}) as client:
        assert_type(client.query("{ hello }"), Any)
        assert_type(client.query("{ me { name } }", into=User), User)
        assert_type(client.result("{ hello }"), GraphqlResult)
        for event in client.subscription("subscription { user { name } }", into=User):
            assert_type(event, SubscriptionEvent[User])
        assert_type(next(client.subscription("subscription { onTick }")).data, Any)
    GraphqlWsClientSync("ws://localhost/", typo=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
