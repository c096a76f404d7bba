"""As people wrote for 1.0.0rc7: `channels_scope`, `on_operation`, an object as middleware."""

from __future__ import annotations

from typing import Any

import channels.routing
import graphene
from django.urls import path

import channels_graphql_ws
from channels_graphql_ws.dict_as_object import DictAsObject

SAY = 'mutation ($text: String!) { send(chatroom: "tea", text: $text) { ok } }'

ended: list[str] = []


class OnNewChatMessage(channels_graphql_ws.Subscription):
    class Arguments:
        chatroom = graphene.String()

    class Meta:
        description = "A new message."

    sender = graphene.String()
    chatroom = graphene.String()
    text = graphene.String()

    @staticmethod
    def subscribe(root, info, chatroom=None):
        del root
        info.context["chatroom"] = chatroom
        return [chatroom] if chatroom else None

    @classmethod
    async def publish(cls, payload, info, chatroom=None):
        if payload.get("text") == "skip":
            return None
        assert info.context.chatroom == chatroom
        return cls(sender=info.context.channels_scope["nick"], **payload)

    @staticmethod
    async def unsubscribed(root, info, *args, **kwds):
        assert "chatroom" in info.context
        ended.append(info.context.chatroom)


class SendChatMessage(graphene.Mutation):
    class Arguments:
        chatroom = graphene.String()
        text = graphene.String()

    ok = graphene.Boolean()

    @staticmethod
    async def mutate(root, info, chatroom, text):
        await OnNewChatMessage.broadcast_async(
            group=chatroom, payload={"chatroom": chatroom, "text": text}
        )
        return SendChatMessage(ok=True)


class Query(graphene.ObjectType):
    hello = graphene.String()

    def resolve_hello(self, info):
        assert isinstance(info.context, DictAsObject)
        scope = info.context.channels_scope
        return f"Hello {scope['nick']} at {scope['path']}"


class Mutation(graphene.ObjectType):
    send = SendChatMessage.Field()


class Subscriptions(graphene.ObjectType):
    on_message = OnNewChatMessage.Field()


class Counting:
    """Middleware with a `resolve`, mounted as a bound method."""

    def __init__(self) -> None:
        self.count = 0

    async def resolve(self, next_middleware, root, info, *args, **kwds):
        self.count += 1
        result = next_middleware(root, info, *args, **kwds)
        return await result if hasattr(result, "__await__") else result


def make_application() -> Any:
    """Declare the consumer, and mount it."""

    class Consumer(channels_graphql_ws.GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)
        middleware = (Counting().resolve,)
        send_ping_every = 60
        connection_init_wait_timeout = 10
        warn_operation_timeout = None

        async def on_connect(self, payload):
            self.scope["nick"] = payload["nick"] if payload else "guest"

        async def on_operation(self, op_id, payload):
            assert payload["query"]

    return channels.routing.ProtocolTypeRouter(
        {"websocket": channels.routing.URLRouter([path("graphql/", Consumer.as_asgi())])}
    )
