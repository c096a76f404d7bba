"""The GraphQL application, one source for this package and for its predecessor.

Which of the two is imported depends on the environment of the process; both have the same public
names, so what is measured differs in nothing but the package.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

from servers.django_setup import WISHES, configure

configure()

import channels.routing  # noqa: E402 (Django must be configured first)
import graphene  # noqa: E402

import channels_graphql_ws  # noqa: E402
from servers.control import Control  # noqa: E402
from servers.events import ITEMS, SELECTED_ONE_IN, Json  # noqa: E402
from servers.models import Reading  # noqa: E402


class EventFields:
    """An event of four scalars."""

    seq = graphene.Int(required=True)
    text = graphene.String(required=True)
    flag = graphene.Boolean(required=True)
    ratio = graphene.Float(required=True)


class OnEvent(EventFields, channels_graphql_ws.Subscription):
    """One that is the same for everybody, and says so."""

    @staticmethod
    def context_id(root: object, info: graphene.ResolveInfo) -> Hashable:
        """Let all alike subscriptions share one execution (of this package only)."""
        return "everybody"

    @staticmethod
    def publish(payload: Json, info: graphene.ResolveInfo) -> Json:
        """Hand the payload on as it is."""
        return payload


class OnPersonal(EventFields, channels_graphql_ws.Subscription):
    """One that could be different for everybody."""

    class Arguments:
        """The number of the client."""

        client = graphene.Int(required=True)

    @staticmethod
    def publish(payload: Json, info: graphene.ResolveInfo, client: int) -> Json:
        """Hand the payload on as it is."""
        return payload


class OnSelected(EventFields, channels_graphql_ws.Subscription):
    """One that skips most events."""

    class Arguments:
        """The number of the client."""

        client = graphene.Int(required=True)

    @staticmethod
    def publish(payload: Json, info: graphene.ResolveInfo, client: int) -> Json | None:
        """Hand on one event of some, and skip the others."""
        if (payload["seq"] - client) % SELECTED_ONE_IN:
            return None
        return payload


class OnReading(EventFields, channels_graphql_ws.Subscription):
    """One whose payload is an instance of a Django model."""

    @staticmethod
    def publish(payload: Reading, info: graphene.ResolveInfo) -> Reading:
        """Hand the instance on as it is."""
        return payload


class OnRoom(EventFields, channels_graphql_ws.Subscription):
    """One with many groups."""

    class Arguments:
        """The group to join."""

        room = graphene.Int(required=True)

    @staticmethod
    def subscribe(root: object, info: graphene.ResolveInfo, room: int) -> list[str]:
        """Join a group."""
        return [f"room-{room}"]

    @staticmethod
    def publish(payload: Json, info: graphene.ResolveInfo, room: int) -> Json:
        """Hand the payload on as it is."""
        return payload


class Item(graphene.ObjectType):
    """What the query returns."""

    id = graphene.Int(required=True)
    name = graphene.String(required=True)
    price = graphene.Float(required=True)
    active = graphene.Boolean(required=True)
    note = graphene.String()


class Query(graphene.ObjectType):
    """Ten objects of five fields."""

    items = graphene.List(graphene.NonNull(Item), required=True)

    @staticmethod
    def resolve_items(root: object, info: graphene.ResolveInfo) -> list[Json]:
        """Return them as they are."""
        return ITEMS


class Subscription(graphene.ObjectType):
    """What the load generator subscribes to."""

    on_event = OnEvent.Field()
    on_personal = OnPersonal.Field()
    on_selected = OnSelected.Field()
    on_reading = OnReading.Field()
    on_room = OnRoom.Field()


class Consumer(channels_graphql_ws.GraphqlWsConsumer):
    """As a user would write it; the load generator wants to know when it is subscribed."""

    schema = graphene.Schema(query=Query, subscription=Subscription)
    confirm_subscriptions = True
    compile_operations = WISHES.get("compile_operations", True)
    # The load generator sends on one connection what many clients would.
    max_messages_per_second = None


class Broadcaster:
    """How users of both packages broadcast."""

    classes: ClassVar[dict[str, Any]] = {
        "OnEvent": OnEvent,
        "OnPersonal": OnPersonal,
        "OnSelected": OnSelected,
        "OnReading": OnReading,
        "OnRoom": OnRoom,
    }

    async def awaited(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from a coroutine, and wait."""
        await self.unawaited(operation, group, payload)

    def unawaited(self, operation: str, group: str | None, payload: Json) -> Any:
        """Broadcast from a coroutine, and do not wait."""
        sent: Any = Reading(**payload) if operation == "OnReading" else payload
        return self.classes[operation].broadcast(group=group, payload=sent)

    def from_sync_code(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from code that runs in a thread."""
        self.unawaited(operation, group, payload)


application = channels.routing.ProtocolTypeRouter(
    {"http": Control(Broadcaster()), "websocket": Consumer.as_asgi()},
)
