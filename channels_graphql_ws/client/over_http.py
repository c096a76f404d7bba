"""What transports over HTTP have in common: messages, without a connection to carry them."""

from __future__ import annotations

import asyncio
import ssl as _ssl
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypedDict, Unpack

from channels_graphql_ws.client.aiohttp_transport import Headers, Url
from channels_graphql_ws.client.event_stream import EventStreamParser, ServerSentEvent
from channels_graphql_ws.client.handshake import time_limit
from channels_graphql_ws.client.http_endpoint import HttpEndpoint
from channels_graphql_ws.client.intake import Intake
from channels_graphql_ws.client.router import MAX_UNREAD
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.client.transport import OPERATION_LOST, GraphqlWsTransport, pong_for
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from channels_graphql_ws.json_text import loads

if TYPE_CHECKING:
    import aiohttp

Message: TypeAlias = dict[str, Any]

_NORMAL_CLOSURE: Final = 1000


class HttpOptions(TypedDict, total=False):
    """Options of all transports over HTTP."""

    max_message_size: int
    """Bytes of an answer or an event, by default 16 MiB; 0 means no limit."""
    silence_timeout: float | None
    """Seconds without a byte after which a stream counts as lost, by default 60; this only goes
    for servers that have shown before that they keep silent streams alive. `None`: never."""
    max_unread: int
    """Messages that may wait for `receive()`, by default 16,384."""
    ssl: _ssl.SSLContext | bool
    """A context with certificates of your own; `False` checks none."""
    proxy: str | None
    """The URL of an HTTP proxy."""
    session: aiohttp.ClientSession | None
    """A session to use, which is not closed; it has whatever else aiohttp can do."""


