"""As people wrote for 0.7 and 0.8: the context is the scope, keep-alives have their old name."""

from __future__ import annotations

from typing import Any

import channels.routing
import django.urls
import graphene

import channels_graphql_ws

SAY = 'mutation ($text: String!) { send(chatroom: "tea", text: $text) { ok } }'

ended: list[str] = []


class OnNewChatMessage(channels_graphql_ws.Subscription):
    sender = graphene.String()
    chatroom = graphene.String()
    text = graphene.String()

    class Arguments:
        chatroom = graphene.String()

    def subscribe(self, info, chatroom=None):
        assert self is None
        assert info.context.is_authenticated
        return [chatroom] if chatroom is not None else None

    def publish(self, info, chatroom=None):
        if self["text"] == "skip":
            return OnNewChatMessage.SKIP
        assert chatroom in (None, self["chatroom"])
        return OnNewChatMessage(
            chatroom=self["chatroom"], text=self["text"], sender=info.context.nick
        )

    def unsubscribed(self, info, chatroom=None):
        ended.append(chatroom)

    @classmethod
    def new_chat_message(cls, chatroom, text):
        cls.broadcast(group=chatroom, payload={"chatroom": chatroom, "text": text})


class SendChatMessage(graphene.Mutation):
    ok = graphene.Boolean()

    class Arguments:
        chatroom = graphene.String()
        text = graphene.String()

    def mutate(self, info, chatroom, text):
        OnNewChatMessage.new_chat_message(chatroom, text)
        return SendChatMessage(ok=True)


class Query(graphene.ObjectType):
    hello = graphene.String()

    def resolve_hello(self, info):
        return f"Hello {info.context.nick} at {info.context.path}"


class Mutation(graphene.ObjectType):
    send = SendChatMessage.Field()


class Subscription(graphene.ObjectType):
    on_message = OnNewChatMessage.Field()


passed: list[str] = []


def demo_middleware(next_middleware, root, info, *args, **kwds):
    passed.append(info.field_name)
    return next_middleware(root, info, *args, **kwds)


def make_application() -> Any:
    """Declare the consumer, and mount it as Channels' tutorial does."""

    class MyGraphqlWsConsumer(channels_graphql_ws.GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscription)
        send_keepalive_every = 42
        strict_ordering = True
        middleware = [demo_middleware]

        async def on_connect(self, payload):
            self.scope["is_authenticated"] = True
            self.scope["nick"] = (payload or {}).get("nick", "guest")

    return channels.routing.ProtocolTypeRouter(
        {
            "websocket": channels.routing.URLRouter(
                [django.urls.path("graphql/", MyGraphqlWsConsumer.as_asgi())]
            )
        }
    )
