"""Limit the rate at which one client is read, and let others run during its bursts."""

from __future__ import annotations

from asyncio import sleep
from time import monotonic
from typing import Final

SLICE: Final = 0.003
"""Seconds of work for one client before others are served."""

BURST_SECONDS: Final = 5
"""Seconds whose messages a silent client may send at once."""


class Pace:
    """Slows down the reading of one client; never refuses anything.

    A server hands over all frames that have arrived at once, and no other client is served
    meanwhile. The caller counts, as a call for each frame would take longer:

        pace.tokens -= 1
        pace.busy += seconds_of_work
        if pace.busy > SLICE or pace.tokens < 0:
            await pace.give_way()

    Args:
        rate: messages a second, in the long run; `None` for any number.

    Attributes:
        tokens: messages that the client may send at once.
        busy: seconds of work since others were served.
    """

    __slots__ = ("_filled_at", "_rate", "busy", "tokens")

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._filled_at = monotonic()
        self.tokens = float("inf") if rate is None else rate * BURST_SECONDS
        self.busy = 0.0

    async def give_way(self) -> None:
        """Let other clients be served, and wait if this one is too fast."""
        self.busy = 0.0
        await sleep(self._excess() if self.tokens < 0 else 0)

    def _excess(self) -> float:
        """Return how many seconds the client is too early."""
        assert self._rate is not None, "without a rate there are always tokens"
        now = monotonic()
        earned = (now - self._filled_at) * self._rate
        self.tokens = min(self.tokens + earned, self._rate * BURST_SECONDS)
        self._filled_at = now
        return max(0.0, -self.tokens / self._rate)
