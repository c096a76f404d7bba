"""How long a hook of a subscription may take: a warning first, then its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextvars import Context
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from weakref import WeakKeyDictionary

from graphql import GraphQLError

from channels_graphql_ws.client_log import ClientLog, Sentence

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

EVERY = 0.5
"""Seconds between two looks at all that waits."""

AT_ONCE = 500
"""Hooks that are looked at before others are served: a client with many subscriptions has many."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a hook may take.

    Attributes:
        warn_after: seconds until the log is told; `None`: never.
        timeout: seconds until it is given up; `None`: never.
    """

    warn_after: float | None = None
    timeout: float | None = None

    @property
    def is_endless(self) -> bool:
        """Return whether nothing is done about a hook, however long it takes."""
        return self.warn_after is None and self.timeout is None


ENDLESS: Final = Patience()


class HookTimeoutError(GraphQLError):
    """A hook was given up, as it took too long.

    Attributes:
        seconds: how long it was allowed to take.
    """

    def __init__(self, hook: str, seconds: float) -> None:
        text = f"`{hook}` took longer than {seconds:g} seconds."
        super().__init__(text, extensions={"code": "SUBSCRIBE_TIMEOUT"})
        self.seconds = seconds


class HookWatch:
    """Awaits one hook.

    Args:
        what: what the hook is called for: "An event of OnMessage".
        hook: the name of the hook.
        patience: how long it may take.
    """

    __slots__ = ("_cancellations", "_hook", "_is_warned_of", "_patience", "_task", "_what")

    def __init__(self, what: str, hook: str, patience: Patience) -> None:
        self._what = what
        self._hook = hook
        self._patience = patience
        self._task: asyncio.Task[Any] | None = None
        self._is_warned_of = False
        self._cancellations = 0

    async def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Return what the hook returns.

        Raises:
            HookTimeoutError: it took too long.
        """
        overdue = overdue_of_loop()
        # No variable here: what is cancelled keeps this frame, and its task would keep it in turn.
        self._task = asyncio.current_task()
        before = self._cancelling()
        overdue.begin(self)
        try:
            return await awaitable
        except asyncio.CancelledError:
            if not self._take_back() or self._cancelling() > before:
                raise
            raise HookTimeoutError(self._hook, self._patience.timeout or 0) from None
        finally:
            overdue.end(self)
            self._take_back()
            self._task = None

    def _cancelling(self) -> int:
        assert self._task is not None, "hooks are awaited in tasks"
        return self._task.cancelling()

    def has_waited(self, seconds: float) -> None:
        """Warn of a hook that takes long, and end one that takes too long."""
        patience, task = self._patience, self._task
        if patience.warn_after is not None and seconds >= patience.warn_after:
            self._warn(seconds)
        if patience.timeout is None or seconds < patience.timeout or task is None:
            return
        if not self._cancellations:
            what = Sentence(self._what)
            log.error("%s was given up: `%s` took too long", what, self._hook)
        # Again and again: a hook may swallow it, as redis-py does while it connects.
        self._cancellations += 1
        task.cancel()

    def _warn(self, seconds: float) -> None:
        if self._is_warned_of:
            return
        self._is_warned_of = True
        what = Sentence(self._what)
        log.warning("%s has waited for `%s` for %.1f seconds", what, self._hook, seconds)

    def _take_back(self) -> bool:
        """Take our own cancellations back; return whether there are any."""
        number, self._cancellations = self._cancellations, 0
        for _ in range(number):
            assert self._task is not None, "hooks are awaited in tasks"
            self._task.uncancel()
        return number > 0


class Overdue:
    """The hooks that are awaited on one event loop, with one timer for all of them."""

    def __init__(self) -> None:
        self._since: dict[HookWatch, float] = {}
        self._timer: asyncio.Handle | None = None

    def begin(self, watch: HookWatch) -> None:
        """Report now and then how long a hook has taken, until `end`."""
        loop = asyncio.get_running_loop()
        self._since[watch] = loop.time()
        if self._timer is None:
            self._look_later(loop)

    def end(self, watch: HookWatch) -> None:
        """Look no more after a hook."""
        del self._since[watch]
        if not self._since and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(EVERY, self._look, context=Context())

    def _look(self) -> None:
        self._look_on(iter(list(self._since)))

    def _look_on(self, watches: Iterator[HookWatch]) -> None:
        loop = asyncio.get_running_loop()
        looked_at = list(islice(watches, AT_ONCE))
        if len(looked_at) == AT_ONCE:
            self._timer = loop.call_soon(self._look_on, watches, context=Context())
        else:
            self._look_later(loop)
        now = loop.time()
        for watch in looked_at:
            since = self._since.get(watch)
            # It may have ended since the round began.
            if since is not None:
                watch.has_waited(now - since)


_overdue: WeakKeyDictionary[asyncio.AbstractEventLoop, Overdue] = WeakKeyDictionary()


def overdue_of_loop() -> Overdue:
    """Return what looks after the hooks that are awaited on the running event loop."""
    loop = asyncio.get_running_loop()
    overdue = _overdue.get(loop)
    if overdue is None:
        overdue = _overdue[loop] = Overdue()
    return overdue
