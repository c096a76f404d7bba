"""What a session lends its operations, and gets back."""

from __future__ import annotations

import asyncio

import pytest

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.parser_queue import Sender
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.operations.session import EndpointSession
from channels_graphql_ws.pubsub.layers import channel_layer
from support import GUARD


class Consumer(GraphqlHttpConsumer):
    schema = http_schema.schema


def session(channel_name: str | None = None) -> EndpointSession:
    return EndpointSession(Consumer(), {"type": "http", "headers": []}, channel_name)


async def test_a_session_has_one_hub_until_it_is_closed() -> None:
    one = session()
    hub = one.hub()
    assert one.hub() is hub
    await one.close()
    other = session()
    # It was released as often as it was acquired.
    assert other.hub() is not hub
    await other.close()
    await other.close()


async def test_an_operation_may_listen_to_several_channels() -> None:
    layer = channel_layer()
    one = session(await layer.new_channel())
    context = one.operation_context(Subscribe(id=1, query="{ hello }"))
    async with (
        context.listen_to_channel("x", groups=["a"]) as of_group,
        context.listen_to_channel("x") as own,
    ):
        await layer.group_send("a", {"type": "x", "text": "1"})
        await layer.send(context.channel_name, {"type": "x", "text": "2"})
        async with asyncio.timeout(GUARD):
            assert (await anext(of_group))["text"] == "1"
            assert (await anext(own))["text"] == "2"
    await one.close()


async def test_a_session_without_a_channel_of_its_own_listens_to_groups_only() -> None:
    one = session()
    with pytest.raises(ChannelLayerError, match="name groups"):
        one.listen_to_channel("x")
    await one.close()


async def test_a_session_that_is_over_hears_nothing_more() -> None:
    one = session(await channel_layer().new_channel())
    await one.stop_listening()
    async with one.listen_to_channel("x") as messages:
        assert [message async for message in messages] == []
    await one.close()


async def test_a_session_without_a_connection_has_nobody_to_send_away() -> None:
    one = session()
    one.send_away()
    await one.close()


class User:
    is_authenticated = True

    def __init__(self, pk: int) -> None:
        self.pk = pk


def share(type: str, **scope: object) -> Sender:
    one = EndpointSession(Consumer(), {"type": type, "headers": [], **scope})
    return one.parsing_share()


async def test_a_connection_is_one_member_whichever_identity_it_takes() -> None:
    one = EndpointSession(Consumer(), {"type": "websocket", "headers": []})
    other = one.for_identity({"type": "websocket", "headers": [], "user": User(1)}, {})
    assert other.parsing_share().member == one.parsing_share().member
    assert other.parsing_share().owner == share("http", user=User(1)).owner
    assert one.parsing_share().most == Consumer.max_waiting_documents
    assert share("websocket", user=User(1)).member != share("websocket", user=User(1)).member


@pytest.mark.parametrize("type", ["http", "websocket"])
async def test_what_a_user_or_an_address_sends_is_parsed_in_turn(type: str) -> None:
    near, far = ("198.41.0.4", 1), ("199.9.14.201", 1)
    assert share(type, user=User(1)).owner == share(type, user=User(1), client=near).owner
    assert share(type, user=User(1)).owner != share(type, user=User(2)).owner
    assert share(type, client=near).owner == share(type, client=near).owner
    assert share(type, client=near).owner != share(type, client=far).owner
    # Behind a proxy nobody knows who belongs together.
    proxy = ("127.0.0.1", 1)
    assert share(type, client=proxy).owner != share(type, client=proxy).owner


async def test_requests_of_one_owner_are_not_told_apart() -> None:
    one = share("http", user=User(1))
    assert (one.member, one.most) == (None, None)
