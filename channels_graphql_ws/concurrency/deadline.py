"""Wait for something with a time limit, and without a timer where it is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from inspect import iscoroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def within(seconds: float | None, wanted: Awaitable[T]) -> T:
    """Wait for an awaitable.

    A coroutine that does not have to wait costs no timer: with most servers that is so for
    the body of a request, which has come with its headers.

    Args:
        seconds: how long to wait; `None` for ever.
        wanted: is cancelled when the time is over.

    Raises:
        TimeoutError: the time is over.
    """
    rest = wanted
    if iscoroutine(wanted):
        try:
            waits_for = wanted.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        rest = _Rest(wanted, waits_for)
    async with asyncio.timeout(seconds):
        return await rest


class _Rest(Generic[T]):
    """The rest of a coroutine that has begun.

    Args:
        coroutine: has taken its first step.
        waits_for: what the step has yielded to the event loop.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        step = self._waits_for
        failure: BaseException | None = None
        while True:
            sent = None
            try:
                sent = yield step
            # Cancellation, too, is for the coroutine.
            except BaseException as error:  # noqa: BLE001
                failure = error
            try:
                step = self._step(sent, failure)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                # Its traceback knows this frame: a cycle otherwise.
                failure = None

    def _step(self, sent: Any, failure: BaseException | None) -> Any:
        coroutine = self._coroutine
        return coroutine.send(sent) if failure is None else coroutine.throw(failure)
