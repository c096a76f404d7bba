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

MOST_OF_ONE: Final = 33_554_432
"""Bytes beyond that, of all messages of a user or address in a period."""

MOST_OF_UNKNOWN: Final = 50_331_648
"""The same of all clients together of whom neither is known."""

MOST_OF_ALL: Final = 100_663_296
"""The same of all clients of a process."""

SMALL: Final = 65_536
"""Bytes of a message that is inflated in any case: what is sent again, compressed with what came
before it, takes a few bytes on the wire."""

MOST_OF_SMALL: Final = 2
"""How many times as much an owner may have before it has not even such messages."""


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
        if not self._size:
            return RATIO * wire + MOST_OF_ONE
        self._renew()
        key = owner()
        most, own = MOST_OF_UNKNOWN if key is None else MOST_OF_ONE, self._sizes[key]
        left = RATIO * wire + max(0, min(most - own, MOST_OF_ALL - self._size))
        return max(left, SMALL) if own < MOST_OF_SMALL * most else left

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

    def _renew(self) -> None:
        now = monotonic()
        if now > self._until:
            self._until = now + PERIOD
            self._size = 0
            self._sizes.clear()


amplification: Final = Amplification()
"""That of the process."""
