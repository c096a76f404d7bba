"""The client, with what only tests want to do."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from typing import Any

from channels_graphql_ws.client import client
from channels_graphql_ws.client.asked import Asked
from channels_graphql_ws.client.message_client import MessageClient
from channels_graphql_ws.client.router import interruptible_by
from channels_graphql_ws.client.to_await import SUBSCRIBE, to_await
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.testing.transport import GraphqlWsTransport
from channels_graphql_ws.websocket.subprotocols import SUBPROTOCOLS, Subprotocol


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
        *,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect and initialize.

        Args:
            connect_only: send no `connection_init`.
            payload: that of `connection_init`, in place of `connection_params`.
        """
        if payload is not None:
            self._connection_params = Asked("connection_params", payload)
        await self._connect()
        if connect_only:
            self._connected = True
        else:
            await self._initialize()

    async def send(
        self, *, msg_id: Any = MessageClient.AUTO, msg_type: str | None = None, payload: Any = None
    ) -> Any:
        """Send a message of any type, as the predecessor's client did.

        Args:
            msg_id: the id of the message; a new one, unless it is given. `None`: no id.
            msg_type: the type of the message.
            payload: its payload.

        Returns:
            The id.

        Raises:
            ValueError: the type is a word of the other subprotocol.
        """
        _check_word(msg_type, self._dialect)
        id = uuid.uuid4().hex if msg_id is self.AUTO else msg_id
        message = {"id": id, "type": msg_type, "payload": payload}
        await self._send({name: value for name, value in message.items() if value is not None})
        return id

    @to_await(SUBSCRIBE)
    async def subscribe(
        self,
        query: str,
        *,
        variables: Mapping[str, Any] | None = None,
        wait_confirmation: bool = True,
    ) -> Any:
        """Start a subscription and return its id when it is live, or refused.

        Args:
            query: the GraphQL document.
            variables: values of its variables.
            wait_confirmation: wait for the message which a server with
                `confirm_subscriptions` sends first, and take it.
        """
        transport = self._transport
        if wait_confirmation or not isinstance(transport, GraphqlWsTransport):
            return await super().subscribe(
                query, variables=variables, wait_confirmation=wait_confirmation
            )
        op_id = uuid.uuid4().hex
        expected = self._router.expect(op_id)
        try:
            await self._start(op_id, query, variables)
            if transport.observer.is_attached:
                async with self._limit(None, "the subscription to begin"):
                    await self._first_of(transport.observer.until_settled(op_id), expected.message)
        finally:
            self._router.forget(op_id, expected)
        return op_id

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
        """Return every message the server sends until it answers our ping.

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

    async def _first_of(self, settled: asyncio.Future[None], message: asyncio.Future[Any]) -> None:
        """Wait for one of two futures, of which a message resolves the second."""
        with contextlib.suppress(ConnectionClosedError):
            async with interruptible_by(settled):
                await self._wait(message)

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


def _check_word(word: str | None, dialect: Subprotocol) -> None:
    """Refuse a word that only the other subprotocol has.

    Raises:
        ValueError: it is one.
    """
    if word is None or word in dialect.decoders:
        return
    for other in SUBPROTOCOLS:
        if word in other.decoders:
            raise ValueError(
                f"{word!r} is a word of {other.name!r}, and this client speaks {dialect.name!r}: "
                f"make the transport and the client with `subprotocol={other.name!r}`"
            )
