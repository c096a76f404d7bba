"""The site of `live_site` with little patience, and which tells what its server keeps."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import live_site
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path

from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.operations import server_transport
from channels_graphql_ws.operations.unsent import LARGE

server_transport.LINGER = 0.2  # type: ignore[misc]

transports: WeakSet[Any] = WeakSet()


def note(send: Any, scope: Any) -> None:
    """Remember the transport of a client."""
    transport = server_transport.transport_of(send, scope)
    if transport is not None:
        transports.add(transport)


class Consumer(live_site.Consumer):
    """Does not wait long for a client that takes nothing: 3 seconds for 16 MB."""

    send_ping_every = 0.1
    pong_timeout = 0.2

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        note(send, scope)
        await super().__call__(scope, receive, send)


class HttpConsumer(GraphqlHttpConsumer):
    """Does not wait long either."""

    schema = live_site.the_schema
    stalled_reader_timeout = 0.2
    send_heartbeat_every = 0.1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        note(send, scope)
        await super().__call__(scope, receive, send)


async def buffered(request: HttpRequest) -> JsonResponse:
    """Tell how many transports were found, and how many bytes the server keeps for clients."""
    sizes = [each.get_write_buffer_size() for each in transports]
    return JsonResponse({"found": len(sizes), "large": sum(size > LARGE for size in sizes)})


live_site.urlpatterns.append(path("buffered/", buffered))

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("graphql/", HttpConsumer.as_asgi()),
                re_path("", live_site.get_asgi_application()),
            ]
        ),
        "websocket": SessionMiddlewareStack(URLRouter([path("graphql/", Consumer.as_asgi())])),
    }
)
