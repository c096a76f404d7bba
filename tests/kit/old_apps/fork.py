"""As a framework on top of a fork: it makes classes with attributes and options of its own."""

from __future__ import annotations

from typing import Any

import channels.routing
import graphene
from django.urls import path

from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.subscription import Subscription, SubscriptionOptions

SAY = 'mutation ($text: String!) { send(chatroom: "tea", text: $text) }'

ended: list[str] = []


class ModelOptions(SubscriptionOptions):
    """What the framework keeps of a class."""

    model: str | None = None


class ModelSubscription(Subscription):
    """The framework's base."""

    class Meta:
        abstract = True

    group_name: str = ""

    @classmethod
    def __init_subclass_with_meta__(
        cls,
        subscribe=None,
        publish=None,
        unsubscribed=None,
        output=None,
        arguments=None,
        _meta=None,
        model=None,
        **options,
    ):
        _meta = ModelOptions(cls)
        _meta.model = model
        super().__init_subclass_with_meta__(
            subscribe, publish, unsubscribed, output, arguments, _meta, **options
        )

    @classmethod
    def notify(cls, chatroom, text):
        cls.broadcast(group=f"{cls.group_name}:{chatroom}", payload=[chatroom, text])


def subscription_for(name: str) -> Any:
    """Make a class for a model; all have one module and one name."""

    class OnChange(ModelSubscription):
        class Arguments:
            chatroom = graphene.String()

        class Meta:
            model = name

        group_name = f"changes.{name}"
        sender = graphene.String()
        chatroom = graphene.String()
        text = graphene.String()
        operation = graphene.String()

        @classmethod
        def subscribe(cls, root, info, chatroom=None):
            return (f"{cls.group_name}:{chatroom}",)

        @classmethod
        def publish(cls, payload, info, chatroom=None):
            room, text = payload
            if text == "skip":
                return cls.SKIP
            nick = info.context.channels_scope["nick"]
            return {"chatroom": room, "text": text, "sender": nick, "operation": cls._meta.model}

        @classmethod
        def unsubscribed(cls, root, info, chatroom=None):
            ended.append(chatroom)

    # As frameworks do, to have a type for each.
    return type(f"On{name.title()}", (OnChange,), {"Meta": type("Meta", (), {"model": name})})


OnMessage = subscription_for("message")
OnOther = subscription_for("other")


class Query(graphene.ObjectType):
    hello = graphene.String()

    def resolve_hello(self, info):
        return f"Hello {info.context.nick} at {info.context.channels_scope['path']}"


class Mutation(graphene.ObjectType):
    send = graphene.Boolean(chatroom=graphene.String(), text=graphene.String())

    def resolve_send(self, info, chatroom, text):
        OnOther.notify(chatroom, "not for you")
        OnMessage.notify(chatroom, text)
        return True


class Subscriptions(graphene.ObjectType):
    on_message = OnMessage.Field()
    on_other = OnOther.Field()


class Consumer(GraphqlWsConsumer):
    """Keeps its schema to itself until it is asked for."""

    @property
    def schema(self):
        return graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)

    def on_connect(self, payload):
        self.scope["nick"] = (payload or {}).get("nick", "guest")


def make_application() -> Any:
    """Mount the consumer."""
    return channels.routing.ProtocolTypeRouter(
        {"websocket": channels.routing.URLRouter([path("graphql/", Consumer.as_asgi())])}
    )
