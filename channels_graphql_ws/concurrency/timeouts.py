"""Timeouts of many owners that last equally long: one timer of the event loop serves them all.

A server sets and stops several for each connection, most of them for one of a few durations.
Those of one duration end in the order in which they began, so that a queue can hold them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.concurrency.threads import context_of_nobody

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

AT_ONCE: Final = 50
"""Timeouts that end in one iteration of the event loop; clients may all have come at once."""

Expired: TypeAlias = Callable[[Any], None]
"""What is called with an owner: a function, or a method as its class has it."""


def start_timeout(
    loop: asyncio.AbstractEventLoop, seconds: float, expired: Expired, owner: object
) -> None:
    """Call `expired(owner)` later, in a context of its own.

    Args:
        loop: the event loop.
        seconds: until then.
        expired: is called. An owner has one timeout for each duration and function: to start
            it again is to begin anew.
        owner: whose timeout it is; must be hashable.
    """
    queues = _of_loops.get(loop)
    if queues is None:
        queues = _of_loops[loop] = WeakValueDictionary()
    queue = queues.get((seconds, expired))
    if queue is None:
        queue = queues[seconds, expired] = _Queue(seconds, expired)
    queue.add(owner, loop)


def stop_timeout(
    loop: asyncio.AbstractEventLoop, seconds: float, expired: Expired, owner: object
) -> None:
    """Undo `start_timeout`; harmless when repeated."""
    queues = _of_loops.get(loop)
    queue = None if queues is None else queues.get((seconds, expired))
    if queue is not None:
        queue.discard(owner)


class _Queue:
    """The owners that wait equally long for the same call.

    It lives as long as its timer does, in the event loop.
    """

    __slots__ = ("__weakref__", "_expired", "_seconds", "_timer", "_waiting")

    def __init__(self, seconds: float, expired: Expired) -> None:
        self._seconds = seconds
        self._expired = expired
        # In the order in which they end. A plain dictionary takes long to find its first item
        # when others before it were deleted.
        self._waiting: OrderedDict[object, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, owner: object, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.pop(owner, None)
        self._waiting[owner] = loop.time() + self._seconds
        if self._timer is None:
            self._set_timer(loop)

    def discard(self, owner: object) -> None:
        self._waiting.pop(owner, None)
        if self._timer is not None and not self._waiting:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        first = next(iter(self._waiting.values()))
        self._timer = loop.call_at(first, self._look, loop, context=context_of_nobody())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for owner in self._due(loop.time()):
            # One that was called before it may have stopped its timeout.
            if self._waiting.pop(owner, None) is not None:
                self._call(owner)
        if self._waiting and self._timer is None:
            self._set_timer(loop)

    def _due(self, now: float) -> list[object]:
        # After those, everything else on the event loop has its chance.
        first = islice(self._waiting.items(), AT_ONCE)
        return [owner for owner, _ in takewhile(lambda item: item[1] <= now, first)]

    def _call(self, owner: object) -> None:
        try:
            context_of_nobody().run(self._expired, owner)
        # The others are not to blame.
        except Exception:
            log.exception("A timeout failed")


_Queues: TypeAlias = WeakValueDictionary[tuple[float, Expired], _Queue]

_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queues] = WeakKeyDictionary()
