"""Values of options that can mean nothing are refused, by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

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


async def test_an_attribute_of_a_class_is_refused_at_the_first_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    socket = AsgiSocket(consumer_class(send_ping_every="30").as_asgi())
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "NewsConsumer.send_ping_every is '30', it must be a number" in caplog.text


@BOTH
def test_the_defaults_are_fine_and_none_is_where_it_may_be(consumer: Any) -> None:
    check_values(consumer)
    consumer.as_asgi(schema=schema, max_operations_per_connection=None, disconnect_timeout=None)
