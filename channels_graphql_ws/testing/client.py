"""The client, with what only tests want to do."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from typing import Any

from channels_graphql_ws.client import client
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.testing.transport import GraphqlWsTransport


class GraphqlWsClient(client.GraphqlWsClient):
    """The client, with what only tests want to do.

    A connection that is not acknowledged stays open until `finalize()`, so that a test sees
    how the application ends.
    """

    RECEIVE_NOTHING_ATTEMPTS = 10
    RECEIVE_NOTHING_INTERVAL = 0.1

    async def connect_and_init(
        self,
        connect_only: bool = False,  # noqa: FBT001, FBT002 (may be given by position)
    ) -> None:
        """Connect and initialize; with `connect_only`, send no `connection_init`."""
        await self._connect()
        if connect_only:
            self._connected = True
        else:
            await self._initialize()

    async def send_raw_message(self, message: Mapping[str, Any]) -> None:
        """Send a message as it is, right or wrong."""
        await self._send(dict(message))

    async def send_raw_text(self, text: str) -> None:
        """Send a text frame as it is, JSON or not."""
        await self._in_process().send_text(text)

    async def send_raw_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        await self._in_process().send_bytes(data)

    async def assert_no_messages(
        self,
        error_message: str | None = None,
        attempts: int | None = None,
        interval: float | None = None,
    ) -> None:
        """Fail if a message arrives within `attempts` times `interval` seconds.

        Pings, pongs and `ka` do not count; a closed connection is silent. `settle()`
        proves the same without waiting.

        Raises:
            AssertionError: with `error_message` and the message.
        """
        if attempts is None:
            attempts = self.RECEIVE_NOTHING_ATTEMPTS
        if interval is None:
            interval = self.RECEIVE_NOTHING_INTERVAL
        with contextlib.suppress(TimeoutError, ConnectionClosedError):
            async with asyncio.timeout(attempts * interval):
                message = await self._next_message()
            text = error_message or "A message arrived where none was expected"
            raise AssertionError(f"{text}\n{message}")

    async def settle(self) -> list[dict[str, Any]]:
        """Return every message the server sends until it answers a question of ours.

        The question is a ping, in `graphql-ws` a trivial query; the answer itself,
        pings, pongs and `ka` are not in the list. `await client.settle() == []`
        proves silence without sleeping, as far as the server answers in order.

        Raises:
            TimeoutError: no answer within `transport.TIMEOUT` seconds.
        """
        fence = uuid.uuid4().hex
        async with self._limit(None, "the server to answer what was sent to it before"):
            if self._dialect.has_ping:
                return await self._until_pong({"settle": fence})
            return await self._until_complete(fence)

    async def receive_error(self, msg_id: Any) -> tuple[Any, Any]:
        """Receive the message which says that an operation failed.

        Messages of other operations that come before are dropped.

        Returns:
            The errors and the data: of an `error` of `graphql-transport-ws` its
            payload and `None`, of a `data` of `graphql-ws` both from its payload.
        """
        async with self._limit(None, f"an error of the operation {msg_id!r}"):
            message = await self._message_of(msg_id)
        payload = message.get("payload")
        match message.get("type"):
            case "error" if self._dialect.has_ping:
                return payload, None
            case "data" if not self._dialect.has_ping and payload and "errors" in payload:
                return payload["errors"], payload.get("data")
            case _:
                raise RemoteProtocolError(f"Expected an error, the server sent {message!r}")

    async def wait_disconnect(
        self, timeout: float | None = None, assert_code: int | None = None
    ) -> dict[str, Any]:
        """Wait until the server closes, and check the code if there is one to check.

        Raises:
            AssertionError: the code is not `assert_code`.
        """
        closed = await super().wait_disconnect(timeout)
        if assert_code is not None and closed.get("code") != assert_code:
            raise AssertionError(f"Expected close code {assert_code}, the server sent {closed!r}")
        return closed

    async def _give_up(self, error: BaseException) -> None:
        """Leave the connection open: the test may want to see how the application ends."""

    def _in_process(self) -> GraphqlWsTransport:
        if not isinstance(self._transport, GraphqlWsTransport):
            raise TypeError("Raw frames need the transport of channels_graphql_ws.testing")
        return self._transport

    async def _until_pong(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = []
        with self._router.keeping_pongs():
            await self._send({"type": "ping", "payload": payload})
            while True:
                message = await self._next_message()
                if message.get("type") != "pong":
                    received.append(message)
                elif message.get("payload") == payload:
                    return received

    async def _until_complete(self, fence: str) -> list[dict[str, Any]]:
        await self.start("{ __typename }", msg_id=fence)
        received: list[dict[str, Any]] = []
        while True:
            message = await self._next_message()
            if message.get("id") != fence:
                received.append(message)
            elif message.get("type") in {"complete", "error"}:
                return received
