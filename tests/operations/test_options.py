"""Values of options that can mean nothing are refused, by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from channels.routing import URLRouter
from django.urls import re_path

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlProtocolTypeRouter, GraphqlWsConsumer
from channels_graphql_ws.operations.option_values import check_values
from news_schema import consumer_class, schema

BOTH = pytest.mark.parametrize("consumer", [GraphqlWsConsumer, GraphqlHttpConsumer])


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("send_ping_every", -1, "must be a number ≥ 0 or `None`"),
        ("connection_init_wait_timeout", timedelta(minutes=1), "must be a number"),
        ("max_message_size", "1 MB", "must be a number"),
        ("max_depth", -1, "must be a number"),
        ("subscription_notification_queue_limit", None, "must be a number ≥ 0$"),
    ],
)
def test_a_number_that_is_none_is_refused_where_the_consumer_is_mounted(
    name: str, value: Any, cure: str
) -> None:
    with pytest.raises(ValueError, match=rf"GraphqlWsConsumer\.{name} is .*, it {cure}"):
        GraphqlWsConsumer.as_asgi(schema=schema, **{name: value})


@pytest.mark.parametrize("value", [None, 5])
@BOTH
def test_a_confirmation_that_is_no_dict_is_refused(consumer: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=r"subscription_confirmation_message is .* a dict of"):
        consumer.as_asgi(schema=schema, subscription_confirmation_message=value)


@BOTH
def test_a_masked_message_that_is_no_text_is_refused(consumer: Any) -> None:
    with pytest.raises(TypeError, match=r"masked_error_message is None, it must be a string"):
        consumer.as_asgi(schema=schema, masked_error_message=None)


def test_the_router_refuses_it_too() -> None:
    with pytest.raises(ValueError, match=r"GraphqlHttpConsumer\.max_batch_size is None"):
        GraphqlProtocolTypeRouter(schema, max_batch_size=None)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"send_ping_every": "30"}, r"NewsConsumer.send_ping_every is '30', it must be a number"),
        ({"schema": "news.schema"}, r"'news.schema' is not a schema; it is a text; import the"),
        ({"schema": lambda: schema}, r"it has to be called; pass what `<lambda>\(…\)` returns"),
        ({"schema": type(schema)}, r"it has to be called; pass what `Schema\(…\)` returns"),
        ({"group_name_prefix": 5}, r"NewsConsumer.group_name_prefix is 5, it must be a string"),
        ({"channel_layer_alias": None}, r"channel_layer_alias is None, it must be a string"),
        ({"subprotocols": ("graphql",)}, r"NewsConsumer.subprotocols"),
        ({"allowed_origins": "*"}, r"NewsConsumer.allowed_origins is '\*', it must be a list of"),
    ],
)
def test_an_attribute_of_a_class_is_refused_where_it_is_mounted(
    attributes: dict[str, Any], text: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        consumer_class(**attributes).as_asgi()


async def test_an_attribute_that_is_set_later_is_refused_at_the_first_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cls = consumer_class()
    application = cls.as_asgi()
    cls.send_ping_every = "30"
    socket = AsgiSocket(application)
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "NewsConsumer.send_ping_every is '30', it must be a number" in caplog.text


async def test_a_schema_may_come_until_the_first_connection() -> None:
    cls = type("Late", (GraphqlWsConsumer,), {})
    application = cls.as_asgi()
    cls.schema = schema  # type: ignore[attr-defined]
    socket = AsgiSocket(application)
    await socket.acknowledged()
    await socket.drop()


async def test_the_instance_may_decide_about_an_option() -> None:
    class Deciding(consumer_class()):  # type: ignore[misc]
        @property
        def schema(self) -> Any:
            return schema

        @property
        def max_message_size(self) -> int:
            return 20

    socket = AsgiSocket(Deciding.as_asgi())
    socket.init(payload={"long": "x" * 20})
    await socket.ended()
    assert socket.closes[0][0] == 4400


async def test_the_instance_may_decide_whose_pages_connect() -> None:
    class Deciding(consumer_class()):  # type: ignore[misc]
        @property
        def allowed_origins(self) -> list[str]:
            return [f"https://{self.scope['path'].strip('/')}.example"]

    application = Deciding.as_asgi()
    headers = [(b"origin", b"https://ours.example")]
    socket = AsgiSocket(application, scope={"path": "/ours/", "headers": headers})
    await socket.acknowledged()
    await socket.drop()
    refused = AsgiSocket(application, scope={"path": "/theirs/", "headers": headers})
    await refused.ended()
    assert refused.sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize(
    ("kind", "type"), [(GraphqlWsConsumer, "websocket"), (GraphqlHttpConsumer, "http")]
)
@pytest.mark.parametrize("is_router", [False, True])
async def test_a_class_that_is_mounted_itself_says_what_to_mount(
    kind: Any, type: str, is_router: bool
) -> None:
    class Mounted(kind):
        pass

    Mounted.schema = schema
    application: Any = URLRouter([re_path("", Mounted)]) if is_router else Mounted
    with pytest.raises(
        TypeError, match=r"Mounted is not an ASGI .*: mount `.*Mounted.as_asgi\(\)`"
    ):
        await application({"type": type, "path": "/", "headers": []}, None, None)


@BOTH
def test_the_defaults_are_fine_and_none_is_where_it_may_be(consumer: Any) -> None:
    check_values(consumer)
    consumer.as_asgi(schema=schema, max_operations_per_connection=None, disconnect_timeout=None)
