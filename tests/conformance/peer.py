"""The other end: a client that says what it is told to, and shows messages as they are."""

from __future__ import annotations

import asyncio
from typing import Any

from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport

NEW = "graphql-transport-ws"
LEGACY = "graphql-ws"

BRACKETS = "[" * 20_000_000
"""Twenty million of them, never closed."""


class Peer(GraphqlWsClient):
    """A client in either dialect.

    Attributes:
        sent: every event of the application so far, those after a close included.
    """

    def __init__(self, consumer: type[GraphqlWsConsumer], subprotocol: str) -> None:
        self.sent: list[dict[str, Any]] = []
        application = self._recording(consumer.as_asgi())
        transport = GraphqlWsTransport(application, "graphql/", subprotocol=subprotocol)
        super().__init__(transport, subprotocol)
        self.is_new = subprotocol == NEW
        self.result = "next" if self.is_new else "data"
        self.start_word = "subscribe" if self.is_new else "start"
        self.stop_word = "complete" if self.is_new else "stop"

    async def say(self, type: str, **rest: Any) -> None:
        """Send a message as it is."""
        await self.send_raw_message({"type": type, **rest})

    async def ask(self, id: Any, query: str, **payload: Any) -> None:
        """Start an operation."""
        await self.say(self.start_word, id=id, payload={"query": query, **payload})

    async def stop(self, id: Any) -> None:
        """Send a `complete` or `stop`."""
        await self.say(self.stop_word, id=id)

    async def heard(self) -> dict[str, Any]:
        """The next message of the server, whatever it is."""
        return await self.transport.receive()

    async def hear(self, count: int) -> list[dict[str, Any]]:
        """The next messages of the server."""
        return [await self.heard() for _ in range(count)]

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close, which must be the next that the server does."""
        event = await self.wait_disconnect()
        return event["code"], event["reason"]

    async def lives(self) -> bool:
        """Tell if the connection answers and has nothing else to say."""
        return await self.settle() == []

    def _recording(self, application: Any) -> Any:
        async def recording(scope: Any, receive: Any, send: Any) -> None:
            async def recorded(event: dict[str, Any]) -> None:
                self.sent.append(event)
                await send(event)

            await application(scope, receive, recorded)

        return recording

    def next(self, id: Any, data: Any, **rest: Any) -> dict[str, Any]:
        return {"type": self.result, "id": id, "payload": {"data": data, **rest}}

    def refused(self, id: Any, *errors: dict[str, Any]) -> list[dict[str, Any]]:
        """How the dialect says that a document cannot be executed."""
        if self.is_new:
            return [{"type": "error", "id": id, "payload": list(errors)}]
        return [self.next(id, None, errors=list(errors)), complete(id)]


def complete(id: Any) -> dict[str, Any]:
    """The end of an operation."""
    return {"type": "complete", "id": id}


class Peers:
    """Makes clients, and lets go of them at the end."""

    def __init__(self, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self._all: list[Peer] = []

    async def connect(
        self, consumer: type[GraphqlWsConsumer], *, init: bool = True, subprotocol: str = ""
    ) -> Peer:
        """A client that is connected and, with `init`, acknowledged."""
        peer = Peer(consumer, subprotocol or self.subprotocol)
        self._all.append(peer)
        await peer.connect_and_init(connect_only=not init)
        return peer

    async def leave(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(peer.finalize() for peer in self._all))
