"""URLs begin with the path that the application is mounted at, as in Django's own views."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from django.urls import get_script_prefix, path, reverse

from channels_graphql_ws import GraphqlProtocolTypeRouter, Subscription
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator

QUERY = "{ url awaited }"


class OnUrl(Subscription):
    """Executed for each client, wherever that is."""

    url = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"url": reverse("page")}


class OnUrlInThread(OnUrl):
    """The same, in a thread."""

    url = graphene.String()
    resolve_sync_in_threads = True


class OnSharedUrl(OnUrl):
    """Executed once for all whom nothing else tells apart."""

    url = graphene.String()
    executed = 0

    @staticmethod
    def context_id(root: Any, info: Any) -> str:
        return "all"

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        OnSharedUrl.executed += 1
        return {"url": reverse("page")}


class Query(graphene.ObjectType):
    """Tells the URL of a page."""

    url = graphene.String()
    awaited = graphene.String()

    @staticmethod
    def resolve_url(root: Any, info: Any) -> str:
        return reverse("page")

    @staticmethod
    async def resolve_awaited(root: Any, info: Any) -> str:
        return reverse("page")


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_url = OnUrl.Field()
    on_url_in_thread = OnUrlInThread.Field()
    on_shared_url = OnSharedUrl.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [path("page/", print, name="page")]})


def mounted(root: str) -> Any:
    """Return an application below a path, as servers tell it."""
    router = GraphqlProtocolTypeRouter(SCHEMA, middleware_stack=None, shutdown_timeout=None)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        below = {**scope, "root_path": root, "path": f"{root}{scope['path']}"}
        await router(below, receive, send)

    return application


@pytest.mark.parametrize(
    ("root", "forced", "url"),
    [
        ("", None, "/page/"),
        ("/shop", None, "/shop/page/"),
        ("", "/forced", "/forced/page/"),
        ("/shop", "/forced/", "/forced/page/"),
    ],
)
async def test_queries_know_where_the_application_is(
    root: str, forced: str | None, url: str, settings: Any
) -> None:
    settings.FORCE_SCRIPT_NAME = forced
    expected = {"url": url, "awaited": url}
    assert (await GraphqlHttpClient(mounted(root)).execute(QUERY)).data == expected
    async with GraphqlWebsocketCommunicator(mounted(root), "/graphql/") as client:
        assert (await client.execute(QUERY)).data == expected
    assert get_script_prefix() == "/"


@pytest.mark.parametrize("cls", [OnUrl, OnUrlInThread, OnSharedUrl])
async def test_events_know_where_each_client_has_it(cls: type[Subscription]) -> None:
    OnSharedUrl.executed = 0
    name = cls.__name__[0].lower() + cls.__name__[1:]
    document = f"subscription {{ {name} {{ url }} }}"
    async with (
        GraphqlWebsocketCommunicator(mounted("/shop"), "/graphql/") as one,
        GraphqlWebsocketCommunicator(mounted(""), "/graphql/") as other,
        one.subscribe(document) as below,
        one.subscribe(document) as again,
        other.subscribe(document) as above,
    ):
        for _ in range(5):
            cls.broadcast(payload=None)
            for events in (below, again):
                assert (await anext(events)).data == {name: {"url": "/shop/page/"}}
            assert (await anext(above)).data == {name: {"url": "/page/"}}
    # Once for each path, and not for each client.
    assert OnSharedUrl.executed == (5 * 2 if cls is OnSharedUrl else 0)
