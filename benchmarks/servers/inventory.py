"""What a server process holds: told over HTTP to whoever looks for leaks."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from channels_graphql_ws.pubsub import hub

WATCHED = ("asyncio", "_asyncio", "channels", "graphql.execution", "servers", "uvicorn", "uvloop")
MOST_RECORDS = 100

Asgi: TypeAlias = Callable[
    [
        dict[str, Any],
        Callable[[], Awaitable[dict[str, Any]]],
        Callable[[dict[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


class Records(logging.Handler):
    """The first log records of a level from warnings on, as text.

    Attributes:
        texts: the records.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record while there is room."""
        if len(self.texts) < MOST_RECORDS:
            self.texts.append(f"{record.levelname} {record.name}: {self.format(record)}")


def process_inventory(layer: Any, records: Records) -> dict[str, Any]:
    """Collect garbage, and count what is alive in this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "objects": _alive(),
        "tasks": len(asyncio.all_tasks()),
        "hub": hub.hub_of(layer).counts(),
        "records": records.texts,
        "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


def answering(content: Callable[[], dict[str, Any]]) -> Asgi:
    """Return an ASGI application that answers every HTTP request with what `content` returns."""

    async def application(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        await respond(send, content())

    return application


async def respond(send: Callable[[dict[str, Any]], Awaitable[None]], content: object) -> None:
    """Answer an HTTP request with JSON."""
    body = json.dumps(content).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _alive() -> dict[str, int]:
    """Count the objects of the classes that belong to connections, tasks and timers."""
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    watched = Counter(name for name in names if name.startswith(WATCHED) or "coroutine" in name)
    return dict(watched)
