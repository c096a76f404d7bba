"""The queue of a subscription, and its policy when it is full.

Nothing here knows of clients or event loops: put in, take out. Every subscription has a
queue, and most are always empty: such a one holds next to nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, Protocol, TypeVar

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.pubsub.notification import STAYS, CoalesceKey
from channels_graphql_ws.subscription.declaration import (
    QueuePolicy,
    Subscription,
    queue_policy,
)
from channels_graphql_ws.subscription.field import Hook
from channels_graphql_ws.tally import tallies

log = ClientLog("channels_graphql_ws.broadcast")


class Queued(Protocol):
    """What may wait: a notification, or what came of it."""

    @property
    def coalesce_key(self) -> CoalesceKey:
        """The `coalesce` hook and what it has given, once it was asked."""
        ...

    @coalesce_key.setter
    def coalesce_key(self, key: CoalesceKey) -> None: ...

    @property
    def size(self) -> int:
        """About how many bytes it takes while it waits; always the same number."""
        ...

    def waits(self) -> None:
        """It goes into a queue: keep no more than its size says."""

    def payload(self) -> Any:
        """Return the payload."""
        ...


T = TypeVar("T", bound=Queued)


class DropLog:
    """Counts dropped notifications, and says so at most once in a while."""

    interval = 10.0
    """Seconds between two warnings."""

    def __init__(self) -> None:
        self.count = 0
        self._warned_at = float("-inf")

    def warn(self, what: str, consequence: str, limit: int) -> None:
        """Log what happens to a subscription that is too slow, if it is due."""
        now = time.monotonic()
        if now - self._warned_at < self.interval:
            return
        self._warned_at = now
        log.warning(
            "Subscription %s cannot keep up: %s "
            "(queue limit %s, %s dropped in this process so far)",
            what,
            consequence,
            limit,
            self.count,
        )


drops = DropLog()
"""All notifications that this process has dropped."""


MOST_BYTES: Final = 268_435_456
"""Bytes that may wait for all clients of a process. Beyond that, each has `SHARE`."""

SHARE: Final = 1_048_576
"""Bytes that may wait for a client whatever waits for others."""


class _Total:
    """What waits in all queues of this process."""

    def __init__(self) -> None:
        self.size = 0
        # Event loops may run in several threads.
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Count bytes that begin to wait; a negative number no longer waits."""
        with self._lock:
            self.size += size


total: Final = _Total()


class QueuedBytes:
    """What waits in the queues of all subscriptions of one client.

    Args:
        limit: bytes; `None` for any number. A single one may be larger.

    Attributes:
        limit: the same.
        size: bytes that wait.
    """

    __slots__ = ("limit", "size")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.size = 0

    def add(self, size: int) -> None:
        """Count bytes that begin to wait; a negative number no longer waits."""
        self.size += size
        total.add(size)

    def has_room(self, size: int) -> bool:
        """Return whether so many bytes more may wait."""
        return not self.size or not self._exceeds(size)

    @property
    def is_exceeded(self) -> bool:
        """Whether more waits than may."""
        return self._exceeds(0)

    def _exceeds(self, more: int) -> bool:
        if self.limit is None:
            return False
        size = self.size + more
        return size > self.limit or (size > SHARE and total.size + more > MOST_BYTES)


class NotificationQueue(Generic[T]):
    """Notifications in the order in which they came; in a full one, the oldest is dropped.

    Args:
        name: of the subscription class.
        limit: how many may wait.
        queued: counts the bytes of all queues of the client; `None` for one of its own.

    Attributes:
        dropped: how many were.
        missed: how many of them the client was not told of.
        on_drop: is called with the number of those that are dropped, unless it is `None`.
    """

    __slots__ = (
        "_limit",
        "_name",
        "_queued",
        "_size",
        "_waiting",
        "dropped",
        "missed",
        "on_drop",
    )

    tells_of_gaps = True
    """Whether dropping is a loss, and not what the policy is for."""

    consequence = "notifications are dropped, the oldest first"
    """What the log says when it is full."""

    silent_limit = 1
    """The highest limit that deserves no warning: "only the latest" is its purpose."""

    def __init__(self, name: str, limit: int, queued: QueuedBytes | None = None) -> None:
        self.dropped = self.missed = 0
        self.on_drop: Callable[[int], None] | None = None
        self._name = name
        self._limit = limit
        self._queued = QueuedBytes() if queued is None else queued
        self._size = 0
        # An empty deque has room for 64, in each of thousands of idle subscriptions.
        self._waiting: deque[T] | None = None

    def put(self, notification: T) -> bool:
        """Take a notification; return whether the subscription may go on."""
        if self._waiting is None:
            self._waiting = deque()
        notification.waits()
        if len(self._waiting) >= self._limit or not self._queued.has_room(notification.size):
            return self._overflow(self._waiting, notification)
        self._waiting.append(self._charged(notification))
        return True

    def take(self) -> T | None:
        """Return the next notification, or `None`."""
        return self._released(self._waiting.popleft()) if self._waiting else None

    def __len__(self) -> int:
        """Return how many wait. May be called from any thread."""
        waiting = self._waiting
        return 0 if waiting is None else len(waiting)

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting = None
        self._release_all()

    def _overflow(self, waiting: deque[T], notification: T) -> bool:
        waiting.append(self._charged(notification))
        dropped = 0
        while self._is_over(len(waiting)):
            self._released(waiting.popleft())
            dropped += 1
        self._drop(dropped)
        return True

    def _is_over(self, number: int) -> bool:
        """Return whether one of so many has to give way."""
        if number > self._limit:
            return True
        queued = self._queued
        is_alone = number == 1 and queued.size == self._size
        return bool(number) and queued.is_exceeded and not is_alone

    def _charged(self, notification: T) -> T:
        self._size += notification.size
        self._queued.add(notification.size)
        return notification

    def _released(self, notification: T) -> T:
        self._size -= notification.size
        self._queued.add(-notification.size)
        return notification

    def _release_all(self) -> None:
        if self._size:
            self._queued.add(-self._size)
            self._size = 0

    def _drop(self, number: int) -> None:
        self.dropped += number
        drops.count += number
        tallies.of(self._name).dropped += number
        if self.on_drop is not None:
            self.on_drop(number)
        if self.tells_of_gaps and self._limit > 1:
            self.missed += number
        if self._limit > self.silent_limit:
            drops.warn(self._name, self.consequence, self._limit)


