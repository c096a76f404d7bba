"""Use a channel layer that may fail, hang or fall silent: deadlines, and reading for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub.layers import ChannelLayer

log = ClientLog("channels_graphql_ws.broadcast")

T = TypeVar("T")

CALL_TIMEOUT = 5.0
"""Seconds that one call of a channel layer may take."""

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to use a channel layer that is out of order."""

CANCELLATIONS = 100
"""Attempts to end one of our tasks before it is given up."""

CANCEL_AGAIN_AFTER = 0.05
"""Seconds between two of them."""

_abandoned: set[asyncio.Future[Any]] = set()
"""Calls that did not end in time, and have not ended yet. Held here, or the garbage collector
may end one half-way."""


async def within(seconds: float, call: Awaitable[T], what: str) -> T:
    """Wait for a call of a channel layer, but not for ever.

    A call that does not end in time is cancelled and not waited for: redis-py may swallow
    the cancellation while it connects.

    Raises:
        ChannelLayerUnavailableError: it took longer; the text says what did.
    """
    running = asyncio.ensure_future(call)
    try:
        await asyncio.wait([running], timeout=seconds)
    finally:
        if not running.done():
            running.cancel()
            _abandoned.add(running)
            running.add_done_callback(_forget)
        else:
            # Whoever waits may be cancelled in the moment in which the call fails.
            _forget(running)
    if not running.done():
        raise ChannelLayerUnavailableError(
            f"The channel layer did not {what} within {seconds:g} seconds"
        )
    return running.result()


async def asked(make: Callable[[], Awaitable[T]], what: str) -> T:
    """Ask a channel layer's Redis something that a client waits for; once more if that fails.

    Connections that lie idle while Redis was started anew fail once.

    Raises:
        ChannelLayerUnavailableError: it failed twice, or took too long.
    """
    try:
        return await within(CALL_TIMEOUT, make(), what)
    except ChannelLayerError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
        log.debug("The channel layer did not %s: %r", what, error)
    try:
        return await within(CALL_TIMEOUT, make(), what)
    except ChannelLayerError:
        raise
    except Exception as error:
        raise ChannelLayerUnavailableError(
            f"The channel layer did not {what}: {error!r}"
        ) from error


def _forget(call: asyncio.Future[Any]) -> None:
    _abandoned.discard(call)
    if not call.cancelled():
        call.exception()  # Marks it as seen.


def is_timeout(error: BaseException) -> bool:
    """Return whether this is a timeout; redis-py has an error of its own for it."""
    return any(kind.__name__ == "TimeoutError" for kind in type(error).__mro__)


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row."""
    return min(LONGEST_PAUSE, 0.05 * 2.0 ** min(failures, 10)) if failures else 0.0


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they end: redis-py may swallow a cancellation while it connects."""
    pending = set(tasks)
    for _ in range(CANCELLATIONS):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER)
    log.warning("Gave up on %s tasks that cannot be cancelled", len(pending))


class ChannelReader:
    """Reads one channel until it is closed; nothing that a channel layer raises ends that.

    Args:
        layer: the channel layer.
        channel: the name of the channel.
        take: is called with each message; a coroutine is awaited. What it raises is logged.
        failed: is called after an error that may mean lost messages.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        take: Callable[[Any], Awaitable[None] | None],
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        self.channel = channel
        self._layer = layer
        self._take = take
        self._failed = failed
        self._restarts = False
        self._is_interruptible = False
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._read(), context=Context())
        _readers.setdefault(loop, {}).setdefault(id(layer), WeakSet()).add(self)

    def restart(self) -> None:
        """Ask the channel layer anew: it has forgotten the channel."""
        if self._restarts or not self._is_interruptible:
            # It is about to read anew in any case, and a message is not interrupted.
            return
        self._restarts = True
        self._task.cancel()

    async def close(self) -> None:
        """Read no more."""
        self._restarts = False
        await cancel([self._task])

    async def _read(self) -> None:
        failures = 0
        while True:
            try:
                failures = await self._read_once(failures)
            except asyncio.CancelledError:
                # It may come anywhere, also in the pause after an error.
                if not self._restarts:
                    raise
            if self._restarts:
                self._restarts = False
                self._task.uncancel()

    async def _read_once(self, failures: int) -> int:
        """Read and take one message; return how many reads in a row have failed."""
        self._is_interruptible = True
        try:
            message = await self._layer.receive(self.channel)
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            await self._recover(error, failures + 1)
            return failures + 1
        finally:
            self._is_interruptible = False
        try:
            rest = self._take(message)
            if rest is not None:
                await rest
        # Anybody may write to a channel layer, and no message may end the reading.
        except Exception:
            log.exception("A message of the channel layer was lost")
        return 0

    async def _recover(self, error: Exception, failures: int) -> None:
        """Wait a little before the next read."""
        if is_timeout(error):
            # Usual on an idle connection. If it is more than that, the canary will tell.
            log.debug("A read from the channel layer timed out: %r", error)
            await asyncio.sleep(pause_after(failures - 1))
            return
        log.warning("Cannot read from the channel layer, events may be lost: %r", error)
        self._failed()
        await asyncio.sleep(pause_after(failures))


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, WeakSet[ChannelReader]]] = (
    WeakKeyDictionary()
)


def readers_of(layer: object) -> list[ChannelReader]:
    """Return those who read from a channel layer on the running event loop."""
    by_layer = _readers.get(asyncio.get_running_loop(), {})
    return [reader for reader in by_layer.get(id(layer), ()) if not reader._task.done()]  # noqa: SLF001 (its own module)
