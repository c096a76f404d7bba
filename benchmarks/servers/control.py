"""The door for the load generator: over HTTP it says what to broadcast, and when to collect."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from servers.events import Json, notifications

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_unawaited: set[asyncio.Future[Any]] = set()


class Broadcaster(Protocol):
    """How one package broadcasts: the three ways in which users call it."""

    async def awaited(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from a coroutine, and wait."""

    def unawaited(self, operation: str, group: str | None, payload: Json) -> Any:
        """Broadcast from a coroutine, and do not wait."""

    def from_sync_code(self, operation: str, group: str | None, payload: Json) -> None:
        """Broadcast from code that runs in a thread."""


class Control:
    """An ASGI application for HTTP that does what the load generator asks for."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self._broadcaster = broadcaster

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        order = json.loads(await body_of(receive))
        if order["action"] == "fire":
            await self._fire(order)
        else:
            gc.collect()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _fire(self, order: Json) -> None:
        match order["how"]:
            case "awaited":
                for group, payload in notifications(order):
                    await self._broadcaster.awaited(order["operation"], group, payload)
            case "unawaited":
                for group, payload in notifications(order):
                    pending = self._broadcaster.unawaited(order["operation"], group, payload)
                    if isinstance(pending, asyncio.Future):
                        _unawaited.add(pending)
                        pending.add_done_callback(_unawaited.discard)
            case _:
                await asyncio.to_thread(self._fire_from_sync_code, order)

    def _fire_from_sync_code(self, order: Json) -> None:
        for group, payload in notifications(order):
            self._broadcaster.from_sync_code(order["operation"], group, payload)


async def body_of(receive: Receive) -> bytes:
    """Read the body of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body
