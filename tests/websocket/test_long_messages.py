"""Long messages of many clients at once: one is decoded, then others have their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from channels_graphql_ws.http import parsing
from channels_graphql_ws.json_text import loads_from_client
from channels_graphql_ws.operations.sizes import LONG_TEXT
from channels_graphql_ws.websocket import subprotocols
from http_client import post

CONTENT = {"query": "{ ok }", "extensions": {"more": "x" * LONG_TEXT}}


class Query(graphene.ObjectType):
    """Something to ask."""

    ok = graphene.String()

    @staticmethod
    def resolve_ok(root: Any, info: Any) -> str:
        return "ok"


SCHEMA = graphene.Schema(query=Query)


class Consumer(GraphqlWsConsumer):
    """Decodes as all do."""

    schema = SCHEMA


class OwnDecoder(Consumer):
    """Decodes in its own way."""

    def decode_json(self, text: str) -> Any:
        return subprotocols.loads_from_client(text)


class Watch:
    """Counts iterations of the event loop, and notes in which of them a text is decoded."""

    def __init__(self) -> None:
        self.iteration = 0
        self.decoded: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self.iteration += 1
        self._handle = self._loop.call_soon(self._next)

    def loads(self, text: str) -> Any:
        if len(text) > LONG_TEXT:
            self.decoded.append(self.iteration)
        return loads_from_client(text)

    def stop(self) -> None:
        self._handle.cancel()


@pytest.mark.parametrize("application", [Consumer, OwnDecoder])
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_long_messages_of_sockets_are_decoded_in_turn(
    application: Any, subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = [AsgiSocket(application.as_asgi(), subprotocol) for _ in range(5)]
    for socket in sockets:
        await socket.acknowledged()
    watch = Watch()
    monkeypatch.setattr(subprotocols, "loads_from_client", watch.loads)
    for socket in sockets:
        socket.start("1", CONTENT["query"], extensions=CONTENT["extensions"])
    for socket in sockets:
        await socket.heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    watch.stop()
    assert len(set(watch.decoded)) == len(watch.decoded) == 5
    for socket in sockets:
        await socket.drop()


async def test_long_bodies_are_decoded_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    watch = Watch()
    monkeypatch.setattr(parsing, "loads_from_client", watch.loads)
    answers = await asyncio.gather(*(post(application, CONTENT) for _ in range(5)))
    watch.stop()
    assert [answer.json for answer in answers] == [{"data": {"ok": "ok"}}] * 5
    assert len(set(watch.decoded)) == len(watch.decoded) == 5
