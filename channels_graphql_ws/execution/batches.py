"""Send what one operation calls at the same time to one thread, and not each call to its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, KeysView, ValuesView
from contextvars import Context, copy_context
from inspect import iscoroutine
from itertools import chain, islice
from typing import Any, Final, NamedTuple, TypeAlias

from django.db.models import QuerySet

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import OPERATIONS, Workers, in_thread
from channels_graphql_ws.concurrency.variables import run_adopted

MOST_TAKEN: Final = 100_000
"""Items that are taken in a thread at most."""

Outcome: TypeAlias = tuple[Any, BaseException | None]


class _Call(NamedTuple):
    """A call, and the futures that wait for it."""

    call: Callable[[], Any]
    context: Context
    result: asyncio.Future[Any]


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
        try:
            outcomes: list[Outcome] = await in_thread(
                self._call_all, self._workers, dispose=_dispose
            )
        except Exception as error:  # noqa: BLE001 (no thread to be had, for example)
            outcomes = [(None, error)] * len(self._calls)
        for call, (value, failure) in zip(self._calls, outcomes, strict=True):
            if call.result.done():
                _dispose([(value, None)])
            elif failure is None:
                call.result.set_result(value)
            else:
                call.result.set_exception(failure)

    def _call_all(self) -> list[Outcome]:
        return [_outcome(call) for call in self._calls]


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


def _outcome(call: _Call) -> Outcome:
    if call.result.cancelled():
        return None, None
    try:
        return run_adopted(call.context, call.call), None
    except StopIteration as error:
        return None, RuntimeError(f"{call.call!r} raised StopIteration: {error}")
    except BaseException as error:  # noqa: BLE001 (the caller that waits for it gets it)
        return None, error


def _dispose(outcomes: list[Outcome] | None) -> None:
    for value, _ in outcomes or ():
        if iscoroutine(value):
            value.close()


_Key: TypeAlias = tuple[int, int, int]

_gathering: dict[_Key, _Batch] = {}

_running: set[asyncio.Task[None]] = set()
