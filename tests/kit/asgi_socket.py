"""The server's end of a WebSocket in the hands of a test: every ASGI call can go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from support import GUARD, wait_until

NEW, LEGACY = "graphql-transport-ws", "graphql-ws"

Event = dict[str, Any]


class AsgiSocket:
    """Runs an ASGI application for one connection.

    Args:
        application: the ASGI application.
        subprotocols: what the client offers.
        scope: more keys for the scope of the connection.
        on_send: is awaited before an event of the application counts as sent.
    """

    def __init__(
        self,
        application: Any,
        *subprotocols: str | bytes,
        scope: dict[str, Any] | None = None,
        on_send: Callable[[Event], Awaitable[None]] | None = None,
    ) -> None:
        self.sent: list[Event] = []
        self.subprotocol = subprotocols[0] if subprotocols else NEW
        self._incoming: asyncio.Queue[Event] = asyncio.Queue()
        self._on_send = on_send
        whole_scope = {
            "type": "websocket",
            "path": "/graphql/",
            "headers": [],
            "subprotocols": list(subprotocols or (NEW,)),
            **(scope or {}),
        }
        self._incoming.put_nowait({"type": "websocket.connect"})
        self.task: asyncio.Task[None] = asyncio.create_task(
            application(whole_scope, self._incoming.get, self._send)
        )

    async def _send(self, event: Event) -> None:
        if self._on_send is not None:
            await self._on_send(event)
        self.sent.append(event)
        if event["type"] == "websocket.close":
            code = event.get("code", 1006)
            self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def frames(self) -> list[Any]:
        """The messages that were sent."""
        return [json.loads(event["text"]) for event in self.sent if "text" in event]

    @property
    def words(self) -> list[str]:
        """What was said, in short: `connection_ack`, `next:1`, `complete:1`."""
        pairs = ((frame["type"], frame.get("id")) for frame in self.frames)
        return [type if id is None else f"{type}:{id}" for type, id in pairs]

    @property
    def closes(self) -> list[tuple[int, str]]:
        """Codes and reasons of the closes that were sent."""
        closes = [event for event in self.sent if event["type"] == "websocket.close"]
        return [(event["code"], event.get("reason", "")) for event in closes]

    async def heard(self, *words: str) -> None:
        """Wait until the last of what was said is `words`."""
        await wait_until(lambda: self.words[-len(words) :] == list(words) or self.task.done())
        assert self.words[-len(words) :] == list(words), self.sent

    def results(self, id: str) -> list[Any]:
        """The payloads of what was sent for an operation."""
        return [frame.get("payload") for frame in self.frames if frame.get("id") == id]

    def say(self, type: str, **more: Any) -> None:
        """Send a message."""
        self.say_text(json.dumps({"type": type, **more}))

    def say_text(self, text: str) -> None:
        """Send any text frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    def init(self, **more: Any) -> None:
        """Send `connection_init`."""
        self.say("connection_init", **more)

    async def acknowledged(self, **more: Any) -> None:
        """Send `connection_init`, and wait for the answer."""
        self.init(**more)
        await self.heard("connection_ack")

    def start(self, id: str, query: str, **payload: Any) -> None:
        """Start an operation."""
        word = "start" if self.subprotocol == LEGACY else "subscribe"
        self.say(word, id=id, payload={"query": query, **payload})

    def stop(self, id: str) -> None:
        """Stop an operation."""
        self.say("stop" if self.subprotocol == LEGACY else "complete", id=id)

    def hang_up(self, code: int | None = 1006) -> None:
        """Let the server notice that the client has gone."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def drop(self, code: int | None = 1006) -> None:
        """Hang up, and wait until the application has ended; raise what it raises."""
        self.hang_up(code)
        await self.ended()

    async def ended(self) -> None:
        """Wait until the application has ended; raise what it raises."""
        await asyncio.wait_for(self.task, GUARD)
