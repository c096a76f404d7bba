"""Messages that are far longer than what was sent of them: how much of it is inflated in a second.

A text of one character, compressed, takes a thousandth on the wire. So a few hundred kilobytes, on
many sockets at once, would be hundreds of megabytes to inflate and to decode in one iteration of
the event loop. JSON of applications is seldom longer than ten times what it is compressed, and
what is not longer than twenty times is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Final

RATIO: Final = 20
"""How many times as long as on the wire a message may be that is not counted."""

PERIOD: Final = 1.0
"""Seconds after which what was inflated does not count any more."""

MOST_OF_ONE: Final = 8_388_608
"""Bytes beyond that, of all messages of a user or address in a period."""

MOST_OF_UNKNOWN: Final = 16_777_216
"""The same of all clients together of whom neither is known."""

MOST_OF_ALL: Final = 33_554_432
"""The same of all clients of a process."""


class Amplification:
    """What was inflated in this period, as far as it is counted."""

    def __init__(self) -> None:
        self._sizes: Counter[Hashable] = Counter()
        self._size = 0
        self._until = 0.0

    def most(self, wire: int, owner: Callable[[], Hashable]) -> int:
        """Return how long a message may be now.

        Args:
            wire: bytes of it on the wire.
            owner: returns whose it is: the user, or else the address; `None`: not known.
        """
        return RATIO * wire + (self._left(owner) if self._size else MOST_OF_ONE)

    def count(self, wire: int, size: int, owner: Callable[[], Hashable]) -> None:
        """Count what was inflated.

        Args:
            wire: bytes on the wire.
            size: bytes of what became of them.
            owner: as for `most`.
        """
        more = size - RATIO * wire
        if more > 0:
            self._renew()
            self._size += more
            self._sizes[owner()] += more

    def _left(self, owner: Callable[[], Hashable]) -> int:
        self._renew()
        key = owner()
        most = MOST_OF_UNKNOWN if key is None else MOST_OF_ONE
        return max(0, min(most - self._sizes[key], MOST_OF_ALL - self._size))

    def _renew(self) -> None:
        now = monotonic()
        if now > self._until:
            self._until = now + PERIOD
            self._size = 0
            self._sizes.clear()


amplification: Final = Amplification()
"""That of the process."""