class OverHttp(GraphqlWsTransport):
    """A transport that carries each operation by requests of its own.

    `connection_init` is acknowledged and pings are answered here; `subscribe` begins a task,
    `complete` ends it. Subclasses define what the task does.
    """

    has_connection: ClassVar[bool] = False

    def __init__(
        self,
        url: Url,
        cookies: Headers | None = None,
        headers: Headers | None = None,
        **options: Unpack[HttpOptions],
    ) -> None:
        for name in options:
            if name not in HttpOptions.__annotations__:
                raise TypeError(f"{type(self).__name__} has no option {name!r}")
        self._endpoint = HttpEndpoint(
            url,
            cookies or {},
            headers or {},
            session=options.get("session"),
            options={"ssl": options.get("ssl", True), "proxy": options.get("proxy")},
            max_size=options.get("max_message_size", 16 * 2**20),
        )
        self.renews = any(callable(each) for each in (url, cookies, headers))
        self._silence_timeout = options.get("silence_timeout", 60.0)
        self._max_unread = options.get("max_unread", MAX_UNREAD)
        self._intake: Intake | None = None
        self._tasks: dict[Any, asyncio.Task[None]] = {}

    @property
    def address(self) -> str:
        """The URL, or the last one that was used."""
        return self._endpoint.address

    async def connect(self, timeout: float | None = None) -> None:
        """Get ready for operations; possible again after `disconnect()`."""
        if self._intake is not None:
            raise GraphqlWsClientError("The transport is connected already, disconnect it first")
        self._endpoint.open()
        self._intake = Intake(self._max_unread)
        try:
            async with time_limit(self._seconds(timeout), f"an answer of {self.address}"):
                await self._begin()
        except BaseException:
            await self.disconnect()
            raise

    async def send(self, message: Message) -> None:
        """Do what a message asks for."""
        intake = self._opened()
        match message:
            case {"type": "connection_init"}:
                intake.put({"type": "connection_ack"})
            case {"type": "ping"}:
                intake.put(pong_for(message))
            case {"type": "subscribe", "id": id}:
                self._run(id, self._start(id, message["payload"], message.get("files") or {}))
            case {"type": "complete", "id": id}:
                if id in self._tasks:
                    self._tasks.pop(id).cancel()
                self._stop(id)
            case _:
                pass

    async def receive(self, timeout: float | None = None) -> Message:
        """Return the next message."""
        intake = self._opened()
        if not intake.inbox:
            async with time_limit(self._seconds(timeout), f"a message of {self.address}"):
                await intake.wait()
        return intake.inbox.take()

    async def read_all(self, deliver: Callable[[Message], object]) -> None:
        """Call `deliver` with each message until the transport is disconnected."""
        await self._opened().forward(deliver)

    async def disconnect(self, timeout: float | None = None) -> None:
        """End all operations; nothing happens if there is no connection."""
        intake, self._intake = self._intake, None
        if intake is None:
            return
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        try:
            async with time_limit(self._seconds(timeout), "the requests to end"):
                await asyncio.gather(*tasks.values(), return_exceptions=True)
        finally:
            await self._endpoint.close()
        intake.finish(ConnectionClosedError("The transport was disconnected", _NORMAL_CLOSURE))

    async def wait_disconnect(self, timeout: float | None = None) -> Message:
        """Wait until the server ends the stream that all share, drop what comes before."""
        async with time_limit(self._seconds(timeout), f"{self.address} to close"):
            closed = await self._opened().ended()
        await self.disconnect()
        return {"type": "websocket.close", "code": closed.code, "reason": closed.reason}

    async def _begin(self) -> None:
        """Do what comes before all operations."""

    @abstractmethod
    async def _start(self, id: Any, payload: Mapping[str, Any], files: Mapping[str, Any]) -> None:
        """Run an operation; its errors are raised in the waiting caller."""

    def _stop(self, id: Any) -> None:
        """Do what ends an operation besides the end of its task."""

    def _run(self, id: Any, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of an operation; its errors are raised in the waiting caller."""
        self._keep(id, begin_soon(self._guarded(id, work)))

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that belongs to no single operation and handles its own errors."""
        task = begin_soon(work)
        self._keep(task, task)

    def _keep(self, key: Any, task: asyncio.Task[None]) -> None:
        """Hold a task until it ends, or another of that key follows."""

        def forget(_: object) -> None:
            if self._tasks.get(key) is task:
                del self._tasks[key]

        self._tasks[key] = task
        task.add_done_callback(forget)

    async def _guarded(self, id: Any, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 (also of functions that return credentials)
            self._lose(id, error)

    def _lose(self, id: Any, error: Exception) -> None:
        self._put({"type": OPERATION_LOST, "id": id, "error": error})

    def _put(self, message: Message) -> bool:
        return self._intake is not None and self._intake.put(message)

    def _put_results(self, id: Any, body: Mapping[str, Any]) -> None:
        """Say what a body with a result means."""
        message = result_message(id, body)
        self._put(message)
        if message["type"] == "next":
            self._put({"type": "complete", "id": id})

    async def _read_events(
        self, response: aiohttp.ClientResponse, take: Callable[[ServerSentEvent], bool]
    ) -> None:
        """Read events until `take` returns that it has seen the last.

        Raises:
            ConnectionClosedError: the stream has ended before, or is silent for too long.
        """
        parser = EventStreamParser(self._endpoint.max_size)
        while True:
            chunk = await self._chunk(response, parser)
            if not chunk:
                raise ConnectionClosedError(f"{self.address} ended the stream before its end")
            for event in parser.feed(chunk):
                if take(event):
                    return
            await asyncio.sleep(0)

    async def _chunk(self, response: aiohttp.ClientResponse, parser: EventStreamParser) -> bytes:
        # A silent stream is dead only if the server has sent keep-alive comments before.
        seconds = self._silence_timeout if parser.comments else None
        try:
            async with asyncio.timeout(seconds):
                chunk: bytes = await response.content.readany()
                return chunk
        except TimeoutError:
            raise ConnectionClosedError(
                f"{self.address} has said nothing for {seconds:g} s, though it did so before to "
                "keep the stream alive; the stream is taken to be dead"
            ) from None

    def _opened(self) -> Intake:
        if self._intake is None:
            raise ConnectionClosedError("The transport is not connected")
        return self._intake

    def _seconds(self, timeout: float | None) -> float:
        return self.TIMEOUT if timeout is None else timeout


def result_message(id: Any, result: Any) -> Message:
    """Return the message that brings a result, or an error if nothing was executed.

    A result without `data` is a request error (GraphQL specification, Request error result);
    over a WebSocket there is a word of its own for that.
    """
    if isinstance(result, dict) and "data" not in result and result.get("errors"):
        return {"type": "error", "id": id, "payload": result["errors"]}
    return {"type": "next", "id": id, "payload": result}


def event_data(event: ServerSentEvent) -> Any:
    """Read the JSON of an event.

    Raises:
        RemoteProtocolError: it is not JSON.
    """
    try:
        return loads(event.data)
    except ValueError as error:
        raise RemoteProtocolError(
            f"The server sent an event {event.type!r} that is not JSON: {event.data[:200]!r}"
        ) from error
