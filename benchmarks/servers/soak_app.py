"""Serves subscriptions with a history, or broadcasts to them: processes that share one Redis.

Over HTTP it tells what it holds, and takes orders to broadcast: see `Publisher`.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, TypeAlias

from servers.django_setup import configure

configure()

import channels.layers  # noqa: E402 (Django must be configured first)
import channels.routing  # noqa: E402
import graphene  # noqa: E402

import channels_graphql_ws  # noqa: E402
from servers.control import body_of  # noqa: E402
from servers.inventory import Records, process_inventory, respond  # noqa: E402

Json: TypeAlias = dict[str, Any]

records = Records()


class EventOfRoom:
    """An event with its number in its room."""

    number = graphene.Int(required=True)
    text = graphene.String(required=True)

    class Arguments:
        """The group to join."""

        room = graphene.String(required=True)

    @staticmethod
    def subscribe(root: object, info: graphene.ResolveInfo, room: str) -> list[str]:
        """Join a group."""
        return [room]

    @staticmethod
    def publish(payload: Json, info: graphene.ResolveInfo, room: str) -> Json:
        """Hand the payload on as it is."""
        return payload


class OnOwn(EventOfRoom, channels_graphql_ws.Subscription):
    """One with a history."""

    history_size = 20_000
    history_ttl = 3_600
    notification_queue_limit = 256


class OnShared(EventOfRoom, channels_graphql_ws.Subscription):
    """One with a history, whose events are executed once for all clients of a process."""

    history_size = 20_000
    history_ttl = 3_600
    notification_queue_limit = 256

    @staticmethod
    def context_id(root: object, info: graphene.ResolveInfo, room: str) -> Hashable:
        """Share with everybody."""
        return "everybody"


class OnLive(EventOfRoom, channels_graphql_ws.Subscription):
    """One without a history: its clients are told of events that they have lost."""

    notification_queue_limit = 256


class Query(graphene.ObjectType):
    """GraphQL asks for one field at least."""

    version = graphene.String()


class Subscription(graphene.ObjectType):
    """What can be subscribed to."""

    on_own = OnOwn.Field()
    on_shared = OnShared.Field()
    on_live = OnLive.Field()


class Consumer(channels_graphql_ws.GraphqlWsConsumer):
    """Tells its clients when they are subscribed."""

    schema = graphene.Schema(query=Query, subscription=Subscription)
    confirm_subscriptions = True


class Publisher:
    """Broadcasts at a pace, and remembers which broadcasts have failed.

    Attributes:
        numbers: the number of the last event of each room.
        failed: the numbers of those whose broadcast has raised; they may have arrived or not.
    """

    classes: ClassVar[dict[str, Any]] = {"own": OnOwn, "shared": OnShared, "live": OnLive}

    def __init__(self) -> None:
        self.numbers: defaultdict[str, int] = defaultdict(int)
        self.failed: defaultdict[str, list[int]] = defaultdict(list)
        self._pending: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def obey(self, order: Json) -> Json:
        """Carry out an order.

        `start`: broadcast to `rooms`, one after another, `rate` times a second. `burst`: broadcast
        `count` events to a `room` at once. `stop`: end, and return the numbers.
        """
        match order.pop("action"):
            case "start":
                self._task = asyncio.create_task(self._keep_going(**order))
            case "burst":
                for _ in range(order["count"]):
                    self._broadcast(order["room"], order["size"])
            case "stop":
                await self._stop()
                return {"numbers": self.numbers, "failed": self.failed}
        return {}

    async def _keep_going(self, rooms: list[str], rate: float, size: int) -> None:
        while True:
            for room in rooms:
                self._broadcast(room, size)
                await asyncio.sleep(1 / rate)

    def _broadcast(self, room: str, size: int) -> None:
        number = self.numbers[room] = self.numbers[room] + 1
        payload = {"number": number, "text": "." * size}
        subscription_class = self.classes[room.partition("-")[0]]
        pending = subscription_class.broadcast(group=room, payload=payload)

        def note(done: asyncio.Future[None]) -> None:
            self._pending.discard(done)
            if done.exception() is not None:
                self.failed[room].append(number)

        self._pending.add(pending)
        pending.add_done_callback(note)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._pending:
            await asyncio.wait(self._pending)


publisher = Publisher()


async def control(
    scope: Json,
    receive: Callable[[], Awaitable[Json]],
    send: Callable[[Json], Awaitable[None]],
) -> None:
    """Obey a POST; tell everybody else what this process holds."""
    if scope["method"] == "POST":
        await respond(send, await publisher.obey(json.loads(await body_of(receive))))
        return
    layer = channels.layers.get_channel_layer()
    counted = channels_graphql_ws.statistics()
    found = process_inventory(layer, records)
    found["queued"], found["broadcasts waiting"] = counted.queued, counted.publisher.waiting
    await respond(send, found)


application = channels.routing.ProtocolTypeRouter(
    {"http": control, "websocket": Consumer.as_asgi()},
)
