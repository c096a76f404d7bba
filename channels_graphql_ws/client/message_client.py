"""The client of single messages: all that the predecessor's client could do."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import textwrap
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, ClassVar, Final, TypeAlias

from channels_graphql_ws.client.asked import Asked
from channels_graphql_ws.client.handshake import (
    ConnectionParams,
    connect,
    initialize,
    time_limit,
)
from channels_graphql_ws.client.home_loop import HomeLoop
from channels_graphql_ws.client.option_values import checked_mapping
from channels_graphql_ws.client.router import Mailbox, Reader, Router, log_dropped
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.client.to_await import ONE_RESULT, SUBSCRIBE, to_await
from channels_graphql_ws.client.transport import OPERATION_LOST, GraphqlWsTransport, pong_for
from channels_graphql_ws.client.variables import json_variables
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)
from channels_graphql_ws.websocket.subprotocols import Subprotocol

Message: TypeAlias = dict[str, Any]

_NO_ANSWER: Final = "The connection is open: does the server still work on it? See timeout"

_NO_ACK: Final = "It has accepted the socket: is it a GraphQL server, and does its hook end?"

_NO_CONFIRMATION: Final = (
    "Without confirm_subscriptions on the server there is none: pass wait_confirmation=False"
)


class MessageClient:
    """Sends and receives single messages over one connection, in either subprotocol.

    `receive()` returns the server's messages in order, except the answers that `execute()` and
    similar calls wait for; any number of those may run at once. Pings are answered when they
    are read. While no call waits, nothing is read and no task exists.

    Args:
        transport: the connection; the client opens it.
        offered: the dialects it speaks, the preferred one first.
        connection_params: payload of `connection_init`, for example a token; or a function
            or coroutine function without arguments that returns it.
    """

    AUTO: ClassVar[object] = object()

    def __init__(
        self,
        transport: GraphqlWsTransport,
        offered: tuple[Subprotocol, ...],
        connection_params: ConnectionParams | None,
    ) -> None:
        if connection_params is not None and not callable(connection_params):
            checked_mapping("connection_params", connection_params)
        self._transport = transport
        self._offered = offered
        self._connection_params = Asked("connection_params", connection_params)
        self._ack_payload: Any = None
        self._opened = False
        self._connected = False
        self._refusal: ConnectionClosedError | None = None
        self._id_prefix = f"{secrets.token_hex(3)}-"
        self._ids = count(1)
        self._router = Router(offered[0], self._id_prefix)
        self._reader = Reader(self._receive_message, self._route)
        self._tasks: set[asyncio.Task[None]] = set()
        self._home = HomeLoop()

    @property
    def transport(self) -> GraphqlWsTransport:
        """The connection that was given to the constructor, or made from its URL."""
        return self._transport

    @property
    def subprotocol(self) -> str:
        """The subprotocol which this client speaks."""
        return self._dialect.name

    async def connect_and_init(self) -> None:
        """Open the connection, send `connection_init`, wait for `connection_ack`.

        Raises:
            ConnectionClosedError: the server cannot be reached or refuses us; it
                has the close code of the server, if there was one.
            GraphqlWsTimeoutError: it does not answer.
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
            The id of the operation: `msg_id`, or a new one without it.
        """
        op_id = uuid.uuid4().hex if msg_id is self.AUTO else msg_id
        await self._start(op_id, query, variables, operation_name)
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
        """Return the payload of the next message that is not a ping, pong or `ka`.

        Args:
            wait_id: drop messages until one has this id.
            assert_id: any other id is a `RemoteProtocolError`.
            assert_type: any other type is a `RemoteProtocolError`.
            raw_response: return the whole message, not only its payload.
            timeout: seconds for the whole call; `math.inf` waits for ever.

        Raises:
            GraphqlWsResponseError: the message is an `error`, or has `errors`.
            GraphqlWsTimeoutError: no such message came.
            MessagesLostError: older messages were dropped, because they were too many.
        """
        waited_for = "a message" if wait_id is None else f"a message with id {wait_id!r}"
        async with self._limit(timeout, waited_for):
            message = await self._message_of(wait_id)
        if assert_id is not None and message.get("id") != assert_id:
            raise _unexpected(message, f"a message with id {assert_id!r}")
        return _checked(message, assert_type, raw_response=raw_response)

    async def receive_next(self, op_id: Any) -> Any:
        """Return the payload of the next message, which must be a result of `op_id`."""
        return await self.receive(assert_id=op_id, assert_type=self._dialect.next_type)

    async def receive_complete(self, op_id: Any) -> Any:
        """Receive the next message, which must be the `complete` of `op_id`."""
        return await self.receive(assert_id=op_id, assert_type="complete")

    @to_await(ONE_RESULT)
    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
    ) -> Any:
        """Run a query or mutation to its end and return the payload of its result.

        Messages of other operations that arrive meanwhile are kept for `receive()`.
        Cancelling this call stops the operation.

        Raises:
            GraphqlWsResponseError: the operation failed, completely or in parts.
            GraphqlWsTimeoutError: the server did not answer.
        """
        with self._claim() as claim:
            await self._start(claim.id, query, variables, operation_name)
            claim.is_running = True
            message = end = await self._answer(claim)
            if message.get("type") == self._dialect.next_type:
                # An `error` is the last word of an operation, a result with errors is not.
                end = await self._answer(claim)
            claim.is_running = end.get("type") == self._dialect.next_type
        payload = _checked(message, self._dialect.next_type)
        if claim.is_running:
            raise RemoteProtocolError(
                "The operation has more than one result, and execute() is for those with one: "
                f"use subscription() or subscribe(). The second result: {end!r}"
            )
        _checked(end, "complete")
        return payload

    @to_await(SUBSCRIBE)
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
                that arrive meanwhile are kept for `receive()`.
        """
        op_id = uuid.uuid4().hex
        if not wait_confirmation:
            await self._start(op_id, query, variables)
            return op_id
        expected = self._router.expect(op_id)
        try:
            await self._start(op_id, query, variables)
            async with self._limit(None, "the confirmation of a subscription", _NO_CONFIRMATION):
                await self._wait(expected.message)
        except BaseException:
            self._router.forget(op_id, expected)
            self._stop_soon(op_id)
            raise
        _checked(expected.message.result(), self._dialect.next_type)
        return op_id

    async def wait_response(
        self, response_checker: Callable[[Any], bool], timeout: float | None = None
    ) -> Any:
        """Receive until `response_checker` is true for a payload; return that.

        Args:
            response_checker: called with the payload of every message.
            timeout: seconds for all of it.
        """
        async with self._limit(timeout, "a response that passes the check"):
            while True:
                payload = await self.receive(timeout=math.inf)
                if response_checker(payload):
                    return payload

    async def wait_disconnect(self, timeout: float | None = None) -> Message:
        """Wait until the server closes.

        Returns:
            A dict with the `code` and the `reason` of the server.
        """
        if self._refusal is not None:
            return {
                "type": "websocket.close",
                "code": self._refusal.code,
                "reason": self._refusal.reason,
            }
        closed = await self._transport.wait_disconnect(timeout=timeout)
        self._opened = self._connected = False
        return closed

    async def finalize(self) -> None:
        """Close the connection; harmless when it is closed already.

        Raises:
            GraphqlWsClientError: it was opened on another event loop.
        """
        self._check_loop()
        opened = self._opened
        self._opened = self._connected = False
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        try:
            await asyncio.gather(*running, return_exceptions=True)
        finally:
            if opened:
                await self._transport.disconnect()

    @property
    def _dialect(self) -> Subprotocol:
        return self._router.dialect

    async def _connect(self) -> None:
        self._refusal = None
        self._router.dialect = await connect(self._transport, self._offered)
        self._home.settle()
        self._opened = True

    async def _initialize(self) -> None:
        try:
            params = await self._connection_params.value()
            async with self._limit(None, "connection_ack", _NO_ACK):
                self._ack_payload = await initialize(self._transport, self._dialect, params)
        except BaseException as error:
            await self._give_up(error)
            raise
        self._connected = True

    async def _give_up(self, error: BaseException) -> None:
        """Leave nothing open of a connection that was not acknowledged."""
        self._opened = False
        if isinstance(error, ConnectionClosedError):
            self._refusal = error
        with contextlib.suppress(Exception):
            await self._transport.disconnect()

    async def _start(
        self,
        op_id: Any,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> None:
        files: dict[str, Any] = {}
        payload = {
            "query": textwrap.dedent(query),
            "variables": json_variables(variables, files),
            "operationName": operation_name,
        }
        message = {"type": self._dialect.start_type, "id": op_id, "payload": payload}
        self._transport.refuse_files(files)
        if files:
            message["files"] = files
        await self._send(message)

    async def _send(self, message: Message) -> None:
        self._check_loop()
        await self._transport.send(message)

    def _check_loop(self) -> None:
        if self._opened:
            self._home.check()

    def _seconds(self, timeout: float | None) -> float:
        return self._transport.TIMEOUT if timeout is None else timeout

    def _limit(
        self, timeout: float | None, waited_for: str, advice: str = _NO_ANSWER
    ) -> AbstractAsyncContextManager[None]:
        return time_limit(self._seconds(timeout), waited_for, advice)

    async def _next_message(self) -> Message:
        """Return the next message that no operation waits for, and that is not a keep-alive."""
        return await self._take(self._router.unclaimed)

    async def _message_of(self, wait_id: Any) -> Message:
        """Return the next message, or the next with `wait_id` if that is not `None`."""
        if wait_id is None:
            return await self._next_message()
        while self._router.unclaimed:
            message = self._router.unclaimed.take()
            if message.get("id") == wait_id:
                return message
            log_dropped(message)
        expected = self._router.expect(wait_id, drops_others=True)
        try:
            await self._wait(expected.message)
        except BaseException:
            self._router.forget(wait_id, expected)
            raise
        return expected.message.result()

    async def _answer(self, claim: _Claim) -> Message:
        async with self._limit(None, "an answer of the server"):
            return await self._take(claim.messages)

    async def _take(self, mailbox: Mailbox) -> Message:
        while not mailbox:
            await self._wait(mailbox.waiter())
        return mailbox.take()

    async def _wait(self, waiter: asyncio.Future[Any]) -> None:
        """Wait for a future that a message resolves."""
        self._check_loop()
        await self._reader.wait(waiter)

    async def _receive_message(self) -> Message:
        try:
            return await self._transport.receive(timeout=math.inf)
        except ConnectionClosedError:
            self._connected = False
            raise

    def _route(self, message: Message) -> Awaitable[None] | None:
        if message.get("type") == "ping" and self._dialect.has_ping:
            return self._pong(message)
        self._router.deliver(message)
        return None

    async def _pong(self, ping: Message) -> None:
        # What the server said before it closed is still to be read.
        with contextlib.suppress(ConnectionClosedError):
            await self._send(pong_for(ping))

    @contextlib.contextmanager
    def _claim(self) -> Generator[_Claim]:
        """Keep the messages of an operation from `receive()`; stop it if it is left running."""
        claim = _Claim(self._new_id())
        self._router.claims[claim.id] = claim.messages
        try:
            yield claim
        finally:
            del self._router.claims[claim.id]
            if claim.is_running:
                self._stop_soon(claim.id)

    def _new_id(self) -> str:
        return f"{self._id_prefix}{next(self._ids)}"

    def _stop_soon(self, op_id: str) -> asyncio.Task[None]:
        """Let the server know that nobody wants an operation any more."""
        if not op_id.startswith(self._id_prefix):
            self._router.abandoned.add(op_id)
        return self._spawn(self._stop(op_id))

    async def _stop(self, op_id: str) -> None:
        with contextlib.suppress(ConnectionClosedError, TimeoutError):
            await self._send({"type": self._dialect.stop_type, "id": op_id})

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = begin_soon(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Claim:
    """An operation whose messages one call waits for.

    Attributes:
        is_running: whether the server works on it.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.messages = Mailbox()
        self.is_running = False


def _checked(message: Message, type: str | None, *, raw_response: bool = False) -> Any:
    """Return the payload of a message, or all of it.

    Raises:
        GraphqlWsResponseError: it is an `error`, or has `errors`.
        RemoteProtocolError: it is of another type.
    """
    if message.get("type") is OPERATION_LOST:
        raise message["error"]
    if _has_failed(message):
        raise GraphqlWsResponseError(message)
    if type is not None and message.get("type") != type:
        raise _unexpected(message, f"a message of type {type!r}")
    return message if raw_response else message.get("payload")


def _has_failed(message: Message) -> bool:
    payload = message.get("payload")
    has_errors = isinstance(payload, Mapping) and bool(payload.get("errors"))
    return has_errors or message.get("type") == "error"


def _unexpected(message: Message, expected: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"Expected {expected}, the server sent {message!r}")
