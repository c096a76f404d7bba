"""A small Django site with GraphQL over WebSocket and HTTP, for real servers to serve."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import WeakSet

import django
import graphene
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",  # noqa: S106 (no secret: only tests are served)
)
django.setup()

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription, Upload  # noqa: E402
from channels_graphql_ws.pubsub import hub  # noqa: E402
from channels_graphql_ws.subscription.queue import drops  # noqa: E402

consumers: WeakSet[Any] = WeakSet()
unsubscribed: list[str] = []
waiting: list[asyncio.Event] = []
pages: list[str] = []


class News(Subscription):
    """Whatever somebody tells."""

    notification_queue_limit = 20

    text = graphene.String()

    class Arguments:
        reader = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any, reader: str) -> dict[str, Any]:
        return {"text": payload}

    @staticmethod
    def unsubscribed(root: Any, info: Any, reader: str) -> None:
        unsubscribed.append(reader)


class Numbers(Subscription):
    """Numbers, all of them."""

    notification_queue_limit = 1_000_000

    number = graphene.Int()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"number": payload}


class Query(graphene.ObjectType):
    """Something to ask."""

    hello = graphene.String(name=graphene.String(default_value="world"))

    page = graphene.String(name=graphene.String())

    @staticmethod
    def resolve_hello(root: Any, info: Any, name: str) -> str:
        return f"Hello {name}"

    @staticmethod
    def resolve_page(root: Any, info: Any, name: str) -> str:
        pages.append(name)
        return "x" * 16_000_000


class Mutation(graphene.ObjectType):
    """Something to do."""

    tell = graphene.Boolean(text=graphene.String(), size=graphene.Int(default_value=1))
    wait = graphene.Boolean()
    count = graphene.Boolean(to=graphene.Int())
    length = graphene.Int(file=Upload(required=True))

    @staticmethod
    async def resolve_tell(root: Any, info: Any, text: str, size: int) -> bool:
        await News.broadcast_async(payload=text * size)
        return True

    @staticmethod
    async def resolve_wait(root: Any, info: Any) -> bool:
        waiting.append(asyncio.Event())
        return await waiting[-1].wait()

    @staticmethod
    async def resolve_count(root: Any, info: Any, to: int) -> bool:
        for number in range(to):
            await Numbers.broadcast_async(payload=number)
        return True

    @staticmethod
    def resolve_length(root: Any, info: Any, file: Any) -> int:
        return len(file.read())


class Subscriptions(graphene.ObjectType):
    """Something to wait for."""

    news = News.Field()
    numbers = Numbers.Field()


the_schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)


class Consumer(GraphqlWsConsumer):
    """Serves everybody but those whose token is bad."""

    schema = the_schema
    # Less than Daphne takes, whatever we would take.
    max_message_size = 1_000_000
    # A busy machine takes longer than that for some tests, which expect results.
    send_ping_every = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        consumers.add(self)

    async def on_connect(self, payload: Any) -> dict[str, Any]:
        """Let everybody in but one."""
        if (payload or {}).get("token") == "bad":
            raise PermissionDenied("bad token")
        return {"welcome": True}


class ImpatientConsumer(Consumer):
    """Does not wait long for a client to introduce itself."""

    connection_init_wait_timeout = 0.1


class PingingConsumer(Consumer):
    """Does not wait long for a sign of life."""

    send_ping_every = 0.05
    pong_timeout = 0.1


class LargeConsumer(Consumer):
    """Takes what the server takes."""

    max_message_size = None


class BoundedConsumer(Consumer):
    """Makes three pages for clients of one address that read nothing."""

    trusted_proxies = ("127.0.0.1",)
    max_unsent_bytes_per_address = 32 * 2**20


class FailingConsumer(Consumer):
    """Fails at each message."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Fail."""
        raise LookupError("mistake of a user")


async def counts(request: HttpRequest) -> JsonResponse:
    """Tell what this process holds."""
    # What refers to itself is not held, but nobody knows when Python sees that.
    gc.collect()
    hubs = [one.counts() for one in hub._hubs.values()]
    return JsonResponse(
        {
            "consumers": len(consumers),
            "listeners": sum(one["listeners"] for one in hubs),
            "groups": sum(one["groups"] for one in hubs),
            "unsubscribed": unsubscribed,
            "waiting": len(waiting),
            "pages": pages,
            "dropped": drops.count,
        }
    )


async def let_go(request: HttpRequest) -> JsonResponse:
    """Let the mutations go on that wait."""
    while waiting:
        waiting.pop().set()
    return JsonResponse({})


urlpatterns = [path("counts/", counts), path("let-go/", let_go)]

http_consumer = GraphqlHttpConsumer.as_asgi(
    schema=the_schema,
    multipart_uploads_enabled=True,
    max_body_size=1_000_000,
    send_heartbeat_every=0.1,
)

application = ProtocolTypeRouter(
    {
        "http": URLRouter([path("graphql/", http_consumer), re_path("", get_asgi_application())]),
        "websocket": URLRouter(
            [
                path("graphql/", Consumer.as_asgi()),
                path("impatient/", ImpatientConsumer.as_asgi()),
                path("pinging/", PingingConsumer.as_asgi()),
                path("large/", LargeConsumer.as_asgi()),
                path("bounded/", BoundedConsumer.as_asgi()),
                path("failing/", FailingConsumer.as_asgi()),
            ]
        ),
    }
)
