"""`GraphqlWsClient`: run queries and subscriptions against a WebSocket server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import textwrap
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, cast

from channels_graphql_ws.client.transport import DEFAULT_SUBPROTOCOL, GraphqlWsTransport, pong_for
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)
from channels_graphql_ws.websocket.subprotocols import SUBPROTOCOLS

_LOG = logging.getLogger("channels_graphql_ws.client")

__all__ = ["GraphqlWsClient", "GraphqlWsResponseError"]


_DIALECTS: Final = {dialect.name: dialect for dialect in SUBPROTOCOLS}


class GraphqlWsClient:
    """A GraphQL client over one connection, in either subprotocol.

    Everything the server says comes out of `receive()`, in its order; the other
    methods are built on it. So one task at a time may wait for messages. Pings of
    the server are answered when they are read. Every wait ends with `TimeoutError`
    after `transport.TIMEOUT` seconds, where no other time is given.

    Errors: `ConnectionClosedError` when the connection is lost or was never there,
    `RemoteProtocolError` when the server says something that has no place there,
    `GraphqlWsResponseError` when an operation failed.

    Args:
        transport: the connection; the client opens it.
        subprotocol: "graphql-transport-ws" or the legacy "graphql-ws".
        connection_params: payload of `connection_init`, for example a token.
    """

    AUTO: ClassVar[object] = object()

    def __init__(
        self,
        transport: GraphqlWsTransport,
        subprotocol: str = DEFAULT_SUBPROTOCOL,
        *,
        connection_params: Mapping[str, Any] | None = None,
    ) -> None:
        _require_transport(transport)
        if subprotocol not in _DIALECTS:
            known = " or ".join(repr(name) for name in _DIALECTS)
            raise ValueError(f"The subprotocol must be {known}, not {subprotocol!r}")
        self._transport = transport
        self._subprotocol = subprotocol
        self._dialect = _DIALECTS[subprotocol]
        self._connection_params = connection_params
        self._ack_payload: Any = None
        self._opened = False
        self._connected = False

    @property
    def transport(self) -> GraphqlWsTransport:
        """The connection that was given to the constructor."""
        return self._transport

    @property
    def subprotocol(self) -> str:
        """The subprotocol which this client speaks."""
        return self._subprotocol

    @property
    def connected(self) -> bool:
        """Whether the server has acknowledged us and nobody has closed since."""
        return self._connected

    @property
    def connection_ack_payload(self) -> Any:
        """What the server sent along with `connection_ack`, `None` if nothing."""
        return self._ack_payload

    async def connect_and_init(self) -> None:
        """Open the connection, send `connection_init`, wait for `connection_ack`.

        Raises:
            ConnectionClosedError: the server can not be reached or refuses us; it
                has the close code of the server, if there was one.
        """
        await self._connect()
        await self._initialize()

    async def start(
        self,
        query: str,
        *,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        msg_id: Any = AUTO,
    ) -> Any:
        """Start an operation and do not wait for anything.

        Returns:
            The id of the operation: `msg_id`, or a new one if there is none.
        """
        op_id = uuid.uuid4().hex if msg_id is self.AUTO else msg_id
        payload = {
            "query": textwrap.dedent(query),
            "variables": dict(variables or {}),
            "operationName": operation_name,
        }
        await self._send({"type": self._dialect.start_type, "id": op_id, "payload": payload})
        return op_id

    async def complete(self, op_id: Any) -> None:
        """Ask the server to stop an operation."""
        await self._send({"type": self._dialect.stop_type, "id": op_id})

    async def receive(
        self,
        *,
        wait_id: Any = None,
        assert_id: Any = None,
        assert_type: str | None = None,
        raw_response: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Return the payload of the next message that is no ping, pong or `ka`.

        Args:
            wait_id: drop messages until one has this id.
            assert_id: any other id is a `RemoteProtocolError`.
            assert_type: any other type is a `RemoteProtocolError`.
            raw_response: return the whole message, not only its payload.
            timeout: seconds for the whole call; `math.inf` waits for ever.

        Raises:
            GraphqlWsResponseError: the message is an `error`, or has `errors`.
        """
        async with asyncio.timeout(self._seconds(timeout)):
            message = await self._message_of(wait_id, timeout)
        if assert_id is not None and message.get("id") != assert_id:
            raise _unexpected(message, f"a message with id {assert_id!r}")
        if _has_failed(message):
            raise GraphqlWsResponseError(message)
        if assert_type is not None and message.get("type") != assert_type:
            raise _unexpected(message, f"a message of type {assert_type!r}")
        return message if raw_response else message.get("payload")

    async def receive_next(self, op_id: Any) -> Any:
        """Return the payload of the next message, which must be a result of `op_id`."""
        return await self.receive(assert_id=op_id, assert_type=self._dialect.next_type)

    async def receive_complete(self, op_id: Any) -> Any:
        """Receive the next message, which must be the `complete` of `op_id`."""
        return await self.receive(assert_id=op_id, assert_type="complete")

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
    ) -> Any:
        """Run a query or mutation to its end and return the payload of its result.

        Messages of other operations that arrive meanwhile are dropped (and logged
        with level INFO). Use another client beside a subscription of which every
        event counts, or `start()` and `receive()`.

        Raises:
            GraphqlWsResponseError: the operation failed, completely or in parts.
        """
        op_id = await self.start(query, variables=variables, operation_name=operation_name)
        try:
            payload = await self.receive(wait_id=op_id, assert_type=self._dialect.next_type)
        except GraphqlWsResponseError as error:
            # An `error` is the last word of an operation, a result with errors is not.
            if error.response["type"] != "error":
                await self.receive(wait_id=op_id, assert_type="complete")
            raise
        await self.receive(wait_id=op_id, assert_type="complete")
        return payload

    async def subscribe(
        self,
        query: str,
        *,
        variables: Mapping[str, Any] | None = None,
        wait_confirmation: bool = True,
    ) -> Any:
        """Start a subscription and return its id.

        Args:
            query: the GraphQL document.
            variables: values of its variables.
            wait_confirmation: wait for the message which a server with
                `confirm_subscriptions` sends first; messages of other operations
                that arrive meanwhile are dropped, as in `execute()`.
        """
        op_id = await self.start(query, variables=variables)
        if wait_confirmation:
            await self.receive(wait_id=op_id, assert_type=self._dialect.next_type)
        return op_id

    async def wait_response(
        self, response_checker: Callable[[Any], bool], timeout: float | None = None
    ) -> Any:
        """Receive until `response_checker` is true for a payload; return that.

        Args:
            response_checker: called with the payload of every message.
            timeout: seconds for all of it.
        """
        async with asyncio.timeout(self._seconds(timeout)):
            while True:
                payload = await self.receive(timeout=timeout)
                if response_checker(payload):
                    return payload

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the server closes.

        Returns:
            A dict with the `code` and the `reason` of the server.
        """
        closed = await self._transport.wait_disconnect(timeout=timeout)
        self._opened = self._connected = False
        return closed

    async def finalize(self) -> None:
        """Close the connection; harmless when it is closed already."""
        opened = self._opened
        self._opened = self._connected = False
        if opened:
            await self._transport.disconnect()

    async def _connect(self) -> None:
        connect = cast("Callable[..., Awaitable[None]]", self._transport.connect)
        if "subprotocol" in inspect.signature(connect).parameters:
            await connect(subprotocol=self._subprotocol)
        else:
            await connect()
        self._opened = True

    async def _initialize(self) -> None:
        init: dict[str, Any] = {"type": "connection_init"}
        if self._connection_params is not None:
            init["payload"] = dict(self._connection_params)
        await self._send(init)
        async with asyncio.timeout(self._seconds(None)):
            message = await self._next_message()
        if message.get("type") == "connection_error":
            raise ConnectionClosedError(
                f"The server refused the connection: {message.get('payload')}"
            )
        if message.get("type") != "connection_ack":
            raise _unexpected(message, "'connection_ack'")
        self._ack_payload = message.get("payload")
        self._connected = True

    def _seconds(self, timeout: float | None) -> float:
        return self._transport.TIMEOUT if timeout is None else timeout

    async def _send(self, message: dict[str, Any]) -> None:
        await self._transport.send(message)

    async def _message_of(self, wait_id: Any, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message, or the next with `wait_id` if that is not `None`."""
        while True:
            message = await self._next_message(timeout)
            if wait_id is None or message.get("id") == wait_id:
                return message
            _LOG.info(
                "Dropped a message of type %r and id %r while waiting for id %r",
                message.get("type"),
                message.get("id"),
                wait_id,
            )

    async def _next_message(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message that is not there to keep the connection alive."""
        while True:
            message = await self._any_message(timeout)
            if message.get("type") not in self._dialect.keep_alive_types:
                return message

    async def _any_message(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message; if it is a ping, it is answered."""
        try:
            message = await self._transport.receive(timeout=timeout)
        except ConnectionClosedError:
            self._connected = False
            raise
        if message.get("type") == "ping" and self._dialect.has_ping:
            # What the server said before it closed is still to be read.
            with contextlib.suppress(ConnectionClosedError):
                await self._send(pong_for(message))
        return message


def _require_transport(transport: object) -> None:
    if not isinstance(transport, GraphqlWsTransport):
        raise TypeError(f"The transport must be a GraphqlWsTransport, not {transport!r}")


def _has_failed(message: Mapping[str, Any]) -> bool:
    payload = message.get("payload")
    has_errors = isinstance(payload, Mapping) and bool(payload.get("errors"))
    return has_errors or message.get("type") == "error"


def _unexpected(message: Mapping[str, Any], expected: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"Expected {expected}, the server sent {message!r}")
