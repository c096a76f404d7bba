"""A connection that opens when it is needed and reopens when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from channels_graphql_ws.client.asked import Asked
from channels_graphql_ws.client.errors import (
    ConnectionRejectedError,
    GraphqlWsTimeoutError,
    MutationInterruptedError,
    sentence,
)
from channels_graphql_ws.client.handshake import (
    ConnectionParams,
    connect,
    disconnect,
    initialize,
    not_open,
    time_limit,
)
from channels_graphql_ws.client.home_loop import HomeLoop
from channels_graphql_ws.client.keep_alive import KeepAlive
from channels_graphql_ws.client.listeners import ConnectionEvent, ConnectionState, Listeners
from channels_graphql_ws.client.operations import Operation
from channels_graphql_ws.client.retry import BAD_RESPONSE_CODE, Retry, is_about_credentials
from channels_graphql_ws.client.router import Router, fail_operation, ignore
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.client.transport import GraphqlWsTransport, pong_for
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.subprotocols import Subprotocol

log = logging.getLogger("channels_graphql_ws.client")

Message: TypeAlias = dict[str, Any]

_RENEWALS: Final = 2
"""How often in a row rejected credentials are renewed."""

_LONG_ENOUGH: Final = 10.0
"""Seconds after which a connection counts as a success, though nothing came through it."""

_CLOSE_TIMEOUT: Final = 5.0
"""Seconds for the server to answer our close."""

_SHORT_CLOSE_TIMEOUT: Final = 0.5
"""The same for one that does not seem to be there any more."""

_SERVER_ERROR: Final = 500

_TERMINATED: Final = 4499

_NORMAL: Final = int(CloseCode.NORMAL)

_NO_ACK: Final = (
    "It has accepted the socket, but does not answer connection_init: is it a GraphQL server, and "
    "does its hook for new connections end? See ack_timeout"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How a session connects, and how long it waits; seconds, see `GraphqlWsClient`."""

    offered: Sequence[Subprotocol]
    connection_params: ConnectionParams | None = None
    retry: Retry
    lazy: bool
    close_when_idle: float | None
    connect_timeout: float
    ack_timeout: float
    keep_alive: float | None
    pong_timeout: float
    answer_pings: bool


class _OnPurposeError(ConnectionClosedError):
    """We ended the connection ourselves, with nothing being wrong."""


