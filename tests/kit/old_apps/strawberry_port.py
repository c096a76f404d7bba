"""As an application of Strawberry's Channels integration, ported: generators, the router."""

from __future__ import annotations

from typing import Any

import graphene
from channels.layers import get_channel_layer

from channels_graphql_ws import GraphqlProtocolTypeRouter, GraphqlWsConsumer

SAY = 'mutation ($text: String!) { send(chatroom: "tea", text: $text) }'

ended: list[str] = []


class ChatMessage(graphene.ObjectType):
    sender = graphene.String()
    chatroom = graphene.String()
    text = graphene.String()


class Query(graphene.ObjectType):
    hello = graphene.String()

    async def resolve_hello(self, info):
        ws = info.context["ws"]
        return (
            f"Hello {info.context['connection_params'].get('nick', 'guest')} at {ws.scope['path']}"
        )


class Mutation(graphene.ObjectType):
    send = graphene.Boolean(chatroom=graphene.String(), text=graphene.String())

    async def resolve_send(self, info, chatroom, text):
        message = {"type": "chat.message", "room": chatroom, "text": text}
        await get_channel_layer().group_send(f"chat_{chatroom}", message)
        return True


class Subscription(graphene.ObjectType):
    on_message = graphene.Field(ChatMessage, chatroom=graphene.String())

    async def subscribe_on_message(self, info, chatroom):
        ws = info.context["ws"]
        try:
            async with ws.listen_to_channel(
                "chat.message", groups=[f"chat_{chatroom}"]
            ) as messages:
                async for message in messages:
                    if message["text"] != "skip":
                        nick = info.context["connection_params"].get("nick", "guest")
                        yield ChatMessage(
                            sender=nick, chatroom=message["room"], text=message["text"]
                        )
        finally:
            ended.append(chatroom)

    def resolve_on_message(self, info, chatroom):
        return self


class MyConsumer(GraphqlWsConsumer):
    async def get_context(self, context):
        context.ws = self
        return context


def make_application() -> Any:
    """Mount everything in one line."""
    schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscription)
    return GraphqlProtocolTypeRouter(
        schema, websocket_consumer=MyConsumer, middleware_stack=None, shutdown_timeout=None
    )
