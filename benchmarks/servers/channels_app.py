"""A bare Channels consumer: what one writes without any GraphQL package."""

from __future__ import annotations

import asyncio
from typing import Any

from servers.django_setup import configure

configure()

import channels.routing  # noqa: E402 (Django must be configured first)
from asgiref.sync import async_to_sync  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402

from servers.control import Control  # noqa: E402
from servers.events import Json  # noqa: E402
from servers.wire import ANSWER, LIVE, group_named, group_of, next_message  # noqa: E402


class Consumer(AsyncJsonWebsocketConsumer):
    """Joins groups and hands on what is sent to them."""

    async def connect(self) -> None:
        """Let everybody in."""
        self.joined: dict[str, str] = {}
        await self.accept("graphql-transport-ws")

    async def disconnect(self, code: int) -> None:
        """Leave the groups."""
        for id in list(self.joined):
            await self._leave(id)

    async def receive_json(self, content: Json, **_arguments: Any) -> None:
        """Answer a message of the load generator."""
        match content:
            case {"type": "connection_init"}:
                await self.send_json({"type": "connection_ack"})
            case {"type": "ping"}:
                await self.send_json({"type": "pong"})
            case {"type": "subscribe", "id": id, "payload": {"operationName": "Items"}}:
                await self.send_json({"id": id, "type": "next", "payload": ANSWER})
                await self.send_json({"id": id, "type": "complete"})
            case {"type": "subscribe", "id": id, "payload": payload}:
                group = group_of(payload["operationName"], payload["variables"])
                self.joined[id] = group
                await self.channel_layer.group_add(group, self.channel_name)
                await self.send_json({"id": id, "type": "next", "payload": LIVE})
            case {"type": "complete", "id": id}:
                await self._leave(id)

    async def notify(self, message: Json) -> None:
        """Send an event to every subscription of its group."""
        for id, group in self.joined.items():
            if group == message["group"]:
                await self.send_json(next_message(id, message["operation"], message["payload"]))

    async def _leave(self, id: str) -> None:
        await self.channel_layer.group_discard(self.joined.pop(id), self.channel_name)


class Broadcaster:
    """The channel layer, as Channels documents it."""

    async def awaited(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from a coroutine, and wait."""
        name = group_named(operation, group)
        message = {"type": "notify", "group": name, "operation": operation, "payload": payload}
        await get_channel_layer().group_send(name, message)

    def unawaited(self, operation: str, group: str | None, payload: Json) -> Any:
        """Broadcast in a task."""
        return asyncio.ensure_future(self.awaited(operation, group, payload))

    def from_sync_code(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from code that runs in a thread."""
        async_to_sync(self.awaited)(operation, group, payload)


application = channels.routing.ProtocolTypeRouter(
    {"http": Control(Broadcaster()), "websocket": Consumer.as_asgi()},
)
