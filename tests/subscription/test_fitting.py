"""What `publish` returns has the fields of the class, or the log says so."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import graphene
import pytest
from django.utils.functional import SimpleLazyObject

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.testing import GraphqlWebsocketCommunicator


class WithSlots:
    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text = "Milk?"


class Proxy:
    def __getattribute__(self, name):
        return "Milk?" if name == "text" else super().__getattribute__(name)


async def published(values, hook=None, *, is_async=False, **names) -> list[str]:
    """Publish some values; return what the clients read."""

    def publish(payload, info):
        return values[payload]

    async def apublish(payload, info):
        return values[payload]

    class OnMessage(Subscription, publish=apublish if is_async else publish):
        text = graphene.String(**names)

    if hook is not None:
        OnMessage.resolve_text = hook

    class Subscriptions(graphene.ObjectType):
        on_message = OnMessage.Field()

    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    class Consumer(GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, subscription=Subscriptions)

    read = []
    async with (
        GraphqlWebsocketCommunicator(Consumer.as_asgi(), "/") as client,
        client.subscribe("subscription { onMessage { text } }") as events,
    ):
        for number in range(len(values)):
            await OnMessage.broadcast(payload=number)
            read.append((await anext(events)).data["onMessage"]["text"])
    return read


class Constants:
    """A class whose attributes are values."""

    text = "Milk?"


class Message(graphene.ObjectType):
    """One whose attributes are fields."""

    text = graphene.String()


async def test_a_class_in_the_place_of_an_object_is_a_warning(caplog):
    assert await published([Constants]) == ["Milk?"]
    assert caplog.messages == []
    await published([Message])
    assert "has returned the class Message, which declares fields" in caplog.text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Milk?", "an object of the type 'str'"),
        (["Milk?"], "an object of the type 'list'"),
        (True, "an object of the type 'bool'"),
        (SimpleNamespace(txt="Milk?"), "an object of the type 'SimpleNamespace'"),
        ({"txt": "Milk?"}, "a dict with the keys 'txt'"),
        ({}, "an empty dict"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_object_without_the_fields_is_told_once(caplog, value, said, is_async):
    assert await published([value, value], is_async=is_async) == [None, None]
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert said in record.getMessage()
    assert "has none of the fields text: clients get null" in record.getMessage()
    assert "OnMessage(…), a dict, or an object with such attributes" in record.getMessage()


@pytest.mark.parametrize(
    "value",
    [
        {"text": "Milk?"},
        SimpleNamespace(text="Milk?"),
        WithSlots(),
        Proxy(),
        SimpleLazyObject(lambda: SimpleNamespace(text="Milk?")),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_object_with_the_fields_is_right(caplog, value):
    assert await published([value]) == ["Milk?"]
    assert caplog.records == []


async def test_fields_that_are_resolved_in_code_may_take_anything(caplog):
    assert await published(["Milk?"], lambda root, info: root) == ["Milk?"]
    assert await published(["Milk?"], resolver=lambda root, info: root) == ["Milk?"]
    assert await published([7], default_value="Milk?") == ["Milk?"]
    assert caplog.records == []
