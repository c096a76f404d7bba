"""Middleware that fails as an answer is sent, as that of sessions does where one is gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import graphene
import pytest
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import override_settings

from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.testing import GraphqlHttpClient, alogin_headers
from http_client import EVENTS, ask, post
from http_schema import schema as http_schema

ORIGIN = {"Origin": "https://app.example.com"}


class Consumer(GraphqlHttpConsumer):
    schema = http_schema
    allowed_origins = ("https://app.example.com",)


def failing(error: Exception, *, always: bool = False) -> Any:
    """Return an application behind middleware that fails unless the status is 500."""
    application = Consumer.as_asgi()

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def wrapped(message: Any) -> None:
            if message["type"] == "http.response.start" and (always or message["status"] != 500):
                raise error
            await send(message)

        await application(scope, receive, wrapped)

    return call


async def test_the_client_is_told(caplog: pytest.LogCaptureFixture) -> None:
    answer = await post(failing(ValueError("no")), {"query": "{ __typename }"}, headers=ORIGIN)
    assert answer.status == 500
    assert answer.json == {"errors": [{"message": "Internal server error"}]}
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert "Middleware has failed" in caplog.text
    assert "ValueError: no" in caplog.text


async def test_a_client_of_a_stream_is_told_as_well() -> None:
    body = json.dumps({"query": 'subscription { onEvent(group: "a") { event } }'}).encode()
    headers = {"Content-Type": "application/json", "Accept": EVENTS}
    answer = await ask(failing(ValueError("no")), headers=headers, body=body)
    assert answer.status == 500
    assert answer.json == {"errors": [{"message": "Internal server error"}]}


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("gone")])
async def test_nothing_is_told_to_a_client_that_has_gone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"query": "{ __typename }"}'}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"host", b"testserver")],
    }
    application = failing(error, always=isinstance(error, ValueError))
    async with asyncio.timeout(20):
        await application(scope, receive, send)
    assert sent == []
    assert "Middleware has failed" not in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_a_session_that_ended_meanwhile_is_an_error() -> None:
    class Ending(graphene.ObjectType):
        end = graphene.Boolean()

        @staticmethod
        async def resolve_end(_root: Any, _info: Any) -> bool:
            await Session.objects.all().adelete()
            return True

    application = AuthMiddlewareStack(
        GraphqlHttpConsumer.as_asgi(schema=graphene.Schema(query=Ending))
    )
    headers = await alogin_headers(await User.objects.acreate_user("ada"))
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        client = GraphqlHttpClient(application, headers=headers)
        result = await client.execute("{ end }")
    assert [error.message for error in result.errors or ()] == ["The session has ended"]
