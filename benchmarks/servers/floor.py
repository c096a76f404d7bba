"""The floor: a bare ASGI application that sends one prepared text to all of its open connections.

No GraphQL, no Django, no Channels: what is left is the cost of the server and the socket, below
which no package under the same server can come.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from servers.control import Control
from servers.events import Json
from servers.wire import ANSWER, LIVE, dumps, group_named, group_of, next_message

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_subscribers: defaultdict[str, dict[tuple[Send, str], None]] = defaultdict(dict)
_ANSWER = dumps(ANSWER)


class Broadcaster:
    """Sends the text that it has prepared once."""

    async def awaited(self, operation: str, group: str | None, payload: Json) -> None:
        """Send to everybody, one after another."""
        texts: dict[str, str] = {}
        for send, id in list(_subscribers[group_named(operation, group)]):
            if id not in texts:
                texts[id] = dumps(next_message(id, operation, payload))
            await send({"type": "websocket.send", "text": texts[id]})

    def unawaited(self, operation: str, group: str | None, payload: Json) -> Any:
        """Send in a task."""
        return asyncio.ensure_future(self.awaited(operation, group, payload))

    def from_sync_code(self, operation: str, group: str | None, payload: Json) -> None:
        """Fail: the floor has no threads."""
        raise NotImplementedError


_control = Control(Broadcaster())


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection."""
    if scope["type"] == "http":
        await _control(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
    joined: dict[str, str] = {}
    try:
        while (frame := await receive())["type"] == "websocket.receive":
            await _answer(json.loads(frame["text"]), send, joined)
    finally:
        for id in list(joined):
            _leave(send, id, joined)


async def _answer(message: Json, send: Send, joined: dict[str, str]) -> None:
    match message:
        case {"type": "connection_init"}:
            await _send(send, '{"type":"connection_ack"}')
        case {"type": "ping"}:
            await _send(send, '{"type":"pong"}')
        case {"type": "subscribe", "id": id, "payload": {"operationName": "Items"}}:
            await _send(send, f'{{"id":"{id}","type":"next","payload":{_ANSWER}}}')
            await _send(send, f'{{"id":"{id}","type":"complete"}}')
        case {"type": "subscribe", "id": id, "payload": payload}:
            group = joined[id] = group_of(payload["operationName"], payload["variables"])
            _subscribers[group][send, id] = None
            await _send(send, dumps({"id": id, "type": "next", "payload": LIVE}))
        case {"type": "complete", "id": id}:
            _leave(send, id, joined)
        case _:
            raise ValueError(message)


def _leave(send: Send, id: str, joined: dict[str, str]) -> None:
    group = joined.pop(id)
    _subscribers[group].pop((send, id), None)
    if not _subscribers[group]:
        del _subscribers[group]


async def _send(send: Send, text: str) -> None:
    await send({"type": "websocket.send", "text": text})
