"""`listen_to_channel`: who hears what, for how long, and what is left afterwards."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import graphene
import pytest
from channels.exceptions import ChannelFull, StopConsumer
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.pubsub import channel_reader, layer_watch
from channels_graphql_ws.pubsub import listen_to_channel as listening
from channels_graphql_ws.pubsub.layer_slots import AT_ONCE
from channels_graphql_ws.pubsub.layer_traits import unheld_channel
from channels_graphql_ws.pubsub.listen_to_channel import Messages, OwnChannel, listen
from support import FakeLayer, leftover_tasks, tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


@pytest.fixture(autouse=True)
def nothing_stays_behind(caplog):
    caplog.set_level(logging.WARNING)
    yield
    assert listening._channels == {}
    assert listening._closing == set()


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


@pytest.fixture
async def own(layer) -> AsyncIterator[OwnChannel]:
    own = OwnChannel(layer, "specific.mine!1")
    yield own
    await own.close()


def hearing(own: OwnChannel, *groups: str, type: str = "chat", **options: Any) -> Any:
    wanted = {"timeout": None, "queue_limit": 10, **options}
    return listen(own, type, groups=groups, **wanted)


async def texts(messages: Any, number: int) -> list[str]:
    return [(await anext(messages))["text"] for _ in range(number)]


def chat(text: str) -> dict[str, str]:
    return {"type": "chat", "text": text}


async def test_what_is_sent_to_a_group_is_heard_in_order(own, layer):
    async with hearing(own, "tea") as messages:
        for text in "abc":
            await layer.group_send("tea", chat(text))
        assert await texts(messages, 3) == ["a", "b", "c"]
        await layer.group_send("tea", {**chat("d"), "more": [1]})
        assert await anext(messages) == {"type": "chat", "text": "d", "more": [1]}
    assert layer.groups == {}


async def test_a_layer_that_takes_no_message_is_not_waited_for(monkeypatch):
    class Silent(InMemoryChannelLayer):
        async def send(self, channel: str, message: Any) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(listening, "CALL_TIMEOUT", 0)
    own = OwnChannel(Silent(), "specific.mine!1")
    with pytest.raises(ChannelLayerUnavailableError, match="did not take a message"):
        await hearing(own).__aenter__()
    await own.close()


async def test_a_prefix_keeps_guessed_names_away_from_groups_of_other_code(own, layer):
    async with hearing(own, "tea", prefix="chat.") as messages:
        await layer.group_send("tea", chat("made for something else"))
        await layer.group_send("chat.tea", chat("a"))
        assert await texts(messages, 1) == ["a"]


async def test_each_hears_its_own_groups_only_and_its_own_type_only(own, layer):
    async with hearing(own, "tea") as tea, hearing(own, "milk", "tea") as both:
        await layer.group_send("milk", chat("milk"))
        await layer.group_send("tea", {"type": "other", "text": "other"})
        await layer.send("specific.mine!1", chat("mine"))
        await layer.group_send("tea", chat("tea"))
        assert await texts(tea, 1) == ["tea"]
        assert sorted(await texts(both, 2)) == ["milk", "tea"]
        await layer.group_send("tea", chat("end"))
        assert await texts(tea, 1) == await texts(both, 1) == ["end"]


async def test_nobody_can_change_a_message_for_the_others(own, layer):
    async with hearing(own, "tea") as one, hearing(own, "tea") as two:
        await layer.group_send("tea", {"type": "chat", "list": [1]})
        (await anext(one))["list"].append(2)
        assert (await anext(two))["list"] == [1]


async def test_a_process_joins_a_group_once_and_leaves_it_with_the_last(own):
    fake = FakeLayer()
    own = OwnChannel(fake, "mine")
    async with hearing(own, "tea", "tea") as one:
        async with hearing(own, "tea"):
            assert len(fake.groups["tea"]) == 1
        await fake.group_send("tea", chat("a"))
        assert await texts(one, 1) == ["a"]
    assert fake.groups == {}


async def test_who_comes_while_the_last_one_leaves_is_heard(own):
    fake = FakeLayer()
    own = OwnChannel(fake, "mine")
    fake.hold("group_discard")
    first = hearing(own, "tea")
    await first.__aenter__()
    leaving = asyncio.ensure_future(first.__aexit__(None, None, None))
    await wait_until(lambda: fake.calls["group_discard"])
    async with hearing(own, "tea") as messages:
        fake.release("group_discard")
        await leaving
        await fake.group_send("tea", chat("a"))
        assert await texts(messages, 1) == ["a"]


async def test_a_group_that_can_not_be_joined_is_an_error_and_the_others_are_left():
    fake = FakeLayer()
    fake.errors["group_add"] = OSError("down")
    with pytest.raises(ChannelLayerError, match="down"):
        async with hearing(OwnChannel(fake, "mine"), "tea", "milk"):
            raise AssertionError
    assert fake.groups == {}


async def test_a_listener_that_is_cancelled_while_it_joins_leaves_nothing():
    fake = FakeLayer()
    fake.hold("group_add")
    joining = asyncio.ensure_future(hearing(OwnChannel(fake, "mine"), "tea").__aenter__())
    await wait_until(lambda: fake.calls["group_add"])
    joining.cancel()
    fake.release("group_add")
    await asyncio.wait([joining])
    assert joining.cancelled()
    assert fake.groups == {}


async def test_a_listener_that_is_cancelled_while_it_leaves_is_left_all_the_same():
    fake = FakeLayer()
    fake.hold("group_discard")
    context = hearing(OwnChannel(fake, "mine"), "tea")
    await context.__aenter__()
    leaving = asyncio.ensure_future(context.__aexit__(None, None, None))
    await wait_until(lambda: fake.calls["group_discard"])
    leaving.cancel()
    await asyncio.wait([leaving])
    fake.release("group_discard")
    await wait_until(lambda: not listening._closing)
    assert fake.groups == {}


async def test_many_groups_share_what_watches_over_their_layer(monkeypatch):
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.005)
    fake = FakeLayer()
    groups = [f"group{number}" for number in range(50)]
    async with hearing(OwnChannel(fake, "mine"), *groups):
        await wait_until(lambda: fake.calls["group_send"] >= 20)
        # One more, for all of them.
        await wait_until(lambda: len(fake.groups) == len(groups) + 1)


async def test_an_error_inside_comes_out_and_the_group_is_left(own, layer):
    with pytest.raises(ValueError, match="mine"):
        async with hearing(own, "tea"):
            raise ValueError("mine")
    assert layer.groups == {}


async def test_one_string_is_no_list_of_groups(own):
    with pytest.raises(TypeError, match="'tea'"):
        async with listen(own, "chat", timeout=None, groups="tea", queue_limit=1):
            raise AssertionError


def test_channels_of_an_event_loop_that_was_lost_are_forgotten(layer):
    lost: list[Any] = []

    async def leaves_without_a_word() -> None:
        lost.append(hearing(OwnChannel(layer, "mine"), "tea"))
        await lost[0].__aenter__()

    async def comes_later() -> None:
        async with hearing(OwnChannel(layer, "mine"), "tea"):
            assert len(listening._channels) == 1

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leaves_without_a_word())
    assert len(listening._channels) == 1
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(tick(3))
    loop.close()
    asyncio.run(comes_later())


@pytest.mark.redis
@pytest.mark.parametrize("layer_class", [RedisChannelLayer, RedisPubSubChannelLayer])
@pytest.mark.parametrize("is_made_up", [True, False])
async def test_it_works_over_redis(redis_url, layer_class, is_made_up):
    layer = layer_class(hosts=[redis_url], prefix=uuid.uuid4().hex)
    name = f"specific.{uuid.uuid4().hex}" if is_made_up else await layer.new_channel()
    own = OwnChannel(layer, name)
    async with hearing(own, "tea") as tea, hearing(own, "milk") as milk, hearing(own) as mine:
        await layer.group_send("tea", chat("tea"))
        await layer.group_send("milk", chat("milk"))
        await layer.send(own._name, chat("mine"))
        assert await texts(tea, 1) == ["tea"]
        assert await texts(milk, 1) == ["milk"]
        assert await texts(mine, 1) == ["mine"]
    await own.close()
    await (layer.flush() if layer_class is RedisPubSubChannelLayer else layer.close_pools())


async def test_silence_for_a_while_ends_the_iteration_and_not_the_listening(own, layer):
    async with hearing(own, "tea", timeout=0.001) as messages:
        assert [message async for message in messages] == []
        await layer.group_send("tea", chat("a"))
        await wait_until(lambda: messages._waiting)
        assert [message["text"] async for message in messages] == ["a"]


async def test_after_the_context_is_left_there_is_nothing_more_to_hear(own, layer):
    async with hearing(own, "tea") as messages:
        waiting = asyncio.ensure_future(anext(messages, "over"))
        await layer.group_send("tea", chat("a"))
        assert (await waiting)["text"] == "a"
        waiting = asyncio.ensure_future(anext(messages, "over"))
        await layer.group_send("tea", chat("b"))
        await tick()
    assert await waiting in ("over", chat("b"))
    assert [message async for message in messages] == []


async def test_two_may_share_what_comes():
    messages = Messages("chat", None, 10)
    both = [asyncio.ensure_future(anext(messages, "over")) for _ in range(2)]
    await tick()
    messages.put(chat("a"))
    await tick(3)
    messages.put(chat("b"))
    assert [(await one)["text"] for one in both] == ["a", "b"]


async def test_who_does_not_listen_loses_the_oldest_and_the_log_is_told_once(caplog, monkeypatch):
    messages = Messages("chat", None, 2)
    for text in "abcd":
        messages.put(chat(text))
    assert messages.dropped == 2
    assert await texts(messages, 2) == ["c", "d"]
    [warning] = caplog.messages
    assert "listener to 'chat' cannot keep up" in warning
    monkeypatch.setattr(listening, "WARN_EVERY", 0)
    for text in "abc":
        messages.put(chat(text))
    assert len(caplog.messages) == 2


async def test_a_limit_below_one_is_one():
    messages = Messages("chat", None, 0)
    messages.put(chat("a"))
    messages.put(chat("b"))
    assert await texts(messages, 1) == ["b"]


async def test_without_groups_the_own_channel_is_heard(own, layer):
    known = asyncio.all_tasks()
    async with hearing(own) as messages, hearing(own) as others:
        await layer.send("specific.mine!1", {"type": "other"})
        await layer.send("specific.mine!1", chat("a"))
        assert await texts(messages, 1) == await texts(others, 1) == ["a"]
    assert len(await leftover_tasks(known)) == 1
    await own.close()
    assert await leftover_tasks(known) == set()


async def test_what_nobody_listened_to_is_not_kept_for_who_comes_later(own, layer):
    async with hearing(own):
        pass
    await layer.send("specific.mine!1", chat("a"))
    await tick(3)
    async with hearing(own) as messages:
        await layer.send("specific.mine!1", chat("b"))
        assert await texts(messages, 1) == ["b"]


async def test_closing_the_channel_ends_its_listeners_and_those_who_come_later(own):
    async with hearing(own) as messages:
        await own.close()
        assert [message async for message in messages] == []
    async with hearing(own) as messages:
        assert [message async for message in messages] == []


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    """Subscriptions that other Channels code feeds."""

    chat = graphene.String(groups=graphene.List(graphene.String), timeout=graphene.Float())
    mine = graphene.String()

    async def subscribe_chat(root, info, groups, timeout=None):  # noqa: N805
        listener = info.context.listen_to_channel("chat", timeout=timeout, groups=groups)
        async with listener as messages:
            yield None
            async for message in messages:
                yield message["text"]

    async def subscribe_mine(root, info):  # noqa: N805
        async with info.context.listen_to_channel("chat.mine") as messages:
            yield info.context.channel_name
            async for message in messages:
                yield message["text"]


schema = graphene.Schema(query=Query, subscription=Root)


async def live(*subprotocols: str, **attributes: Any) -> AsgiSocket:
    consumer = type("Listening", (GraphqlWsConsumer,), {"schema": schema, **attributes})
    socket = AsgiSocket(consumer.as_asgi(), *subprotocols)
    await socket.acknowledged()
    return socket


def heard(socket: AsgiSocket, id: str) -> list[Any]:
    """What one field of each event of an operation was."""
    return [next(iter(payload["data"].values())) for payload in socket.results(id) if payload]


@BOTH
async def test_a_generator_listens_and_none_says_that_it_does(subprotocol):
    layer = get_channel_layer()
    socket = await live(subprotocol)
    for name in ("tea", "milk"):
        socket.start(name, f'subscription {{ chat(groups: ["{name}"]) }}')
        await wait_until(lambda name=name: heard(socket, name) == [None])
    for name in ("tea", "milk"):
        await layer.group_send(name, chat(name))
    for name in ("tea", "milk"):
        await wait_until(lambda name=name: heard(socket, name) == [None, name])
    socket.stop("tea")
    await socket.heard("complete:tea")
    assert list(layer.groups) != []
    await socket.drop()
    assert [name for name in layer.groups if name in {"tea", "milk"}] == []


@BOTH
async def test_silence_completes_the_subscription(subprotocol):
    socket = await live(subprotocol)
    socket.start("s", 'subscription { chat(groups: ["tea"], timeout: 0.001) }')
    word = "data" if subprotocol == LEGACY else "next"
    await socket.heard(f"{word}:s", "complete:s")
    await socket.drop()


async def test_a_connection_hears_its_own_channel():
    socket = await live()
    socket.start("s", "subscription { mine }")
    await wait_until(lambda: heard(socket, "s"))
    [name] = heard(socket, "s")
    await get_channel_layer().send(name, {"type": "chat.mine", "text": "a"})
    await wait_until(lambda: heard(socket, "s") == [name, "a"])
    await socket.drop()


async def test_a_missing_layer_is_named_with_its_setting():
    socket = await live(channel_layer_alias="missing")
    socket.start("s", 'subscription { chat(groups: ["tea"]) }')
    await socket.heard("error:s")
    [[error]] = socket.results("s")
    assert "Add 'missing' to CHANNEL_LAYERS" in error["message"]
    await socket.drop()


async def test_own_handlers_hear_what_listeners_hear_and_the_rest_is_not_lost(caplog):
    handled: list[str] = []

    async def chat_mine(_self: Any, message: Any) -> None:
        handled.append(message["text"])

    async def chat_stop(_self: Any, message: Any) -> None:
        raise StopConsumer

    socket = await live(chat_mine=chat_mine, chat_stop=chat_stop)
    socket.start("s", "subscription { mine }")
    await wait_until(lambda: heard(socket, "s"))
    [name] = heard(socket, "s")
    layer = get_channel_layer()
    await layer.send(name, {"type": "nobody.knows"})
    await layer.send(name, {"type": "chat.mine", "text": "a"})
    await wait_until(lambda: heard(socket, "s") == [name, "a"] and handled == ["a"])
    assert caplog.messages == ["A channel-layer message to a consumer was lost"]
    await layer.send(name, {"type": "chat.stop"})
    await layer.send(name, {"type": "chat.mine", "text": "b"})
    await wait_until(lambda: heard(socket, "s") == [name, "a", "b"])
    assert handled == ["a"]
    await socket.drop()


async def test_a_message_without_a_handler_that_somebody_hears_is_no_matter_for_the_log(caplog):
    socket = await live(listen_to_channel_layer=True)
    socket.start("s", "subscription { mine }")
    await wait_until(lambda: heard(socket, "s"))
    [name] = heard(socket, "s")
    await get_channel_layer().send(name, {"type": "chat.mine", "text": "a"})
    await wait_until(lambda: len(heard(socket, "s")) == 2)
    socket.stop("s")
    await socket.heard("complete:s")
    assert caplog.messages == []
    await socket.drop()


async def test_a_channel_that_is_not_heard_at_once_is_tried_until_it_is(own, layer, monkeypatch):
    monkeypatch.setattr(listening, "FIRST_PROBE_AFTER", 0.001)
    sent: list[str] = []
    send = layer.send

    async def loses_the_first(channel: str, message: Any) -> None:
        sent.append(message["type"])
        if len(sent) > 1:
            await send(channel, message)

    monkeypatch.setattr(layer, "send", loses_the_first)
    async with hearing(own) as messages:
        await layer.send("specific.mine!1", chat("a"))
        assert await texts(messages, 1) == ["a"]
        asked = sent.count(listening.PROBE)
        async with hearing(own):
            assert sent.count(listening.PROBE) == asked > 1


async def test_a_channel_that_is_heard_by_the_last_try_is_heard(own, layer, monkeypatch):
    monkeypatch.setattr(listening, "FIRST_PROBE_AFTER", 5)
    monkeypatch.setattr(listening, "PROBES", 1)
    async with hearing(own) as messages:
        await layer.send("specific.mine!1", chat("a"))
        assert await texts(messages, 1) == ["a"]


async def test_a_full_channel_is_tried_again(own, layer, monkeypatch):
    monkeypatch.setattr(listening, "FIRST_PROBE_AFTER", 0.001)
    full = iter([ChannelFull(), ChannelFull()])
    send = layer.send

    async def full_at_first(channel: str, message: Any) -> None:
        for error in full:
            raise error
        await send(channel, message)

    monkeypatch.setattr(layer, "send", full_at_first)
    async with hearing(own) as messages:
        await layer.send("specific.mine!1", chat("a"))
        assert await texts(messages, 1) == ["a"]


async def test_many_groups_and_channels_call_the_layer_a_few_at_a_time():
    layer = FakeLayer()
    channels = [OwnChannel(layer, f"specific.mine!{number}") for number in range(AT_ONCE + 9)]

    async def one(own: OwnChannel, *groups: str) -> None:
        async with hearing(own, *groups):
            pass

    layer.hold("group_add")
    tasks = [asyncio.create_task(one(own, f"{own}")) for own in channels]
    await wait_until(lambda: layer.calls["group_add"] == AT_ONCE)
    await tick(AT_ONCE)
    assert layer.calls["group_add"] == AT_ONCE
    layer.release("group_add")
    await asyncio.gather(*tasks)
    assert layer.calls["group_add"] == len(channels)

    layer.hold("send")
    tasks = [asyncio.create_task(one(own)) for own in channels]
    await wait_until(lambda: layer.calls["send"] == AT_ONCE)
    await tick(AT_ONCE)
    assert layer.calls["send"] == AT_ONCE
    layer.release("send")
    await asyncio.gather(*tasks)
    await asyncio.gather(*(own.close() for own in channels))


@pytest.mark.redis
@pytest.mark.parametrize("hosts", [1, 2])
async def test_more_channels_than_redis_has_connections_are_heard(redis_url, hosts):
    # The core layer keeps a connection for each channel that is not one of its process.
    host = {"address": redis_url, "max_connections": 12}
    prefix = uuid.uuid4().hex
    layer = RedisChannelLayer(hosts=[host] * hosts, prefix=prefix, capacity=1000)
    channels = {
        name: OwnChannel(layer, name) for name in [unheld_channel(layer) for _ in "x" * 40]
    }
    async with AsyncExitStack() as stack:
        for own in channels.values():
            stack.push_async_callback(own.close)
        opening = (stack.enter_async_context(hearing(own)) for own in channels.values())
        mine = dict(zip(channels, await asyncio.gather(*opening), strict=True))
        opening = (
            stack.enter_async_context(hearing(own, name.replace("!", ".")))
            for name, own in channels.items()
        )
        groups = dict(zip(channels, await asyncio.gather(*opening), strict=True))
        for name in channels:
            await layer.send(name, chat(f"to {name}"))
            await layer.group_send(name.replace("!", "."), chat(f"to all of {name}"))
        for name in channels:
            assert await texts(mine[name], 1) == [f"to {name}"]
            assert await texts(groups[name], 1) == [f"to all of {name}"]
    await layer.close_pools()


async def test_a_channel_that_is_never_heard_is_an_error(own, layer, monkeypatch):
    monkeypatch.setattr(listening, "FIRST_PROBE_AFTER", 0.001)

    async def loses_all(channel: str, message: Any) -> None:
        pass

    monkeypatch.setattr(layer, "send", loses_all)
    with pytest.raises(ChannelLayerError, match=r"Cannot read from the channel specific\.mine!1"):
        async with hearing(own):
            raise AssertionError


async def test_a_layer_that_can_not_be_read_for_a_moment_is_read_again(
    own, layer, monkeypatch, caplog
):
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0)
    failures = iter([OSError("down")])
    receive = layer.receive

    async def receive_or_fail(channel: str) -> Any:
        for failure in failures:
            raise failure
        return await receive(channel)

    monkeypatch.setattr(layer, "receive", receive_or_fail)
    async with hearing(own) as messages:
        await layer.send("specific.mine!1", chat("a"))
        assert await texts(messages, 1) == ["a"]
    assert caplog.messages == [
        "Cannot read from the channel layer, events may be lost: OSError('down')"
    ]


def test_a_context_of_no_connection_says_that_it_can_not_listen():
    with pytest.raises(ChannelLayerError, match="no connection"):
        OperationContext({}).listen_to_channel("chat")
