"""Send what one operation calls at the same time to one thread, and not each call to its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable, KeysView, ValuesView
from contextvars import Context, copy_context
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from inspect import iscoroutine
from itertools import chain, islice
from time import monotonic
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.db.models import QuerySet

from channels_graphql_ws.concurrency.computing import turns
from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import OPERATIONS, Workers, in_thread
from channels_graphql_ws.concurrency.variables import run_adopted
from channels_graphql_ws.execution.breathing import WINDOW, breathe

CALLS_AT_ONCE: Final = 1_000
"""Calls that go to a thread together at most. The others go when these have their results."""

FEW: Final = 256
"""Results that are handed over at once, if there are no more of them."""

VALUES_AT_ONCE: Final = 64
"""Results that are handed over at a time where there are more than few. Each lets a task go on,
which takes far longer in all than the handing over."""

MOST_TAKEN: Final = 100_000
"""Items that are taken in a thread at most."""


async def in_batch(
    call: Callable[[], Any], owner: object, kind: object, workers: Workers = OPERATIONS
) -> Any:
    """Call in a thread, after other calls of the same kind that came just before.

    See `BatchedCall`, whose arguments these are.
    """
    return await BatchedCall(call, owner, kind, workers)


class BatchedCall:
    """A call in a thread, together with others of the same kind that are awaited with it.

    The items of a list come so: a hundred calls are one trip to a thread, and a data loader
    gets a hundred keys at once. It is awaited once, or not at all: there are thousands of them,
    and none is more than an object before.

    Args:
        call: what to call. An awaitable that it returns is awaited where this is.
        owner: the operation, or what only it has.
        kind: what is called; different kinds go to threads of their own.
        workers: where the threads come from.
    """

    __slots__ = ("_call", "_context", "_failure", "_named", "_result", "_value")

    _context: Context
    _result: asyncio.Future[Any] | None

    def __init__(
        self, call: Callable[[], Any], owner: object, kind: object, workers: Workers = OPERATIONS
    ) -> None:
        self._call = call
        self._named = owner, kind, workers
        self._value: Any = None
        self._failure: BaseException | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        """Let the call begin, and wait for what it returns."""
        loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._result = result = loop.create_future()
        batch = _batch_of(*self._named, loop)
        batch.calls.append(self)
        try:
            value = yield from result
        except asyncio.CancelledError:
            if result.cancelled():
                batch.leave()
            elif result.exception() is None:
                # It came just before.
                _close(result.result())
            raise
        finally:
            # An error knows this frame, and would be known by it: a cycle.
            del result
        # An `async def` behind a middleware has only been called there: it runs here.
        return (yield from value.__await__()) if is_awaitable(value) else value

    @property
    def is_object(self) -> bool:
        """Whether something may be selected of what the call has returned."""
        return type(self._value) not in _VALUES

    def copied_context(self) -> Context:
        """Return a copy of the context variables of whoever awaits this, before it runs."""
        return self._context.copy()

    def run(self) -> None:
        """Call, in a thread."""
        if self._result is None or self._result.cancelled():
            return
        context = self._context
        # Nobody needs it any more, while thousands of results wait to be handed over.
        del self._context
        try:
            self._value = run_adopted(context, self._call)
        except StopIteration as error:
            self.fail(RuntimeError(f"{self._call!r} raised StopIteration: {error}"))
        except BaseException as error:  # noqa: BLE001 (the caller that waits for it gets it)
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Raise an error where this is awaited."""
        self._failure = error

    def hand_over(self) -> bool:
        """Let whoever awaits this go on; return whether there is somebody."""
        result, value, failure = self._result, self._value, self._failure
        self._result = self._value = self._failure = None
        if result is None or result.done():
            _close(value)
            return False
        if failure is None:
            result.set_result(value)
        else:
            result.set_exception(failure)
        return True

    def cancel(self) -> None:
        """Let whoever still awaits this be cancelled."""
        if self._result is not None:
            self._result.cancel()

    def dispose(self) -> None:
        """Drop what the call has returned."""
        _close(self._value)


