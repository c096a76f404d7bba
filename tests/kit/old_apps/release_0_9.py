"""As people wrote for 0.9: a queue limit, payloads with models, the old module of the context."""

from __future__ import annotations

from typing import Any

import channels.routing
import graphene
from django.contrib.auth.models import User
from django.urls import re_path

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.scope_as_context import ScopeAsContext

SAY = 'mutation ($text: String!) { send(chatroom: "tea", text: $text) }'

ended: list[str] = []


class OnNewChatMessage(Subscription):
    """A new message."""

    notification_queue_limit = 64

    sender = graphene.String()
    chatroom = graphene.String()
    text = graphene.String()

    class Arguments:
        """The room."""

        chatroom = graphene.String(required=True)

    @staticmethod
    async def subscribe(root, info, chatroom):
        assert root is None
        return [f"room-{chatroom}"]

    @staticmethod
    def publish(payload, info, chatroom):
        if payload["text"] == "skip":
            return OnNewChatMessage.SKIP
        sender: User = payload["sender"]
        assert sender.get_username() == "ann"
        return OnNewChatMessage(
            chatroom=chatroom, text=payload["text"], sender=info.context._scope["nick"]
        )

    @staticmethod
    async def unsubscribed(root, info, chatroom):
        ended.append(chatroom)


class SendChatMessage(graphene.Mutation):
    class Arguments:
        chatroom = graphene.String(required=True)
        text = graphene.String(required=True)

    Output = graphene.Boolean

    @staticmethod
    async def mutate(root, info, chatroom, text):
        await OnNewChatMessage.broadcast(
            group=f"room-{chatroom}", payload={"sender": User(username="ann"), "text": text}
        )
        return True


class Query(graphene.ObjectType):
    hello = graphene.String()

    @staticmethod
    async def resolve_hello(root, info):
        scope = ScopeAsContext(info.context.channels_scope)
        return f"Hello {scope.nick} at {scope._scope['path']}"


class Mutation(graphene.ObjectType):
    send = graphene.Boolean(
        chatroom=graphene.String(), text=graphene.String(), resolver=SendChatMessage.mutate
    )


class Subscriptions(graphene.ObjectType):
    on_message = OnNewChatMessage.Field(required=True)


def make_application() -> Any:
    """Declare the consumer, and mount it."""

    class Consumer(GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)
        subscription_confirmation_message = {"data": None}

        async def on_connect(self, payload):
            await super().on_connect(payload)
            self.scope["nick"] = (payload or {}).get("nick", "guest")

        async def disconnect(self, code):
            await super().disconnect(code)

    return channels.routing.ProtocolTypeRouter(
        {"websocket": channels.routing.URLRouter([re_path(r"^graphql/$", Consumer.as_asgi())])}
    )
