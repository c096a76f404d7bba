"""`ClientSubscription`: iterate over the events of a subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from channels_graphql_ws.client.home_loop import HomeLoop
from channels_graphql_ws.client.operations import Carrier, LiveSubscription, SubscriptionEvent

Data = TypeVar("Data")


class ClientSubscription(AsyncIterator[SubscriptionEvent[Data]], Generic[Data]):
    """The events of a subscription: `async for event in client.subscription(…)`.

    It begins with the first iteration, or with `async with`. It ends when the server ends it,
    when the loop is left or its task is cancelled, at the end of `async with`, with `aclose()`,
    and when its client is closed; except in the first case, the server is told to stop it.
    After a time-out (`asyncio.timeout`) the iteration may go on.

    Errors end it, except those within an event, see `SubscriptionEvent.errors`.
    """

    def __init__(
        self,
        carrier: Callable[[], Carrier],
        live: LiveSubscription,
        convert: Callable[[Any], Data] | None = None,
    ) -> None:
        self._choose = carrier
        self._carrier = carrier()
        self._live = live
        self._convert = convert
        self._loop: asyncio.AbstractEventLoop | None = None  # the one it runs on
        self._home = HomeLoop()
        self._cancelled_in: asyncio.Task[Any] | None = None

    @property
    def cursor(self) -> str | None:
        """Where the subscription stands; `None` if the server keeps no history of it."""
        return self._live.cursor

    if not TYPE_CHECKING:  # pragma: no branch (type checkers alone skip it)

        def __await__(self) -> NoReturn:
            """Say what to write in place of `await`, `for` and `with`."""
            raise TypeError(
                "These are the events of a subscription: write `async for event in "
                "client.subscription(…)`, or `async with`; without an event loop, "
                "`for event in client.subscription(…)` of a `GraphqlWsClientSync`"
            )

        __iter__ = __enter__ = __exit__ = __await__

    async def __aenter__(self) -> Self:
        """Begin, and wait for the confirmation if there is to be one.

        Raises:
            GraphqlOperationError: the server refuses the subscription.
        """
        await self._begin()
        try:
            await self._live.confirmed(self._carrier.wait)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        await self.aclose()

    async def __anext__(self) -> SubscriptionEvent[Data]:
        """Wait for the next event.

        Raises:
            GraphqlOperationError: the server has ended the subscription with an error.
            ConnectionClosedError: the connection is lost, and is not reopened.
            GraphqlWsClientError: it has begun on another event loop.
        """
        self._cancelled_in = None
        event = self._live.take_now()
        if event is None:
            event = await self._next()
        return event if self._convert is None else self.converted(event)

    async def take_batch(self) -> list[SubscriptionEvent[Any]]:
        """Wait for an event; return it and those behind it, before `converted()`.

        The subscription does not end with the task that waits here.
        """
        await self._begin()
        first = await self._live.take(self._carrier.wait)
        return [first, *iter(self._live.take_now, None)]

    def converted(self, event: SubscriptionEvent[Any]) -> SubscriptionEvent[Data]:
        """Return an event with its data as the type that was asked for."""
        if self._convert is not None and event.data is not None:
            event.data = self._convert(event.data)
        return event

    async def aclose(self) -> None:
        """End the subscription; harmless when it has ended."""
        self._live.complete()
        telling = self._carrier.withdraw(self._live)
        if telling is not None:
            await asyncio.wait({telling})

    def __del__(self) -> None:
        """Stop a subscription that was garbage-collected while it ran."""
        if self._loop is not None and not self._live.is_over and not self._loop.is_closed():
            # Garbage may be collected in any thread.
            self._loop.call_soon_threadsafe(self._carrier.withdraw, self._live)

    async def _begin(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._home.settle()
            self._carrier = self._choose()
            await self._carrier.submit(self._live)

    async def _next(self) -> SubscriptionEvent[Any]:
        try:
            if self._loop is None:
                await self._begin()
            self._home.check()
            return await self._live.take(self._carrier.wait)
        except asyncio.CancelledError:
            self._end_with(asyncio.current_task())
            raise

    def _end_with(self, task: asyncio.Task[Any] | None) -> None:
        """End if a task does that was cancelled while it waited, and has not gone on since."""
        assert task is not None, "only tasks are cancelled"
        self._cancelled_in = task
        task.remove_done_callback(self._task_ended)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if self._cancelled_in is task:
            self._live.complete()
            self._carrier.withdraw(self._live)
