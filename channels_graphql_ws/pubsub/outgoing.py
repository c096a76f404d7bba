"""A message on its way to a group, and the future of its sender."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.pubsub.numbering import ANNOUNCEMENT

log = ClientLog("channels_graphql_ws.broadcast")

_LONGEST_IN_LOG = 100


@dataclass(slots=True)
class Outgoing:
    """One message on its way to a group."""

    message: dict[str, Any]
    sender: str
    """The class that it is about."""
    addressee: str | None = None
    """The group, as its sender calls it."""
    keep: tuple[int, float] | None = None
    """How many events of the group its history keeps, and for how many seconds."""
    is_numbered: bool = True
    """Whether receivers are to notice if it is lost; not if it was sent before, perhaps."""

    @property
    def about(self) -> str:
        """What to call it in the log, where few ever come."""
        call = "disconnect" if self.message.get("revokes") else self.message["type"]
        return f"{self.sender}.{call}(group={_shortened(self.addressee)!r})"

    @property
    def group(self) -> str:
        """The group's name on the channel layer."""
        group: str = self.message["group"]
        return group

    @property
    def counts(self) -> bool:
        """Return whether it is a user's, and not one of our own."""
        return self.message.get("type") != ANNOUNCEMENT

    def has_waited(self, seconds: float) -> None:
        """Add to what the message tells of the time before it; see `Numbering`."""
        if "pause" in self.message:
            self.message["pause"] += seconds

    def restart(self) -> None:
        """Let the message count as sent now, and not when its sender was called."""
        if "at" in self.message:
            self.message["at"] = time.time()

    @property
    def size(self) -> int:
        """How many bytes it holds while it waits."""
        payload = self.message.get("payload")
        return len(payload) if isinstance(payload, bytes) else 0


def _shortened(group: str | None) -> str | None:
    """Shorten a long name of a group for a log line."""
    return (
        group if group is None or len(group) <= _LONGEST_IN_LOG else f"{group[:_LONGEST_IN_LOG]}…"
    )


class FailureLog:
    """Logs broadcasts that failed and that nobody awaited: of each class the first, then few."""

    interval = 10.0
    """Seconds between two lines about one class."""

    most_kept = 1_000
    """Classes that are remembered."""

    def __init__(self) -> None:
        self.count = 0
        """Failures that nobody awaited, in this process."""
        self._said: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def add(self, error: Exception, about: str) -> None:
        """Log a failure, or count it for the next line."""
        self.count += 1
        kind, now = about.partition("(")[0], time.monotonic()
        if now - self._said.get(kind, float("-inf")) < self.interval:
            self._unsaid[kind] += 1
            return
        if len(self._said) >= self.most_kept:
            self._said.clear()
        self._said[kind] = now
        unsaid = self._unsaid.pop(kind, 0)
        more = f" (and {unsaid} more since the last such line)" if unsaid else ""
        log.error("%s failed and nobody awaited it%s", Sentence(about), more, exc_info=error)


failures = FailureLog()
"""That of this process."""


class PendingSend(asyncio.Future[None]):
    """A broadcast on its way. Await it to learn that it was sent, or leave it alone."""

    is_watched = False

    def __await__(self) -> Generator[Any, None, None]:
        self.is_watched = True
        return super().__await__()

    __iter__ = __await__

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        """See `asyncio.Future`; the callback learns of a failure, so it is not logged."""
        self.is_watched = True
        super().add_done_callback(fn, context=context)

    def sent(self) -> None:
        """Tell the waiting sender that the channel layer has it."""
        if not self.done():
            self.set_result(None)

    def fail(self, error: Exception, about: str) -> None:
        """Tell the waiting sender of a failure; if nobody waits, the log."""
        if self.done():
            return
        self.set_exception(error)
        if not self.is_watched:
            self.exception()  # Marks it as seen: asyncio would log it again, unnamed.
            failures.add(error, about)


class SendOfAll(PendingSend):
    """Several messages on their way, as one: done when the last is, failed if one has."""

    def __init__(self, pending: list[asyncio.Future[None]], about: str) -> None:
        super().__init__(loop=pending[0].get_loop())
        self._left = len(pending)
        self._about = about
        for each in pending:
            each.add_done_callback(self._one_done)

    def _one_done(self, one: asyncio.Future[None]) -> None:
        self._left -= 1
        error = None if one.cancelled() else one.exception()
        if isinstance(error, Exception):
            self.fail(error, self._about)
        elif not self._left:
            self.sent()


class LocalSend(asyncio.Future[None]):
    """A broadcast that needs no channel layer: it cannot fail, and takes one loop iteration.

    What hands it over is on the event loop before its sender waits. So waiting takes
    no callback, and no second iteration.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        if not self.done():
            yield
        if not self.done():
            return (yield from super().__await__())
        return self.result()

    __iter__ = __await__


class Sent:
    """A broadcast that plain code has sent: what may be awaited is done already.

    So `async_to_sync(MySubscription.broadcast)(…)` works, which awaits whatever it is given.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        """Return at once."""
        yield from ()


SENT = Sent()