class _Batch:
    """Calls that go to one thread together, with those that are ready at the same time.

    Attributes:
        calls: those that have not begun.
    """

    def __init__(self, key: _Key, named: tuple[object, object, Workers]) -> None:
        self._key = key
        # Kept: their ids are not used again before this is over.
        self._named = named
        self.calls: list[BatchedCall] = []
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. All have come that are ready at the same time."""
        del _gathering[self._key]
        self._waiting += len(self.calls)
        context = self.calls[0].copied_context()
        self._task = asyncio.get_running_loop().create_task(self._run(), context=context)
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    def leave(self) -> None:
        """Nobody waits for one of the calls any more."""
        self._waiting -= 1
        if self._waiting == 0 and self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            some = self.calls[:CALLS_AT_ONCE]
            del self.calls[:CALLS_AT_ONCE]
            try:
                await self._run_some(some)
                if not self.calls:
                    return
                await breathe()
            except asyncio.CancelledError:
                for call in chain(some, self.calls):
                    call.cancel()
                raise

    async def _run_some(self, calls: list[BatchedCall]) -> None:
        try:
            await in_thread(partial(_call_all, calls), self._named[2], dispose=_dispose)
        except Exception as error:  # noqa: BLE001 (no thread to be had, for example)
            for call in calls:
                call.fail(error)
        first, *others = _parts(calls)
        self._hand_over(first)
        for part in others:
            await breathe()
            self._hand_over(part)

    def _hand_over(self, calls: list[BatchedCall]) -> None:
        self._waiting -= sum([call.hand_over() for call in calls])


def is_at_hand(value: Any) -> bool:
    """Return whether a value can be iterated over without a query or other code."""
    if isinstance(value, _COLLECTIONS):
        return True
    return isinstance(value, QuerySet) and value._result_cache is not None  # noqa: SLF001


_COLLECTIONS: Final = (list, tuple, set, frozenset, deque, range, KeysView, ValuesView)


def taken(values: Iterable[Any]) -> Iterable[Any]:
    """Return the items of something that works while somebody iterates over it.

    The rest of very many is left where it is: there may be no end of them.
    """
    items = iter(values)
    first = list(islice(items, MOST_TAKEN))
    return first if len(first) < MOST_TAKEN else chain(first, items)


def _batch_of(
    owner: object, kind: object, workers: Workers, loop: asyncio.AbstractEventLoop
) -> _Batch:
    """Return the batch of what comes now."""
    key = id(owner), id(kind), id(workers)
    batch = _gathering.get(key)
    if batch is None:
        batch = _gathering[key] = _Batch(key, (owner, kind, workers))
        # Behind the tasks that are ready now, each of which may have a call to add.
        loop.call_soon(batch.start, context=Context())
    return batch


def _call_all(calls: list[BatchedCall]) -> list[BatchedCall]:
    until = monotonic() + WINDOW
    for call in calls:
        call.run()
        if monotonic() >= until:
            turns.take()
            until = monotonic() + WINDOW
    return calls


def _parts(calls: list[BatchedCall]) -> list[list[BatchedCall]]:
    """Return what is handed over in one iteration of the event loop, and in the next ones.

    Objects go together: below them a data loader gets its keys in one call. So do awaitables,
    and at once: nobody is cancelled meanwhile, and leaves one that is never awaited.
    """
    if len(calls) <= FEW:
        return [calls]
    objects: list[BatchedCall] = []
    values: list[BatchedCall] = []
    for call in calls:
        (objects if call.is_object else values).append(call)
    parts = [values[at : at + VALUES_AT_ONCE] for at in range(0, len(values), VALUES_AT_ONCE)]
    return [objects, *parts] if objects else parts


def _close(value: Any) -> None:
    if iscoroutine(value):
        value.close()


def _dispose(calls: list[BatchedCall] | None) -> None:
    for call in calls or ():
        call.dispose()


_VALUES: Final = {str, int, float, bool, type(None), Decimal, date, datetime, time, UUID}
"""Classes of which nothing can be selected; `None` is where there is an error, too."""

_Key: TypeAlias = tuple[int, int, int]

_gathering: dict[_Key, _Batch] = {}

_running: set[asyncio.Task[None]] = set()
