"""Language and time zone of a connection: active in what belongs to it, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import graphene
import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import timezone, translation
from django.utils.translation import gettext

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlView,
    GraphqlWsConsumer,
    Subscription,
    SyncGraphqlView,
)
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from http_client import post

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GERMAN = "Montag 13"
ENGLISH = "Monday 6"


def told() -> str:
    """Return a word and an hour, as language and time zone have them."""
    return f"{gettext('Monday')} {timezone.localtime(NOON).hour}"


class Told(Subscription):
    """Tells what is active where events are executed."""

    text = graphene.String()
    deep = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"text": told()}

    @staticmethod
    def resolve_deep(root: Any, info: Any) -> str:
        return told()


class OnTold(Told):
    """Executed for each client."""

    text = graphene.String()


class OnAwaited(Told):
    """The same, with a coroutine."""

    text = graphene.String()

    @staticmethod
    async def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"text": told()}


class OnInThread(Told):
    """The same, in a thread."""

    text = graphene.String()
    resolve_sync_in_threads = True


class OnShared(Told):
    """Executed once for all whom nothing else tells apart."""

    text = graphene.String()
    executed = 0

    @staticmethod
    def context_id(root: Any, info: Any) -> str:
        return "all"

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        OnShared.executed += 1
        return {"text": told()}


class Query(graphene.ObjectType):
    """Tells what is active where queries are executed."""

    text = graphene.String()
    awaited = graphene.String()

    @staticmethod
    def resolve_text(root: Any, info: Any) -> str:
        return told()

    later = graphene.List(graphene.String)

    @staticmethod
    def resolve_later(root: Any, info: Any) -> Any:
        """Do in a thread what a data loader does."""

        async def waited() -> str:
            return told()

        loop = asyncio.get_event_loop()
        soon, late = loop.create_future(), loop.create_future()
        loop.call_soon(lambda: soon.set_result(told()))
        loop.call_later(0, lambda: late.set_result(told()))
        return [loop.run_until_complete(waited()), soon, late]

    @staticmethod
    async def resolve_awaited(root: Any, info: Any) -> str:
        return told()


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_told = OnTold.Field()
    on_awaited = OnAwaited.Field()
    on_in_thread = OnInThread.Field()
    on_shared = OnShared.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


class Consumer(GraphqlWsConsumer):
    """Lets the client choose."""

    schema = SCHEMA

    async def on_connect(self, payload: Any) -> None:
        chosen(payload)


class SyncConsumer(GraphqlWsConsumer):
    """The same, with a plain function."""

    schema = SCHEMA

    def on_connect(self, payload: Any) -> None:
        chosen(payload)


def chosen(payload: Any) -> None:
    if "language" in payload:
        translation.activate(payload["language"])
    if "zone" in payload:
        timezone.activate(ZoneInfo(payload["zone"]))
    if payload.get("off"):
        translation.deactivate_all()


class Stage:
    """Clients with languages."""

    def __init__(self) -> None:
        self.clients: list[GraphqlWsClient] = []

    async def client(self, application: Any, **payload: Any) -> GraphqlWsClient:
        client = GraphqlWsClient(GraphqlWsTransport(application, "/"))
        self.clients.append(client)
        await client.connect_and_init(payload=payload)
        return client


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    for client in stage.clients:
        await client.finalize()


BERLIN = {"language": "de", "zone": "Europe/Berlin"}


@pytest.mark.parametrize("threads", [True, False, None])
@pytest.mark.parametrize("consumer", [Consumer, SyncConsumer])
async def test_what_on_connect_has_activated_holds_for_the_operations_of_the_connection(
    stage: Stage, consumer: Any, *, threads: bool | None
) -> None:
    application = consumer.as_asgi(resolve_sync_in_threads=threads)
    german = await stage.client(application, **BERLIN)
    english = await stage.client(application)
    for client, expected in ((german, GERMAN), (english, ENGLISH), (german, GERMAN)):
        result = await client.execute("{ text awaited }")
        assert result["data"] == {"text": expected, "awaited": expected}
        if threads:
            result = await client.execute("{ awaited later }")
            assert result["data"]["later"] == [expected] * 3
    assert told() == ENGLISH


@pytest.mark.parametrize("cls", [OnTold, OnAwaited, OnInThread, OnShared])
@pytest.mark.parametrize("consumer", [Consumer, SyncConsumer])
async def test_it_holds_for_the_events_of_the_connection(
    stage: Stage, consumer: Any, cls: type[Told]
) -> None:
    application = consumer.as_asgi(resolve_sync_in_threads=None)
    field = f"o{cls.__name__[1:]}"
    query = f"subscription {{ {field} {{ text deep }} }}"
    german = await stage.client(application, **BERLIN)
    english = await stage.client(application)
    for client in (german, english):
        await client.subscribe(query, wait_confirmation=False)
    with translation.override("fr"):
        # The language of whoever broadcasts is of no concern.
        await cls.broadcast(payload=None)
        await cls.broadcast(payload=None)
    for client, expected in ((german, GERMAN), (english, ENGLISH)):
        for _ in range(2):
            data = (await client.receive())["data"]
            assert data == {field: {"text": expected, "deep": expected}}


async def test_clients_share_events_with_those_of_their_language_and_time_zone(
    stage: Stage,
) -> None:
    application = Consumer.as_asgi()
    choices = [
        BERLIN,
        BERLIN,
        {"language": "de"},
        {"zone": "Europe/Berlin"},
        {"off": True},
        {},
        {"language": "en-us", "zone": "America/Chicago"},
    ]
    clients = [await stage.client(application, **each) for each in choices]
    for client in clients:
        await client.subscribe("subscription { onShared { text } }", wait_confirmation=False)
    OnShared.executed = 0
    await OnShared.broadcast(payload=None)
    texts = [(await each.receive())["data"]["onShared"]["text"] for each in clients]
    expected = [GERMAN, GERMAN, "Montag 6", "Monday 13", ENGLISH, ENGLISH, ENGLISH]
    assert texts == expected
    # Who has chosen the default has chosen nothing else than those without a choice.
    assert OnShared.executed == 5


LOCALE = ["django.middleware.locale.LocaleMiddleware"]
EVENTS = {"accept": "text/event-stream"}

urlpatterns = [
    path("graphql/", GraphqlView.as_view(schema=SCHEMA)),
    path("sync/", SyncGraphqlView.as_view(schema=SCHEMA)),
]


@pytest.mark.parametrize("language", ["de", "en"])
async def test_a_view_speaks_the_language_that_django_has_chosen(
    settings: Any, language: str
) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = LOCALE
    headers = {"accept-language": language}
    word = {"de": "Montag", "en": "Monday"}[language]
    body = {"query": "{ text awaited }"}
    for url in ("/graphql/", "/sync/"):
        answer = await AsyncClient().post(url, body, "application/json", headers=headers)
        assert answer.json()["data"] == {"text": f"{word} 6", "awaited": f"{word} 6"}
    answer = await sync_to_async(Client().post)(
        "/sync/", body, "application/json", headers=headers
    )
    assert answer.json()["data"]["text"] == f"{word} 6"


async def test_a_stream_of_a_view_does_so_too(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = LOCALE
    headers = {"accept-language": "de", **EVENTS}
    body = {"query": "subscription { onTold { text } }"}
    answer = await AsyncClient().post("/graphql/", body, "application/json", headers=headers)
    parts = aiter(answer.streaming_content)
    found = await anext(parts)
    await OnTold.broadcast(payload=None)
    while b"event: next" not in found:
        found += await anext(parts)
    assert b"Montag 6" in found
    await parts.aclose()


@pytest.mark.parametrize("threads", [True, False])
async def test_a_consumer_over_http_chooses_it_in_a_hook(*, threads: bool) -> None:
    class Own(GraphqlHttpConsumer):
        """Chooses without a middleware."""

        schema = SCHEMA

        def on_operation(self, op_id: Any, payload: Any) -> None:
            chosen(BERLIN)

    application = Own.as_asgi(resolve_sync_in_threads=threads)
    answer = await post(application, {"query": "{ text awaited }"})
    assert answer.json["data"] == {"text": GERMAN, "awaited": GERMAN}
    assert told() == ENGLISH
