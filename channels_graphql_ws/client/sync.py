"""`GraphqlWsClientSync`: the client for programs without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)

from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.documents import Document
from channels_graphql_ws.client.errors import GraphqlWsTimeoutError
from channels_graphql_ws.client.handshake import time_limit
from channels_graphql_ws.client.listeners import ConnectionState, Listener
from channels_graphql_ws.client.operations import SubscriptionEvent
from channels_graphql_ws.client.results import GraphqlResult
from channels_graphql_ws.client.subscriptions import ClientSubscription

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Data = TypeVar("Data")


def _takes_the_arguments_of(
    constructor: Callable[Arguments, object],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, Arguments], None]]:
    """Let type checkers know what a constructor takes that hands all of it on."""
    del constructor
    return lambda method: method


class GraphqlWsClientSync:
    """`GraphqlWsClient` without `await`; its methods may be called from any thread.

    An event loop in a thread of its own does the work, from the first call until `close()` or
    the end of the `with`. Ctrl-C while something is waited for stops the operation on the
    server, and leaves the `with` as any exception does. The arguments are those of
    `GraphqlWsClient`; listeners are called in the thread of the event loop.

    After a fork the child process needs a client of its own.
    """

    @_takes_the_arguments_of(GraphqlWsClient)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = GraphqlWsClient(*args, **options)
        self._thread = _LoopThread()
        # Also when the program ends without having closed.
        self._finalizer = weakref.finalize(self, self._thread.stop)

    if not TYPE_CHECKING:  # pragma: no branch (type checkers alone skip it)

        async def __aenter__(self) -> NoReturn:
            """Say what to write in place of `async with`."""
            raise TypeError(
                "Write `with GraphqlWsClientSync(…)`; with an event loop, "
                "`async with GraphqlWsClient(…)`"
            )

        __aexit__ = __aenter__

    def __enter__(self) -> Self:
        """Connect, unless that is left to the first operation."""
        self._thread.run(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @property
    def state(self) -> ConnectionState:
        """Where the client stands with its server."""
        return self._client.state

    @property
    def connected(self) -> bool:
        """Whether the server has acknowledged us and nobody has closed since."""
        return self._client.connected

    @property
    def subprotocol(self) -> str:
        """The subprotocol which this client speaks."""
        return self._client.subprotocol

    @property
    def connection_ack_payload(self) -> Any:
        """What the server sent along with `connection_ack`, `None` if nothing."""
        return self._client.connection_ack_payload

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Call a function when something happens to the connection; return what ends that.

        See `GraphqlWsClient.on()`; it is called in the thread of the event loop.
        """
        return self._client.on(event, listener)

    def reconnect(self) -> None:
        """Drop the connection at once, and make it anew if something needs it."""
        self._thread.run(self._reconnect())

    async def _reconnect(self) -> None:
        self._client.reconnect()

    @overload
    def query(
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
    def query(
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

    def query(
        self, document: Document, variables: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Run a query or a mutation and return its data; see `GraphqlWsClient.query()`."""
        return self._thread.run(self._client.query(document, variables, **options))

    def result(
        self,
        document: Document,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        replay: bool | None = None,
    ) -> GraphqlResult:
        """Run a query or a mutation and return its result; see `GraphqlWsClient.result()`."""
        return self._thread.run(
            self._client.result(
                document,
                variables,
                operation_name=operation_name,
                extensions=extensions,
                timeout=timeout,
                replay=replay,
            )
        )

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
    ) -> SyncSubscription[Any]: ...

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
    ) -> SyncSubscription[Data]: ...

    def subscription(
        self, document: Document, variables: Mapping[str, Any] | None = None, **options: Any
    ) -> SyncSubscription[Any]:
        """Return the events of a subscription: `for event in client.subscription(…)`.

        See `GraphqlWsClient.subscription()`.
        """
        events = self._client.subscription(document, variables, **options)
        return SyncSubscription(events, self._thread)

    def close(self) -> None:
        """Close the connection and end all operations; harmless when that has happened."""
        try:
            if self._thread.is_running:
                self._thread.run(self._client.finalize())
        finally:
            self._thread.stop()


class SyncSubscription(Iterator[SubscriptionEvent[Data]], Generic[Data]):
    """The events of a subscription: `for event in client.subscription(…)`.

    It begins with the first event that is waited for, or with `with`. It ends as a
    `ClientSubscription` does, also when it is garbage-collected.
    """

    def __init__(self, events: ClientSubscription[Data], thread: _LoopThread) -> None:
        self._events = events
        self._thread = thread
        self._taken: deque[SubscriptionEvent[Any]] = deque()

    @property
    def cursor(self) -> str | None:
        """Where the subscription stands; that of the last event, or a little ahead."""
        return self._events.cursor

    if not TYPE_CHECKING:  # pragma: no branch (type checkers alone skip it)

        def __aiter__(self) -> NoReturn:
            """Say what to write in place of `async for` and `await`."""
            raise TypeError(
                "Write `for event in client.subscription(…)`; `async for` is for a "
                "`GraphqlWsClient`, with an event loop"
            )

        __await__ = __aenter__ = __aexit__ = __aiter__

    def __enter__(self) -> Self:
        """Begin, and wait for the confirmation if there is to be one."""
        self._thread.run(self._events.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        self.close()

    def __next__(self) -> SubscriptionEvent[Data]:
        """Wait for the next event."""
        return self.get()

    def get(self, timeout: float | None = None) -> SubscriptionEvent[Data]:
        """Wait for the next event.

        Args:
            timeout: seconds; `None` waits for ever.

        Raises:
            GraphqlWsTimeoutError: there was none; it may be waited for again.
            StopIteration: the subscription is over.
        """
        if not self._taken:
            try:
                self._taken.extend(self._thread.run(self._take(timeout)))
            except StopAsyncIteration:
                raise StopIteration from None
        return self._events.converted(self._taken.popleft())

    def close(self) -> None:
        """End the subscription; harmless when it has ended."""
        self._taken.clear()
        if self._thread.is_running:
            self._thread.run(self._events.aclose())

    async def _take(self, timeout: float | None) -> list[SubscriptionEvent[Any]]:
        """Wait for an event, and take what waits behind it: one switch of threads for all."""
        async with time_limit(math.inf if timeout is None else timeout, "an event"):
            return await self._events.take_batch()


class _LoopThread:
    """A thread with an event loop, which is there from the first use on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def is_running(self) -> bool:
        return self._loop is not None

    def run(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for a coroutine; an interruption (Ctrl-C) cancels it.

        Raises:
            RuntimeError: this is the thread of the event loop, or a forked process.
        """
        try:
            loop = self._started()
        except RuntimeError:
            coroutine.close()
            raise
        future: Future[Answer] = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException as error:
            future.cancel()
            if isinstance(error, GraphqlWsTimeoutError) and _is_loop_blocked():
                error.add_note(_BLOCKED)
            raise

    def stop(self) -> None:
        """End the event loop and its thread."""
        if os.getpid() != self._process:
            return  # The thread is the parent's.
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        if os.getpid() != self._process:
            raise RuntimeError(
                "The client was made before this process was forked: make one in each process"
            )
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "This is the thread of the client's event loop, which would wait for itself: call "
                "the client from another thread than that of a listener"
            )
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_loop,
                    args=(self._loop,),
                    name="channels-graphql-ws-client",
                    daemon=True,
                )
                self._thread.start()
            return self._loop


def _is_loop_blocked() -> bool:
    """Return whether an event loop runs in this thread, and so has waited, too."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_BLOCKED: Final = (
    "GraphqlWsClientSync was called on the thread of a running event loop, which could do nothing "
    "else meanwhile, such as answer. In a coroutine, use GraphqlWsClient"
)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
