"""`GraphqlWebsocketCommunicator`: many operations at once, their results as `graphql` has them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Self, TypeAlias

from graphql import ExecutionResult

from channels_graphql_ws.client.handshake import time_limit
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.client.transport import DEFAULT_SUBPROTOCOL
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.testing.client import GraphqlWsClient
from channels_graphql_ws.testing.results import Eager, GraphqlResults, attempt, execution_result
from channels_graphql_ws.testing.scopes import Headers, encoded
from channels_graphql_ws.testing.transport import GraphqlWsTransport

_Message: TypeAlias = dict[str, Any]

_NO_RESULT: Final = (
    "Was something broadcast to a group that `subscribe` has returned, after the subscription "
    "had begun, and did `publish` or `filter_event` not skip it?"
)
_NOT_BEGUN: Final = "Does the `subscribe` hook end, and is the channel layer reachable?"
_NO_ANSWER: Final = "Does the resolver end?"


class _Inbox:
    """What the application has said of one operation, until the test looks at it."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._messages: deque[_Message] = deque()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._messages) or self._failure is not None

    def put(self, message: _Message) -> None:
        """Add a message."""
        self._messages.append(message)
        self._wake()

    def put_back(self, message: _Message) -> None:
        """Return a message to its place before all others."""
        self._messages.appendleft(message)

    def fail(self, error: Exception) -> None:
        """Have an error raised behind the last message, however often one asks."""
        self._failure = self._failure or error
        self._wake()

    def filled(self) -> asyncio.Future[None]:
        """Return a future that is done when there is something to take."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self:
            self._wake()
        return self._waiter

    def take(self) -> _Message:
        """Return the oldest message, or raise the error."""
        if self._messages:
            return self._messages.popleft()
        assert self._failure is not None, "there is nothing to take"
        raise self._failure

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class GraphqlWebsocketCommunicator:
    """A WebSocket to an ASGI application in this process, which is opened by `async with`.

    Every wait ends with `TimeoutError` after `transport.TIMEOUT` seconds. An exception of
    the application surfaces in the test.

    Args:
        application: the ASGI application, for example `MyConsumer.as_asgi()`.
        path: path and query string.
        headers: of the handshake, see also `login_headers`.
        protocol: "graphql-transport-ws" or the legacy "graphql-ws".
        connection_params: payload of `connection_init`.
        communicator_kwds: `spec_version`, see `GraphqlWsTransport`.
    """

    def __init__(
        self,
        application: Any,
        path: str,
        headers: Headers = None,
        protocol: str = DEFAULT_SUBPROTOCOL,
        connection_params: Mapping[str, Any] | None = None,
        **communicator_kwds: Any,
    ) -> None:
        kwds = {**communicator_kwds, "headers": encoded(headers)}
        self.transport = GraphqlWsTransport(application, path, kwds, protocol)
        self._client = _Client(self.transport, protocol, connection_params=connection_params)
        self._inboxes: dict[Any, _Inbox] = {}
        self._reader: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def connection_ack_payload(self) -> Any:
        """What the server sent along with `connection_ack`, `None` if nothing."""
        return self._client.connection_ack_payload

    async def __aenter__(self) -> Self:
        """Connect and initialize."""
        await self.gql_init()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self.disconnect()

    async def gql_init(self) -> Any:
        """Connect, initialize, and return what came with the acknowledgement.

        Raises:
            ConnectionClosedError: the application refused; it has `code` and `reason`.
        """
        self._failure = None
        try:
            await self._client.connect_and_init()
        except BaseException:
            await self.disconnect()
            raise
        self._reader = begin_soon(self._read())
        return self.connection_ack_payload

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> ExecutionResult:
        """Execute a query or a mutation."""
        async with self._operation(query, variables, operation_name) as inbox:
            message = await self._next(inbox, "the result of the operation", _NO_ANSWER)
        result = self._result(message)
        if result is None:
            raise RemoteProtocolError("The operation was completed without a result")
        return result

    def subscribe(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        wait_confirmation: bool = False,
    ) -> GraphqlResults[ExecutionResult]:
        """Subscribe: `async for result in client.subscribe(…)`.

        Args:
            query: the GraphQL document.
            variables: values of its variables.
            operation_name: which operation of the document.
            wait_confirmation: the first result is the one that a server with
                `confirm_subscriptions` sends: wait for it, and drop it. An error is no
                confirmation, it is the first result. What is broadcast from the beginning
                of the iteration, or of an `async with`, arrives without it, too.
        """
        return GraphqlResults(self._results(query, variables, operation_name, wait_confirmation))

    async def disconnect(self) -> None:
        """Disconnect; harmless when that has happened already."""
        await self._stop_reading(ConnectionClosedError("The client has disconnected"))
        await self._client.finalize()

    async def wait_disconnect(
        self, timeout: float | None = None, assert_code: int | None = None
    ) -> dict[str, Any]:
        """Wait until the application closes; return the `code` and the `reason`.

        Raises:
            AssertionError: the code is not `assert_code`.
        """
        if self._reader is not None:
            seconds = self.transport.TIMEOUT if timeout is None else timeout
            await asyncio.wait({self._reader}, timeout=seconds)
        await self._stop_reading(ConnectionClosedError("The application has closed"))
        return await self._client.wait_disconnect(timeout, assert_code)

    async def _results(
        self,
        query: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        wait_confirmation: bool,  # noqa: FBT001 (internal)
    ) -> Eager[ExecutionResult]:
        async with self._operation(query, variables, operation_name, stop=True) as inbox:
            await (self._confirmed(inbox) if wait_confirmation else self._begun(inbox))
            yield None
            has_more = True
            while has_more:
                message = await attempt(
                    self._next(inbox, "a result of the subscription", _NO_RESULT)
                )
                if isinstance(message, BaseException):
                    yield message
                    continue
                if result := self._result(message):
                    yield result
                has_more = message.get("type") not in {"error", "complete"}

    @contextlib.asynccontextmanager
    async def _operation(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        stop: bool = False,
    ) -> AsyncGenerator[_Inbox]:
        """Start an operation; at the end forget it, and stop it if it has not ended."""
        if self._reader is None or self._failure is not None:
            raise self._failure or ConnectionClosedError("The client is not connected")
        id = uuid.uuid4().hex
        inbox = self._inboxes[id] = _Inbox(id)
        try:
            await self._client.start(
                query, variables=variables, operation_name=operation_name, msg_id=id
            )
            yield inbox
        finally:
            is_open = self._inboxes.pop(id, None) is not None
            if is_open and stop and self._failure is None:
                await self._client.complete(id)

    async def _begun(self, inbox: _Inbox) -> None:
        """Wait until a subscription is live, or the application has said something of it."""
        observer = self.transport.observer
        if not observer.is_attached:
            await self._fence()
            return
        waiting = {observer.until_settled(inbox.id), inbox.filled()}
        async with time_limit(self.transport.TIMEOUT, "the subscription to begin", _NOT_BEGUN):
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def _confirmed(self, inbox: _Inbox) -> None:
        """Take the confirmation of a subscription out of the inbox; leave an error there."""
        if self.transport.observer.is_attached:
            await self._begun(inbox)
            if not inbox:
                # What was said before has come when this is answered.
                await self._fence()
            if not inbox:
                raise AssertionError(
                    "The subscription is live, and the application has not confirmed it: set "
                    "`confirm_subscriptions` of the consumer, or leave `wait_confirmation` out"
                )
        message = await self._next(inbox, "the confirmation of a subscription", _NOT_BEGUN)
        result = self._result(message)
        if result is None or result.errors:
            inbox.put_back(message)

    async def _fence(self) -> None:
        """Wait until the application has looked at all that was sent so far."""
        if self._client.has_ping:
            id = uuid.uuid4().hex
            inbox = self._inboxes[id] = _Inbox(id)
            await self._client.ping(id)
            await self._next(inbox, "the application to answer a ping")
        else:
            await self.execute("{ __typename }")

    async def _next(self, inbox: _Inbox, waited_for: str, advice: str = "") -> _Message:
        async with time_limit(self.transport.TIMEOUT, waited_for, advice):
            await inbox.filled()
        return inbox.take()

    def _result(self, message: _Message) -> ExecutionResult | None:
        """Build the result that a message brings; `None` if it is the end."""
        payload: Any = message.get("payload")
        match message.get("type"):
            case "complete":
                return None
            case "error":
                # The legacy protocol has an object there.
                errors = payload if isinstance(payload, list) else payload["errors"]
                return execution_result({"errors": errors})
            case _:
                return execution_result(payload)

    async def _read(self) -> None:
        try:
            while True:
                self._sort_in(await self._client.any_message())
        except Exception as error:  # noqa: BLE001 (also those of the application)
            self._fail(error)

    def _sort_in(self, message: _Message) -> None:
        """Put a message where it is waited for; one that nobody waits for is dropped."""
        id, type = message.get("id"), message.get("type")
        if type == "pong":
            id = (message.get("payload") or {}).get("fence")
        ends = type in {"complete", "error", "pong"}
        inbox = self._inboxes.pop(id, None) if ends else self._inboxes.get(id)
        if inbox is not None:
            inbox.put(message)

    async def _stop_reading(self, error: Exception) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait({reader})
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        for inbox in self._inboxes.values():
            inbox.fail(error)


class _Client(GraphqlWsClient):
    """The client, which lets its messages be seen as they come."""

    @property
    def has_ping(self) -> bool:
        return self._dialect.has_ping

    async def any_message(self) -> _Message:
        with self._router.keeping_pongs():
            return await self._next_message()

    async def ping(self, fence: str) -> None:
        await self._send({"type": "ping", "payload": {"fence": fence}})
