"""The ear of one process and event loop: hands each broadcast to those who listen.

However many clients subscribe, a process has one channel on the channel layer, joins
a group once, and decodes a broadcast once to see that it is sound. With the in-memory
layer not even that: broadcasts come straight from `broadcast`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from channels_graphql_ws.serializer import Serializer

CoalesceKey: TypeAlias = tuple[object, Hashable] | None
"""A `coalesce` hook, and what it has given."""


class Notification:
    """A broadcast payload: bytes, and an object of its own for everybody who executes it.

    Attributes:
        coalesce_key: the `coalesce` hook and what it has given, once it was asked.
    """

    __slots__ = ("_again", "_data", "_first", "coalesce_key", "serial")

    def __init__(self, data: bytes, serial: int = 0) -> None:
        """Decode once, to know that it can be done.

        Args:
            data: the payload.
            serial: how many broadcasts the hub has heard.

        Raises:
            PayloadDecodeError: these bytes are no payload of ours.
        """
        self.serial = serial
        self._data = data
        self._first: list[Any] = [Serializer.deserialize(data)]
        self._again: Callable[[], Any] | None = None
        self.coalesce_key: CoalesceKey = None

    def payload(self) -> Any:
        """Give an object that nobody else has: a `publish` may change it."""
        if self._again is not None:
            return self._again()
        if self._first:
            return self._first.pop()
        self._again = Serializer.deserializer(self._data)
        return self._again()
