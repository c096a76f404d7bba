"""Names of a consumer class that are ours: a user's helper may have any other."""

from __future__ import annotations

from typing import Any

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.operations.option_values import option_names
from channels_graphql_ws.operations.overrides import is_default
from news_schema import HELLO, schema

HOOK = "a hook, which Strawberry's, npm's graphql-ws or the predecessor has by this name"

PUBLIC_NAMES = {
    "channel_listen": "Strawberry's name, for `listen_to_channel`",
    "channel_name": "Channels' name, an attribute there",
    "connection_params": "Strawberry's name; a class may set it",
    "execute_operation": HOOK,
    "get_context": HOOK,
    "get_root_value": HOOK,
    "listen_to_channel": "Strawberry's name",
    "on_complete": HOOK,
    "on_connect": HOOK,
    "on_disconnect": HOOK,
    "on_error": HOOK,
    "on_next": HOOK,
    "on_operation": HOOK,
    "on_ping": HOOK,
    "on_pong": HOOK,
    "parse_document": HOOK,
    "renew": "the name in `info.context`; nothing of ours calls it",
    "scope": "Channels' name, an attribute there",
    "validate_document": HOOK,
}

OF_INSTANCES = {
    "close_reason": "what `on_disconnect` may want to know",
    "groups": "Channels' name",
}


def test_the_public_names_beside_options_are_these_and_no_others() -> None:
    ours = set(dir(GraphqlWsConsumer)) - set(dir(AsyncJsonWebsocketConsumer))
    ours -= option_names(GraphqlWsConsumer)
    assert {name for name in ours if not name.startswith("_")} == set(PUBLIC_NAMES)
    consumer = type("Mine", (GraphqlWsConsumer,), {"schema": schema})()
    assert {name for name in vars(consumer) if not name.startswith("_")} == set(OF_INSTANCES)


def test_a_hook_is_called_by_nobody_else() -> None:
    hooks = {name for name, reason in PUBLIC_NAMES.items() if reason is HOOK}
    assert all(is_default(getattr(GraphqlWsConsumer, name)) for name in hooks)


@pytest.mark.parametrize(
    "name",
    [
        "execute",
        "hub",
        "executor",
        "event_sender",
        "accept_client",
        "document_rules",
        "session",
        "connection",
        "protocol",
        "outbox",
        "engine",
        "settings",
        "tasks",
        "subscribe",
        "publish",
    ],
)
async def test_helpers_of_a_class_may_have_any_other_name(name: str) -> None:
    def helper(self: Any, *_args: Any) -> str:
        raise AssertionError("this is the user's")

    cls: Any = type("Helped", (GraphqlWsConsumer,), {name: helper, "schema": schema})
    socket = AsgiSocket(cls.as_asgi())
    await socket.acknowledged()
    socket.start("1", HELLO)
    await socket.heard("next:1", "complete:1")
    await socket.drop()


async def test_on_connect_may_keep_the_payload_by_the_name_of_ours() -> None:
    kept: list[Any] = []

    class Keeping(GraphqlWsConsumer):
        async def on_connect(self, payload: Any) -> None:
            assert self.connection_params == payload
            self.connection_params = {"mine": payload}

        async def on_operation(self, op_id: Any, payload: Any) -> None:
            kept.append(self.connection_params)

    socket = AsgiSocket(Keeping.as_asgi(schema=schema))
    await socket.acknowledged(payload={"token": "t"})
    socket.start("1", HELLO)
    await socket.heard("next:1", "complete:1")
    await socket.drop()
    assert kept == [{"mine": {"token": "t"}}]