class DropNewestQueue(NotificationQueue[T]):
    """A full one does not take what comes."""

    __slots__ = ()

    consequence = "notifications are dropped, the newest first"

    def _overflow(self, waiting: deque[T], notification: T) -> bool:
        del waiting, notification
        self._drop(1)
        return True


class ClosingQueue(NotificationQueue[T]):
    """A full one is the end of the subscription.

    What waits is not delivered: the client has to ask for the state of things anew in
    any case, and learns of it the sooner.
    """

    __slots__ = ()

    consequence = "it is ended"
    silent_limit = 0
    tells_of_gaps = False

    def _overflow(self, waiting: deque[T], notification: T) -> bool:
        del notification
        self._drop(len(waiting) + 1)
        self.clear()
        return False


class CoalescingQueue(NotificationQueue[T]):
    """Of notifications with equal keys it keeps the newest, in the place of the older.

    A full one drops the oldest, whatever its key.
    """

    __slots__ = ("_by_key", "_hook")

    tells_of_gaps = False

    def __init__(
        self, name: str, limit: int, hook: Hook, queued: QueuedBytes | None = None
    ) -> None:
        super().__init__(name, limit, queued)
        self._hook = hook
        self._by_key: OrderedDict[Hashable, T] | None = None

    def put(self, notification: T) -> bool:
        """Take a notification; the subscription goes on."""
        if self._by_key is None:
            self._by_key = OrderedDict()
        key = self._key(notification)
        notification.waits()
        # One that is not to be coalesced has a key that nothing else is equal to.
        key = object() if key is None else key
        replaced = self._by_key.get(key)
        if replaced is not None:
            self._released(replaced)
        self._by_key[key] = self._charged(notification)
        dropped = 0
        while self._is_over(len(self._by_key)):
            self._released(self._by_key.popitem(last=False)[1])
            dropped += 1
        if dropped:
            self._drop(dropped)
        return True

    def take(self) -> T | None:
        """Return the next notification, or `None`."""
        return self._released(self._by_key.popitem(last=False)[1]) if self._by_key else None

    def __len__(self) -> int:
        """Return how many wait. May be called from any thread."""
        waiting = self._by_key
        return 0 if waiting is None else len(waiting)

    def clear(self) -> None:
        """Forget all of them."""
        self._by_key = None
        self._release_all()

    def _key(self, notification: T) -> Hashable:
        """Ask the hook, once for all subscriptions of this process."""
        known = notification.coalesce_key
        if known is STAYS:
            return None
        if known is None or known[0] is not self._hook:
            known = notification.coalesce_key = self._hook, self._asked(notification)
        return known[1]

    def _asked(self, notification: T) -> Hashable:
        try:
            key: Hashable = self._hook(notification.payload())
            hash(key)
        # Whatever the hook does, nobody else's notification may be lost for it.
        except (Exception, asyncio.CancelledError):
            log.exception("`coalesce` of %s failed: its notification stays alone", self._name)
            return None
        return key


_QUEUES: Final[dict[QueuePolicy, type[NotificationQueue[Any]]]] = {
    "drop_oldest": NotificationQueue,
    "drop_newest": DropNewestQueue,
    "close": ClosingQueue,
}


def queue_for(
    subscription_class: type[Subscription], limit: int, queued: QueuedBytes | None = None
) -> NotificationQueue[Any]:
    """Make the queue that a subscription class has chosen.

    Args:
        subscription_class: has a policy.
        limit: how many may wait.
        queued: counts the bytes of all queues of the client.
    """
    name = subscription_class.__qualname__
    policy = queue_policy(subscription_class)
    if policy == "coalesce":
        return CoalescingQueue(name, limit, subscription_class._meta.coalesce, queued)
    return _QUEUES[policy](name, limit, queued)
