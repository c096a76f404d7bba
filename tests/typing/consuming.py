"""What type checkers know of a consumer: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_type

import graphene
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from graphql import GraphQLError, MiddlewareManager

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
)
from channels_graphql_ws.execution.context import OperationContext


def middleware(following: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
    """Call the resolver."""
    return following(root, info, **arguments)


class Consumer(GraphqlWsConsumer):
    """All settings and all hooks."""

    schema = graphene.Schema()
    middleware = [middleware]
    send_ping_every = 0.5
    pong_timeout = None
    connection_init_wait_timeout = 10
    strict_ordering = True
    confirm_subscriptions = True
    subscription_confirmation_message = {
        "data": "hello",
        "errors": [RuntimeError("x")],
    }
    answer_complete = False
    warn_operation_timeout = None
    subscription_notification_queue_limit = 7
    max_message_size = None
    disconnect_timeout = 1
    group_name_prefix = "MINE"
    listen_to_channel_layer = True
    resolve_sync_in_threads = True

    async def on_connect(self, payload: Any) -> Mapping[str, Any] | None:
        if payload is None:
            raise PermissionError
        return {"version": 1, "path": self.scope["path"]}

    async def on_operation(
        self, op_id: Any, payload: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        if "secret" in payload["query"]:
            raise GraphQLError(f"No, {op_id}")
        return {"query": "{ hello }"}

    async def on_disconnect(self, code: int | None) -> None:
        await super().on_disconnect(code)

    @staticmethod
    def _format_error(error: Exception) -> dict[str, Any]:
        formatted = GraphqlWsConsumer._format_error(error)
        assert_type(formatted, dict[str, Any])
        return {**formatted, "extensions": {"shown": True}}

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await super().receive_json(content, **kwargs)


class Silent(GraphqlWsConsumer):
    """The hooks may give nothing back, and take what they know."""

    schema = graphene.Schema()
    middleware = MiddlewareManager(middleware)

    async def on_connect(self, payload: Any) -> None:
        del payload

    async def on_operation(self, op_id: str, payload: Any) -> None:
        del op_id, payload


class Tuples(GraphqlWsConsumer):
    """Middleware in a tuple, and settings that are set later."""

    middleware = (middleware,)


Tuples.schema = graphene.Schema()
Tuples.send_ping_every = None


def is_what_channels_knows(consumer: Consumer) -> AsyncJsonWebsocketConsumer:
    """It can be put wherever Channels takes a consumer."""
    assert_type(consumer.connection_params, Mapping[str, Any])
    return consumer


def is_mounted_as_asgi() -> object:
    """As `channels.routing` wants it."""
    return Consumer.as_asgi(channel_layer_alias="default")


def context_has_any_attribute(context: OperationContext) -> None:
    """Users put there what they like."""
    context.tenant = "acme"
    context["tenant"] = "acme"
    assert_type(context.user, Any)
    assert_type(context["user"], Any)
    assert_type("tenant" in context, bool)


async def channels_may_be_listened_to(context: OperationContext, consumer: Consumer) -> None:
    """From a generator, or from a consumer's own code."""
    async with context.listen_to_channel("chat.message", groups=["a"], timeout=1.5) as messages:
        async for message in messages:
            assert_type(message, dict[str, Any])
    async with consumer.listen_to_channel("chat.message") as messages:
        assert_type(await anext(messages), dict[str, Any])


def options_may_be_keywords(schema: graphene.Schema) -> None:
    """Of the classes, and of the router, which hands them on."""
    GraphqlWsConsumer.as_asgi(schema=schema, max_depth=3, send_ping_every=None)
    GraphqlHttpConsumer.as_asgi(schema=schema, graphiql=False, max_batch_size=2)
    GraphqlView.as_view(schema=schema, graphiql=False)
    GraphqlProtocolTypeRouter(schema, max_depth=3, graphiql=False, send_ping_every=0.5)
