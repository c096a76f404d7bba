"""How many threads an owner may have: fewer if the event loop has to wait for what it computes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Final

LATE: Final = 0.02
"""Seconds that the event loop may take to hear of the end of a call, before there are too many
threads that compute: each has Python's lock for 5 ms, in no order."""

FEWEST: Final = 2
"""Threads that an owner may have in any case: with two that compute, the event loop waits for
about as long as with one."""

HALF_LIFE: Final = 1.0
"""Seconds after which half as much counts of what an owner has computed."""

LITTLE: Final = 0.1
"""Seconds of the processor that an owner may have had lately and is not said to compute: it waits
for a database, for example."""

UNTIL_FEWER: Final = 0.1
"""Seconds until the event loop may be late again and there are still fewer: the calls that have
begun have to end."""

UNTIL_MORE: Final = 3.0
"""Seconds in which the event loop was not late and after which there is one more."""

_FORGOTTEN_AFTER: Final = 10 * HALF_LIFE


class Shares:
    """Says how many threads each owner may have.

    All have the same share as long as the event loop is not late. When it is, those who compute
    get half as many, down to `FEWEST`: Python executes one thread at a time, so that nothing takes
    longer for that. Those whose calls wait for something else keep theirs.

    Args:
        most: how many one owner may have.
        clock: returns seconds.
    """

    __slots__ = ("_changed_at", "_clock", "_computed", "_of_computing", "most")

    def __init__(self, most: int, clock: Callable[[], float] = monotonic) -> None:
        self.most = most
        self._clock = clock
        self._of_computing = most
        self._changed_at = clock()
        # Seconds of the processor, and when they were noted: who was there last is the last.
        self._computed: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def of(self, owner: Hashable) -> int:
        """Return how many threads an owner may have now."""
        if self._of_computing >= self.most or self._lately(owner, self._clock()) <= LITTLE:
            return self.most
        return self._of_computing

    def note(self, owner: Hashable, computed: float, late: float) -> None:
        """Note the end of a call.

        Args:
            owner: whose it was.
            computed: seconds of the processor that it took.
            late: seconds after its end in which the event loop got to hear of it.
        """
        now = self._clock()
        self._computed[owner] = self._lately(owner, now) + computed, now
        self._computed.move_to_end(owner)
        self._forget(now)
        since = now - self._changed_at
        if since >= (UNTIL_FEWER if late > LATE else UNTIL_MORE):
            share = min(self.most, self._of_computing)
            share = max(FEWEST, share // 2) if late > LATE else share + 1
            self._of_computing, self._changed_at = min(self.most, share), now

    def _lately(self, owner: Hashable, now: float) -> float:
        computed, noted_at = self._computed.get(owner, (0.0, now))
        return float(computed * 0.5 ** ((now - noted_at) / HALF_LIFE))

    def _forget(self, now: float) -> None:
        # The one that was noted just now stays.
        while now - next(iter(self._computed.values()))[1] >= _FORGOTTEN_AFTER:
            self._computed.popitem(last=False)
