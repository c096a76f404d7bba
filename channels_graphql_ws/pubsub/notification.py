"""`Notification`: one broadcast, with a payload of its own for each execution."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import deepcopy
from functools import partial
from logging import DEBUG, getLogger
from typing import Any, Final, TypeAlias

from channels_graphql_ws.pubsub.origin import Origin
from channels_graphql_ws.serializer import Serializer

log = getLogger("channels_graphql_ws.broadcast")

CoalesceKey: TypeAlias = tuple[object, Hashable] | None
"""A `coalesce` hook, and the key that it returned."""


STAYS: Final = (object(), None)
"""The key of what nothing replaces, whatever the hook would say."""


class Notification:
    """The payload of a broadcast: its bytes, and a new object for each execution.

    Attributes:
        coalesce_key: the `coalesce` hook and the key that it returned, once it was called.
        is_traced: whether the log shows what becomes of it.
        sent_at: when it was broadcast, if anybody wants to know; a Unix time.
        origin: its place in a history and what was lost before it, if there is any of that.
    """

    __slots__ = (
        "_again",
        "_data",
        "_first",
        "coalesce_key",
        "is_traced",
        "origin",
        "sent_at",
        "serial",
    )

    def __init__(self, data: bytes, serial: int = 0) -> None:
        """Decode once, to know that it can be done.

        Args:
            data: the payload.
            serial: its number among the broadcasts that the hub received.

        Raises:
            PayloadDecodeError: the bytes are not one of our payloads.
            SynchronousOnlyOperation: decode it in a thread, see `decoded_in_thread`.
        """
        self.serial = serial
        # Asked once for all subscribers: a skipped event costs little more than a call.
        self.is_traced = log.isEnabledFor(DEBUG)
        self._data = data
        self._first: list[Any] = [Serializer.deserialize(data)]
        self._again: Callable[[], Any] | None = None
        self.coalesce_key: CoalesceKey = None
        self.origin: Origin | None = None
        self.sent_at: float | None = None

    @classmethod
    def decoded_in_thread(cls, data: bytes, serial: int) -> Notification:
        """Decode what needs the database. To be called in a thread.

        The objects for the executions are copies: they are made on the event loop.

        Raises:
            PayloadDecodeError: the bytes are not one of our payloads.
        """
        notification = cls(data, serial)
        notification._again = partial(deepcopy, notification._first.pop())
        return notification

    @property
    def size(self) -> int:
        """The bytes of the payload."""
        return len(self._data)

    def waits(self) -> None:
        """Keep the bytes alone: decoded, some payloads take twenty times as many."""
        self._first.clear()

    def payload(self) -> Any:
        """Return an object that no other execution has: `publish` may change it."""
        if self._again is not None:
            return self._again()
        if self._first:
            return self._first.pop()
        self._again = Serializer.deserializer(self._data)
        return self._again()
