"""The same schema with Strawberry on Channels, as its documentation has it."""

# No `from __future__ import annotations`: Strawberry reads the annotations.

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from servers.django_setup import configure

configure()

import channels.routing  # noqa: E402 (Django must be configured first)
import strawberry  # noqa: E402
from asgiref.sync import async_to_sync  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from strawberry.channels import GraphQLWSConsumer  # noqa: E402

from servers.control import Control  # noqa: E402
from servers.events import ITEMS, SELECTED_ONE_IN, Json, event  # noqa: E402
from servers.wire import group_named  # noqa: E402


@strawberry.type
class Event:
    """An event of four scalars."""

    seq: int
    text: str
    flag: bool
    ratio: float


@strawberry.type
class Item:
    """What the query returns."""

    id: int
    name: str
    price: float
    active: bool
    note: str | None


@strawberry.type
class Query:
    """Ten objects of five fields."""

    @strawberry.field
    def items(self) -> list[Item]:
        """Return them."""
        return [Item(**item) for item in ITEMS]


async def _events(
    info: strawberry.Info, group: str, client: int | None = None
) -> AsyncGenerator[Event, None]:
    async with info.context["ws"].listen_to_channel(group, groups=[group]) as messages:
        # The load generator wants to know when it is subscribed.
        yield Event(**event(-1))
        async for message in messages:
            payload = message["payload"]
            if client is None or (payload["seq"] - client) % SELECTED_ONE_IN == 0:
                yield Event(**payload)


@strawberry.type
class Subscription:
    """What the load generator subscribes to."""

    @strawberry.subscription
    def on_event(self, info: strawberry.Info) -> AsyncGenerator[Event, None]:
        """Give what is the same for everybody."""
        return _events(info, "OnEvent")

    @strawberry.subscription
    def on_personal(self, info: strawberry.Info, client: int) -> AsyncGenerator[Event, None]:
        """Give what could be different for everybody."""
        return _events(info, "OnPersonal")

    @strawberry.subscription
    def on_selected(self, info: strawberry.Info, client: int) -> AsyncGenerator[Event, None]:
        """Give one event of some, and skip the others."""
        return _events(info, "OnSelected", client)

    @strawberry.subscription
    def on_room(self, info: strawberry.Info, room: int) -> AsyncGenerator[Event, None]:
        """Give what is sent to one group."""
        return _events(info, f"OnRoom.{room}")


class Broadcaster:
    """The channel layer, as Strawberry's documentation has it."""

    async def awaited(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from a coroutine, and wait."""
        name = group_named(operation, group)
        await get_channel_layer().group_send(name, {"type": name, "payload": payload})

    def unawaited(self, operation: str, group: str | None, payload: Json) -> Any:
        """Broadcast in a task."""
        return asyncio.ensure_future(self.awaited(operation, group, payload))

    def from_sync_code(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from code that runs in a thread."""
        async_to_sync(self.awaited)(operation, group, payload)


application = channels.routing.ProtocolTypeRouter(
    {
        "http": Control(Broadcaster()),
        "websocket": GraphQLWSConsumer.as_asgi(
            schema=strawberry.Schema(query=Query, subscription=Subscription)
        ),
    },
)