class Session:
    """Keeps a connection to a server while operations need one.

    A task of its own connects, reads, reconnects and sends again what is still wanted; it is
    there while there is a connection, or somebody waits for one.

    Args:
        transport: what connects.
        router: takes the messages.
        listeners: called with each event of the connection.
        settings: see there.
    """

    def __init__(
        self,
        transport: GraphqlWsTransport,
        router: Router,
        listeners: Listeners,
        settings: SessionSettings,
    ) -> None:
        self.state = ConnectionState.CLOSED
        self.ack_payload: Any = None
        self.last_error: Exception | None = None
        """Why there is no connection, `None` if none is needed."""
        self._transport = transport
        self._router = router
        self._listeners = listeners
        self._settings = settings
        self._connection_params = Asked("connection_params", settings.connection_params)
        self._main: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connection: object | None = None  # another one for each connection
        self._fault: asyncio.Future[Exception] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._keep_alive: KeepAlive | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._failures = 0
        router.on_ping = self._receive_ping
        router.on_pong = self._receive_pong
        self._home = HomeLoop()
        self._strays = 0
        self._last_stray: Message = {}

    @property
    def is_running(self) -> bool:
        """Whether there is a connection, or one is being made."""
        return self._main is not None and not self._main.done()

    async def ready(self) -> None:
        """Wait for a connection; make one if there is none.

        Raises:
            GraphqlWsClientError: there is no connection, and no further attempt.
        """
        self.check_loop()
        if self._connection is not None:
            return
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        self.start()
        await asyncio.shield(self._ready)

    def start(self) -> None:
        """Connect, unless that is under way."""
        if not self.is_running:
            self._home.settle()
            self._main = begin_soon(self._run())

    def check_loop(self) -> None:
        """Check that the connection, if there is one, is that of the running event loop.

        Raises:
            GraphqlWsClientError: it is not.
        """
        if self.is_running:
            self._home.check()

    async def submit(self, operation: Operation) -> None:
        """Send an operation, now or as soon as there is a connection."""
        self.check_loop()
        self._router.operations[operation.id] = operation
        if self._idle is not None:
            self._idle.cancel()
        if self._connection is None:
            self.start()
        else:
            await self._send_operation(operation)

    def withdraw(self, operation: Operation) -> asyncio.Task[None] | None:
        """Forget an operation; return the task that stops it, if it may still run."""
        still_runs = self._router.operations.pop(operation.id, None) is not None
        if not self._home.is_here:
            return None
        if self._settings.close_when_idle is not None and not self._router.operations:
            self._close_when_idle(self._settings.close_when_idle)
        if still_runs and self._connection is not None and operation.sent_on is self._connection:
            return self.spawn(self._stop(operation.id))
        return None

    def wait(self, waiter: asyncio.Future[Any]) -> Awaitable[Any]:
        """Wait for a future that a message resolves."""
        return waiter

    async def send(self, message: Message) -> None:
        """Send a message as soon as there is a connection."""
        await self.ready()
        await self._transport.send(message)

    def reconnect(self) -> None:
        """Drop the connection, if there is one, as if it had been lost."""
        self._break_off(_OnPurposeError("The client was told to reconnect", _TERMINATED))

    def tell_messages(self) -> None:
        """Report each message to the listeners from now on."""
        self._router.on_message = lambda message: self._tell("message", payload=message)

    async def close(self) -> None:
        """Close the connection and end all that goes on; harmless if that has happened."""
        self.check_loop()
        # Those that have ended may belong to an event loop that was closed.
        running = [each for each in (self._main, *self._tasks) if each and not each.done()]
        for task in running:
            task.cancel()
        try:
            await asyncio.gather(*running, return_exceptions=True)
        finally:
            self._end_operations()

    def _end_operations(self) -> None:
        """Let waiting callers know that the client was closed."""
        operations, self._router.operations = self._router.operations, {}
        closed = _closed_by_us()
        for operation in operations.values():
            operation.close(closed)
        self._settle_ready(closed)

    def describe_wait(self) -> tuple[str, str]:
        """Return what an operation without an answer waits for, and what may be done."""
        address = self._transport.address
        if self._connection is not None and self._strays:
            return f"an answer of {address}", self._describe_strays()
        if self._connection is not None:
            return f"an answer of {address}", "It is connected: does the resolver end? See timeout"
        if self.last_error is not None:
            return f"a connection to {address}", f"The last attempt failed: {self.last_error}"
        return f"a connection to {address}", "It has not answered yet"

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something small beside; closing the session ends it."""
        task = begin_soon(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _receive_ping(self, message: Message) -> None:
        self._tell("ping", payload=message.get("payload"))
        if self._settings.answer_pings:
            self.spawn(self._answer(message))

    def _receive_pong(self, message: Message) -> None:
        self._tell("pong", payload=message.get("payload"))

    def _receive_stray(self, message: Message) -> None:
        """Note a message that nobody has asked for; the first on a connection is logged."""
        if self._router.has_callers:
            return
        self._strays += 1
        self._last_stray = message
        if self._strays == 1:
            log.warning("%s %s", self._transport.address, _stray_text(message))

    def _describe_strays(self) -> str:
        count = f"{self._strays} messages" if self._strays > 1 else "a message"
        return f"It has sent {count} that belong to no operation, the last: {self._last_stray!r}"

    async def _run(self) -> None:
        """Serve, and let nobody wait in vain when a function of the user's fails."""
        try:
            await self._serve()
        except Exception as error:  # noqa: BLE001 (of `wait` or `should_retry`)
            self._give_up(error)
        finally:
            self.state = ConnectionState.CLOSED

    async def _serve(self) -> None:
        """Connect again and again, until nothing needs a connection or none can be had."""
        while True:
            error = await self._serve_once()
            if not self._is_wanted():
                self.last_error = None if _code_of(error) == _NORMAL else error
                return
            delay = self._delay(error)
            if delay is None:
                self._give_up(error)
                return
            await self._pause(error, delay)
            if not self._is_wanted():
                return

    async def _serve_once(self) -> Exception:
        """Connect and read until the connection ends; return why it did."""
        opened_at, results = math.inf, self._router.results
        loop = asyncio.get_running_loop()
        error: Exception = _closed_by_us()
        try:
            await self._open()
            opened_at = loop.time()
            await self._read()
            error = ConnectionClosedError("The transport has stopped reading")
        except Exception as failure:  # noqa: BLE001 (whatever a transport or a callable raises)
            error = failure
        finally:
            if self._router.results > results or loop.time() - opened_at > _LONG_ENOUGH:
                self._failures = 0
            await self._leave(error)
        self._lose_operations(error)
        return error

    async def _open(self) -> None:
        self.state = ConnectionState.CONNECTING
        self._tell("connecting")
        settings, address = self._settings, self._transport.address
        advice = not_open(address)
        async with time_limit(settings.connect_timeout, f"a connection to {address}", advice):
            dialect = await connect(self._transport, settings.offered)
        self._router.dialect = dialect
        self._tell("connected")
        params = await self._connection_params.value()
        async with time_limit(settings.ack_timeout, f"the connection_ack of {address}", _NO_ACK):
            self.ack_payload = await initialize(self._transport, dialect, params)

    async def _read(self) -> None:
        """Read until the end, which is raised; operations are sent meanwhile."""
        self._fault = asyncio.get_running_loop().create_future()
        reading = begin_soon(self._transport.read_all(self._router.deliver))
        self._begin()
        try:
            await asyncio.wait((reading, self._fault), return_when=asyncio.FIRST_COMPLETED)
            if self._fault.done():
                raise self._fault.result()
            reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _begin(self) -> None:
        """Let operations run."""
        self._connection = object()
        self._router.on_lost = self._retry_operation
        self._router.on_stray = self._receive_stray
        self._strays = 0
        self.state = ConnectionState.ACKNOWLEDGED
        self.last_error = None
        interval = self._settings.keep_alive
        if interval and self._transport.has_connection and self._router.dialect.has_ping:
            self._keep_alive = KeepAlive(
                interval,
                self._settings.pong_timeout,
                received=lambda: self._router.received,
                ping=self._ping,
                dead=self._report_silence,
            )
        self._settle_ready(None)
        self._tell("acknowledged", payload=self.ack_payload)
        self.spawn(self._send_operations())

    async def _leave(self, error: Exception) -> None:
        """Drop the connection, whatever its state."""
        self._connection = None
        self._router.on_lost = fail_operation
        self._router.on_stray = ignore
        if self._keep_alive is not None:
            self._keep_alive.stop()
            self._keep_alive = None
        self._fault = None
        # A server with which nothing is wrong gets time to answer our close.
        seconds = _CLOSE_TIMEOUT if _code_of(error) == _NORMAL else _SHORT_CLOSE_TIMEOUT
        # The peer may have gone; a failure of the application has been reported already.
        with contextlib.suppress(Exception):
            await disconnect(self._transport, _close_code(error), seconds)
        self._tell("closed", error=error)

    async def _send_operations(self) -> None:
        """Send all that was not sent on this connection yet."""
        connection = self._connection
        for operation in tuple(self._router.operations.values()):
            if self._connection is not connection:
                return
            if operation.sent_on is not connection and operation.id in self._router.operations:
                await self._send_operation(operation)

    async def _send_operation(self, operation: Operation) -> None:
        message = operation.start_message(self._router.dialect.start_type)
        operation.sent_on = self._connection
        try:
            await self._transport.send(message)
        except (ConnectionClosedError, GraphqlWsTimeoutError) as error:
            self._break_off(error)
        except Exception as error:  # noqa: BLE001 (of a transport of the user's)
            self._router.operations.pop(operation.id, None)
            operation.fail(error)

    async def _stop(self, id: str) -> None:
        with contextlib.suppress(ConnectionClosedError, GraphqlWsTimeoutError):
            await self._transport.send({"type": self._router.dialect.stop_type, "id": id})

    async def _answer(self, ping: Message) -> None:
        with contextlib.suppress(ConnectionClosedError, GraphqlWsTimeoutError):
            await self._transport.send(pong_for(ping))

    def _ping(self) -> None:
        self.spawn(self._send_ping())

    async def _send_ping(self) -> None:
        with contextlib.suppress(ConnectionClosedError, GraphqlWsTimeoutError):
            await self._transport.send({"type": "ping"})

    def _report_silence(self, seconds: float) -> None:
        self._break_off(
            ConnectionClosedError(
                f"{self._transport.address} has said nothing for {seconds:g} s, and has not "
                "answered a ping; the connection is taken to be dead"
            )
        )

    def _break_off(self, error: Exception) -> None:
        """End the connection from our side."""
        self._connection = None
        if self._fault is not None and not self._fault.done():
            self._fault.set_result(error)

    def _close_when_idle(self, seconds: float) -> None:
        if self._idle is not None:
            self._idle.cancel()
        idle = _OnPurposeError("Nothing needed the connection any more", _NORMAL)
        self._idle = asyncio.get_running_loop().call_later(seconds, self._break_off, idle)

    def _is_wanted(self) -> bool:
        return bool(self._router.operations) or self._ready is not None or not self._settings.lazy

    def _lose_operations(self, error: Exception) -> None:
        """Keep what may be sent again, and fail the rest."""
        for operation in tuple(self._router.operations.values()):
            if operation.sent_on is not None and not operation.replayable:
                del self._router.operations[operation.id]
                operation.fail(_interrupted(operation, error))
        self._router.lose_connection(error)

    def _retry_operation(self, operation: Operation, error: Exception) -> None:
        """Send an operation again that failed on its own, after a while."""
        operation.failures += 1
        delay = self._delay_after(error, operation.failures)
        was_refused = _is_refusal(error)
        if delay is None or not (operation.replayable or was_refused):
            del self._router.operations[operation.id]
            is_clear = was_refused or not isinstance(error, ConnectionClosedError)
            if operation.replayable or is_clear:
                operation.fail(error)
            else:
                operation.fail(_interrupted(operation, error))
            return
        text = "%s failed: %s It is tried again in %.1f s"
        log.warning(text, operation, sentence(error), delay)
        self.spawn(self._send_later(operation, delay))

    async def _send_later(self, operation: Operation, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._connection is not None and operation.id in self._router.operations:
            await self._send_operation(operation)

    def _delay(self, error: Exception) -> float | None:
        """Return the seconds until the next attempt, `None` if there is none."""
        if isinstance(error, _OnPurposeError):
            return 0
        self._failures += 1
        return self._delay_after(error, self._failures)

    def _delay_after(self, error: Exception, failures: int) -> float | None:
        """Return the same for so many failures in a row."""
        retry = self._settings.retry
        delay = retry.delay(error, failures)
        if delay is None and failures <= min(_RENEWALS, retry.attempts):
            renews = callable(self._settings.connection_params) or self._transport.renews
            return 0 if renews and is_about_credentials(error) else None
        return delay

    async def _pause(self, error: Exception, delay: float) -> None:
        self.state = ConnectionState.RETRYING
        self.last_error = error
        log.warning("%s Trying again in %.1f s", sentence(error), delay)
        self._tell("retrying", error=error, delay=delay)
        await asyncio.sleep(delay)

    def _give_up(self, error: Exception) -> None:
        self.last_error = error
        self._failures = 0
        self._router.fail_operations(error)
        self._settle_ready(error)
        self._tell("error", error=error)

    def _settle_ready(self, error: Exception | None) -> None:
        ready, self._ready = self._ready, None
        if ready is None or ready.done():
            return
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)
            ready.exception()  # Mark it as retrieved: perhaps no call waits for it.

    def _tell(self, type: str, **details: Any) -> None:
        self._listeners.tell(ConnectionEvent(type, self._failures, **details))


def _stray_text(message: Message) -> str:
    return (
        f"has sent a message that belongs to no operation: {message!r}. It is ignored, and more "
        "of them on this connection are not logged"
    )


def _closed_by_us() -> ConnectionClosedError:
    return ConnectionClosedError("The client was closed", _NORMAL)


def _is_refusal(error: Exception) -> bool:
    """Return whether an operation was surely not executed."""
    if not isinstance(error, ConnectionRejectedError):
        return False
    return error.status is None or error.status < _SERVER_ERROR


def _interrupted(operation: Operation, error: Exception) -> MutationInterruptedError:
    return MutationInterruptedError(
        f"{operation} was sent, then the connection was lost: {sentence(error)} Nobody knows if "
        "it was executed; look, or pass replay=True for one that may run twice",
        _code_of(error),
    )


def _code_of(error: Exception) -> int | None:
    return error.code if isinstance(error, ConnectionClosedError) else None


def _close_code(error: Exception) -> int:
    """Return the code with which we close after an error of ours or of the server."""
    if isinstance(error, RemoteProtocolError):
        return BAD_RESPONSE_CODE
    return _NORMAL
