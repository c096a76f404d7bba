"""Send what one operation calls at the same time to one thread, and not each call to its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, KeysView, ValuesView
from contextvars import Context, copy_context
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from inspect import iscoroutine
from itertools import chain, islice
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from django.db.models import QuerySet

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import OPERATIONS, Workers, in_thread
from channels_graphql_ws.concurrency.variables import run_adopted
from channels_graphql_ws.execution.breathing import breathe

CALLS_AT_ONCE: Final = 1_000
"""Calls that go to a thread together at most. The others go when these have their results."""

FEW: Final = 256
"""Results that are handed over at once, if there are no more of them."""

VALUES_AT_ONCE: Final = 64
"""Results that are handed over at a time where there are more than few. Each lets a task go on,
which takes far longer in all than the handing over."""

MOST_TAKEN: Final = 100_000
"""Items that are taken in a thread at most."""

Outcome: TypeAlias = tuple[Any, BaseException | None]


class _Call(NamedTuple):
    """A call, and the futures that wait for it."""

    call: Callable[[], Any]
    context: Context
    result: asyncio.Future[Any]


_Result: TypeAlias = tuple[_Call, Outcome]


async def in_batch(
    call: Callable[[], Any], owner: object, kind: object, workers: Workers = OPERATIONS
) -> Any:
    """Call in a thread, after other calls of the same kind that came just before.

    The items of a list come so: a hundred calls are one trip to a thread, and a data loader
    gets a hundred keys at once.

    Args:
        call: what to call. An awaitable that it returns is awaited here.
        owner: the operation, or what only it has.
        kind: what is called; different kinds go to threads of their own.
        workers: where the threads come from.
    """
    key = id(owner), id(kind), id(workers)
    batch = _gathering.get(key)
    if batch is None:
        batch = _gathering[key] = _Batch(key, owner, kind, workers)
    result = await batch.put(call)
    # An `async def` behind a middleware has only been called there: it runs here.
    return await result if is_awaitable(result) else result


class _Batch:
    """Calls that go to one thread together, with those that are ready at the same time."""

    def __init__(self, key: _Key, owner: object, kind: object, workers: Workers) -> None:
        self._key = key
        # Kept: their ids are not used again before this is over.
        self._named = owner, kind
        self._workers = workers
        self._calls: list[_Call] = []
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        # Behind the tasks that are ready now, each of which may have a call to add.
        asyncio.get_running_loop().call_soon(self._start, context=Context())

    def put(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Add a call."""
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.append(_Call(call, copy_context(), result))
        self._waiting += 1
        result.add_done_callback(self._answered)
        return result

    def _start(self) -> None:
        del _gathering[self._key]
        context = self._calls[0].context.copy()
        self._task = asyncio.get_running_loop().create_task(self._run(), context=context)
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    def _answered(self, _: object) -> None:
        self._waiting -= 1
        if self._waiting == 0 and self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        calls = self._calls
        try:
            await self._run_some(calls[:CALLS_AT_ONCE])
            for begun in range(CALLS_AT_ONCE, len(calls), CALLS_AT_ONCE):
                await breathe()
                await self._run_some(calls[begun : begun + CALLS_AT_ONCE])
        except asyncio.CancelledError:
            for call in calls:
                call.result.cancel()
            raise

    async def _run_some(self, calls: list[_Call]) -> None:
        try:
            outcomes: list[Outcome] = await in_thread(
                partial(_call_all, calls), self._workers, dispose=_dispose
            )
        except Exception as error:  # noqa: BLE001 (no thread to be had, for example)
            outcomes = [(None, error)] * len(calls)
        first, *others = _parts(list(zip(calls, outcomes, strict=True)))
        _hand_over(first)
        for part in others:
            await breathe()
            _hand_over(part)


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


def _call_all(calls: list[_Call]) -> list[Outcome]:
    return [_outcome(call) for call in calls]


def _outcome(call: _Call) -> Outcome:
    if call.result.cancelled():
        return None, None
    try:
        return run_adopted(call.context, call.call), None
    except StopIteration as error:
        return None, RuntimeError(f"{call.call!r} raised StopIteration: {error}")
    except BaseException as error:  # noqa: BLE001 (the caller that waits for it gets it)
        return None, error


def _parts(results: list[_Result]) -> list[list[_Result]]:
    """Return what is handed over in one iteration of the event loop, and in the next ones.

    Objects go together: below them a data loader gets its keys in one call. So do awaitables,
    and at once: nobody is cancelled meanwhile, and leaves one that is never awaited.
    """
    if len(results) <= FEW:
        return [results]
    objects: list[_Result] = []
    values: list[_Result] = []
    for result in results:
        (values if type(result[1][0]) in _VALUES else objects).append(result)
    parts = [values[at : at + VALUES_AT_ONCE] for at in range(0, len(values), VALUES_AT_ONCE)]
    return [objects, *parts] if objects else parts


def _hand_over(results: list[_Result]) -> None:
    for call, (value, failure) in results:
        if call.result.done():
            _dispose([(value, None)])
        elif failure is None:
            call.result.set_result(value)
        else:
            call.result.set_exception(failure)


def _dispose(outcomes: list[Outcome] | None) -> None:
    for value, _ in outcomes or ():
        if iscoroutine(value):
            value.close()


_VALUES: Final = {str, int, float, bool, type(None), Decimal, date, datetime, time, UUID}
"""Classes of which nothing can be selected; `None` is where there is an error, too."""

_Key: TypeAlias = tuple[int, int, int]

_gathering: dict[_Key, _Batch] = {}

_running: set[asyncio.Task[None]] = set()
