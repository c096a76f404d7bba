"""`GraphqlWsClient`: queries, mutations and subscriptions over one connection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp, Headers, Url
from channels_graphql_ws.client.documents import Document
from channels_graphql_ws.client.errors import GraphqlOperationError, GraphqlWsTimeoutError
from channels_graphql_ws.client.handshake import DIALECTS, ConnectionParams
from channels_graphql_ws.client.http_transport import GraphqlHttpTransport
from channels_graphql_ws.client.keyword_errors import explains_keywords
from channels_graphql_ws.client.listeners import ConnectionState, Listener, Listeners
from channels_graphql_ws.client.message_client import MessageClient
from channels_graphql_ws.client.open_connection import OpenConnection
from channels_graphql_ws.client.operations import (
    Carrier,
    LiveSubscription,
    OperationRequest,
    SingleResult,
)
from channels_graphql_ws.client.option_values import (
    check_queue_limit,
    check_seconds,
    checked_fields,
    checked_mapping,
)
from channels_graphql_ws.client.results import GraphqlResult, result_of
from channels_graphql_ws.client.retry import Retry
from channels_graphql_ws.client.session import Session, SessionSettings
from channels_graphql_ws.client.subscriptions import ClientSubscription
from channels_graphql_ws.client.to_await import ONE_RESULT, to_await
from channels_graphql_ws.client.transport import DEFAULT_SUBPROTOCOL, GraphqlWsTransport
from channels_graphql_ws.client.typed import root_converter
from channels_graphql_ws.exceptions import GraphqlWsResponseError
from channels_graphql_ws.websocket.subprotocols import Subprotocol

__all__ = ["GraphqlWsClient", "GraphqlWsResponseError"]

Data = TypeVar("Data")


class GraphqlWsClient(MessageClient):
    """A GraphQL client for any server: any number of operations over one connection.

    `async with` opens and closes it: the connection is made when the first operation needs it,
    and made anew when it was lost; subscriptions go on, from where they stood if the server
    keeps a history. Pings are always answered, however many results wait.

    The methods that send and receive single messages (`connect_and_init`, `execute`,
    `subscribe`, `receive` and so on) are those of the predecessor. They do not reconnect.

    Args:
        transport: the URL of the server, or what connects to it. A function or coroutine
            function that returns the URL is called for each attempt.
        subprotocol: "graphql-transport-ws" or the legacy "graphql-ws".
        connection_params: payload of `connection_init`, for example a token; or a function
            or coroutine function without arguments that returns it, at each attempt.
        headers: of the handshake, if a URL is given; or a function as before.
        cookies: likewise.
        subprotocols: all that may be spoken, the preferred one first; the server chooses. By
            default both if a URL is given, else `subprotocol`.
        retry: how to try again; `NEVER` for not at all.
        lazy: connect when an operation needs it; `False` connects in `async with` and
            reconnects at once.
        close_when_idle: seconds after which a connection without operations is closed;
            `None`: when the client is closed.
        connect_timeout: seconds that one attempt to open the socket may take.
        ack_timeout: seconds that the server may take for `connection_ack`.
        keep_alive: seconds of silence after which the server is pinged; `None`: never.
        pong_timeout: seconds after a ping in which the server must say something.
        answer_pings: `False` leaves the server's pings to a listener of the event "ping".
        queue_limit: events that may wait for each subscription. The oldest gives way, and
            the event behind it says so: see `SubscriptionEvent.gap`.
        on: listeners by the type of the event, see `on()`.

    Errors: `GraphqlOperationError` when an operation failed, `ConnectionClosedError` when the
    connection is lost or cannot be made, `GraphqlWsTimeoutError` when something takes too long,
    `RemoteProtocolError` when the server sends something unexpected.
    """

    @explains_keywords
    def __init__(  # noqa: PLR0913 (independent options, all but two by keyword)
        self,
        transport: GraphqlWsTransport | Url,
        subprotocol: str = DEFAULT_SUBPROTOCOL,
        *,
        connection_params: ConnectionParams | None = None,
        headers: Headers | None = None,
        cookies: Headers | None = None,
        subprotocols: Sequence[str] | None = None,
        retry: Retry | None = None,
        lazy: bool = True,
        close_when_idle: float | None = None,
        connect_timeout: float = 30.0,
        ack_timeout: float = 10.0,
        keep_alive: float | None = 25.0,
        pong_timeout: float = 10.0,
        answer_pings: bool = True,
        queue_limit: int = 1024,
        on: Mapping[str, Listener] | None = None,
    ) -> None:
        check_seconds(or_none=False, pong_timeout=pong_timeout)
        check_seconds(
            or_none=True,
            close_when_idle=close_when_idle,
            connect_timeout=connect_timeout,
            ack_timeout=ack_timeout,
            keep_alive=keep_alive,
        )
        check_queue_limit(queue_limit)
        _check_retry(retry)
        is_url = not isinstance(transport, GraphqlWsTransport)
        made = _transport_for(transport, headers, cookies)
        if connection_params is not None and not made.has_connection:
            raise TypeError("There are no connection_params over HTTP: send headers or cookies")
        offered = _dialects(subprotocol, subprotocols, is_url=is_url)
        super().__init__(made, offered, connection_params)
        self._queue_limit = queue_limit
        self._listeners = Listeners()
        self._session = Session(
            made,
            self._router,
            self._listeners,
            SessionSettings(
                offered=offered,
                connection_params=connection_params,
                retry=retry or Retry(),
                lazy=lazy,
                close_when_idle=close_when_idle,
                connect_timeout=connect_timeout,
                ack_timeout=ack_timeout,
                keep_alive=keep_alive,
                pong_timeout=pong_timeout,
                answer_pings=answer_pings,
            ),
        )
        for type, listener in checked_mapping("on", on or {}).items():
            self.on(type, listener)
        self._is_lazy = lazy
        self._is_entered = False
        self._open_connection = OpenConnection(
            made, self._router, self._reader, self._send, self._stop_soon
        )

    if not TYPE_CHECKING:  # pragma: no branch (type checkers alone skip it)

        def __enter__(self) -> NoReturn:
            """Say what to write in place of `with`."""
            raise TypeError(
                "Write `async with GraphqlWsClient(…)`; without an event loop, "
                "`with GraphqlWsClientSync(…)`"
            )

        __exit__ = __enter__

    async def __aenter__(self) -> Self:
        """Connect, unless that is left to the first operation."""
        self._is_entered = True
        if not self._is_lazy:
            await self._session.ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.finalize()

    @property
    def state(self) -> ConnectionState:
        """Where the client stands with its server."""
        return ConnectionState.ACKNOWLEDGED if self._connected else self._session.state

    @property
    def connection_ack_payload(self) -> Any:
        """What the server sent along with `connection_ack`, `None` if nothing."""
        return self._session.ack_payload if self._uses_session else self._ack_payload

    @property
    def connected(self) -> bool:
        """Whether the server has acknowledged us and nobody has closed since."""
        return self.state is ConnectionState.ACKNOWLEDGED

    async def connect_and_init(self) -> None:
        """Open the connection, send `connection_init`, wait for `connection_ack`.

        In `async with` this waits until the client is connected, however often it has to try.

        Raises:
            ConnectionClosedError: the server cannot be reached or refuses us; it
                has the close code of the server, if there was one.
            GraphqlWsTimeoutError: it does not answer.
        """
        if self._uses_session:
            await self._session.ready()
        else:
            await super().connect_and_init()

    @overload
    async def query(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        replay: bool | None = None,
        into: None = None,
    ) -> Any: ...

    @overload
    async def query(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        replay: bool | None = None,
        into: type[Data],
    ) -> Data: ...

    @to_await(ONE_RESULT)
    async def query(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        replay: bool | None = None,
        into: Any = None,
    ) -> Any:
        """Run a query or a mutation and return its data.

        Cancelling this call stops the operation.

        Args:
            document: text, or a `graphql.DocumentNode`.
            variables: values of its variables, of any type that `json_variables` knows.
            operation_name: needed if the document has several operations.
            extensions: sent along.
            timeout: seconds for all of it, reconnecting included; `None` for the `TIMEOUT` of
                the transport, `math.inf` waits for ever.
            replay: send it again if the connection was lost before the answer came. By default
                queries are, and mutations raise `MutationInterruptedError`.
            into: a type to turn the result into: a dataclass, a `TypedDict`, a pydantic model,
                lists, unions and the like of them. It describes the root field if there is one
                only, else the data as a whole.

        Raises:
            GraphqlOperationError: the server answered with errors; it has what data there is.
            ResultTypeError: the result does not fit `into`.
        """
        convert = None if into is None else root_converter(into)
        request = self._request(document, variables, operation_name, extensions)
        message = await self._run(request, timeout, replay=replay)
        if message["payload"].get("errors"):
            raise GraphqlOperationError(message, str(request.declared))
        data = message["payload"].get("data")
        return data if convert is None else convert(data)

    @to_await(ONE_RESULT)
    async def result(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        replay: bool | None = None,
    ) -> GraphqlResult:
        """Run a query or a mutation and return data, errors and extensions.

        The arguments are those of `query()`. Errors of single fields are in the result; it is
        raised if the server does not execute the operation at all.
        """
        request = self._request(document, variables, operation_name, extensions)
        return result_of(await self._run(request, timeout, replay=replay))

    @overload
    def subscription(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        wait_confirmation: bool = False,
        queue_limit: int | None = None,
        into: None = None,
    ) -> ClientSubscription[Any]: ...

    @overload
    def subscription(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        wait_confirmation: bool = False,
        queue_limit: int | None = None,
        into: type[Data],
    ) -> ClientSubscription[Data]: ...

    @explains_keywords
    def subscription(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        wait_confirmation: bool = False,
        queue_limit: int | None = None,
        into: Any = None,
    ) -> ClientSubscription[Any]:
        """Return the events of a subscription: `async for event in client.subscription(…)`.

        Args:
            document: text, or a `graphql.DocumentNode`.
            variables: values of its variables.
            operation_name: needed if the document has several operations.
            extensions: sent along.
            cursor: the `cursor` of an event: go on behind it, if the server still can.
            wait_confirmation: the server has `confirm_subscriptions`, so the first result only
                says that the subscription has begun; `async with` waits for it.
            queue_limit: events that may wait, `None` for that of the client.
            into: a type to turn the data of events into, see `query()`.
        """
        request = self._request(document, variables, operation_name, extensions)
        limit = self._queue_limit if queue_limit is None else queue_limit
        check_queue_limit(limit)
        live = LiveSubscription(
            self._new_id(),
            request,
            limit=limit,
            cursor=cursor,
            confirms=wait_confirmation,
        )
        convert = None if into is None else root_converter(into)
        return ClientSubscription(self._carrier, live, convert)

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Call a function when something happens to the connection; return what ends that.

        Args:
            event: "connecting", "connected", "acknowledged", "closed", "retrying", "error",
                "ping", "pong" or "message".
            listener: called with a `ConnectionEvent`.

        Raises:
            ValueError: no event has this name.
            TypeError: the listener cannot be called.
        """
        if event == "message":
            self._session.tell_messages()
        return self._listeners.add(event, listener)

    def reconnect(self) -> None:
        """Drop the connection at once, and make it anew if something needs it.

        Use it when you know sooner than any timeout that the connection is dead, for example
        because the network has changed.
        """
        self._session.reconnect()

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the connection ends.

        Returns:
            A dict with the `code` and the `reason` of the server.
        """
        if not self._uses_session:
            return await super().wait_disconnect(timeout)
        closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        remove = self._listeners.add(
            "closed", lambda event: None if closed.done() else closed.set_result(event.error)
        )
        try:
            async with self._limit(timeout, "the connection to end"):
                error = await closed
        finally:
            remove()
        code, reason = getattr(error, "code", None), getattr(error, "reason", "")
        return {"type": "websocket.close", "code": code, "reason": reason}

    async def finalize(self) -> None:
        """Close the connection and end all operations; harmless when that has happened.

        Raises:
            GraphqlWsClientError: it was opened on another event loop.
        """
        self._is_entered = False
        try:
            await self._session.close()
        finally:
            await super().finalize()

    aclose = finalize

    @property
    def _uses_session(self) -> bool:
        """Whether connecting and reading is left to the session."""
        return not self._opened and (self._is_entered or self._session.is_running)

    def _carrier(self) -> Carrier:
        return self._open_connection if self._opened else self._session

    def _request(
        self,
        document: Document,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        extensions: Mapping[str, Any] | None,
    ) -> OperationRequest:
        request = OperationRequest.build(document, variables, operation_name, extensions)
        self._transport.refuse_files(request.files)
        return request

    async def _run(
        self, request: OperationRequest, timeout: float | None, *, replay: bool | None
    ) -> dict[str, Any]:
        """Run an operation that has one result, and return the message with it."""
        if request.declared.kind == "subscription":
            raise ValueError(f"{request.declared} goes on: use subscription()")
        carrier, loop = self._carrier(), asyncio.get_running_loop()
        operation = SingleResult(
            self._new_id(),
            request,
            loop.create_future(),
            replayable=not request.is_mutation if replay is None else replay,
        )
        check_seconds(or_none=True, timeout=timeout)
        seconds = self._seconds(timeout)
        timer = None
        if seconds != math.inf:
            timer = loop.call_later(seconds, _expire, operation, carrier, seconds)
        try:
            await carrier.submit(operation)
            await carrier.wait(operation.answer)
            return operation.answer.result()
        finally:
            if timer is not None:
                timer.cancel()
            carrier.withdraw(operation)

    async def _send(self, message: dict[str, Any]) -> None:
        if self._uses_session:
            self._router.has_callers = True
            await self._session.send(message)
        else:
            await super()._send(message)

    async def _wait(self, waiter: asyncio.Future[Any]) -> None:
        if self._uses_session:
            self._session.check_loop()
            self._session.check_loop()
            self._router.has_callers = True
            await waiter
        else:
            await super()._wait(waiter)


def _check_retry(retry: object) -> None:
    if not isinstance(retry, Retry | None):
        raise TypeError(f"retry must be a Retry, such as Retry(attempts=3), not {retry!r}")


def _expire(operation: SingleResult, carrier: Carrier, seconds: float) -> None:
    waited_for, advice = carrier.describe_wait()
    name = str(operation.request.declared)
    name = name[0].lower() + name[1:]
    operation.fail(GraphqlWsTimeoutError(f"{waited_for} for {name}", seconds, advice))


def _transport_for(
    transport: GraphqlWsTransport | Url, headers: Headers | None, cookies: Headers | None
) -> GraphqlWsTransport:
    given: object = transport
    for name, fields in (("headers", headers), ("cookies", cookies)):
        if fields is not None and not callable(fields):
            checked_fields(name, fields)
    if isinstance(transport, GraphqlWsTransport):
        if headers is not None or cookies is not None:
            raise TypeError("headers and cookies go with a URL; give them to the transport")
        return transport
    if not isinstance(given, str) and not callable(given):
        raise TypeError(f"The transport must be a GraphqlWsTransport or a URL, not {given!r}")
    if isinstance(transport, str) and transport.startswith(("http://", "https://")):
        return GraphqlHttpTransport(transport, cookies, headers)
    if isinstance(transport, str) and not transport.startswith(("ws://", "wss://")):
        raise ValueError(
            f"The URL must begin with ws://, wss://, http:// or https://, not {transport!r}"
        )
    return GraphqlWsTransportAiohttp(transport, cookies, headers)


def _dialects(
    subprotocol: str, subprotocols: Sequence[str] | None, *, is_url: bool
) -> tuple[Subprotocol, ...]:
    if isinstance(subprotocols, str):
        raise TypeError(f"subprotocols must be a list, such as [{subprotocols!r}]")
    names = [subprotocol] if subprotocols is None else list(subprotocols)
    if subprotocols is None and is_url and subprotocol == DEFAULT_SUBPROTOCOL:
        names = list(DIALECTS)
    for name in names or [""]:
        if name not in DIALECTS:
            known = " or ".join(repr(each) for each in DIALECTS)
            raise ValueError(f"The subprotocol must be {known}, not {name!r}")
    return tuple(DIALECTS[name] for name in names)
