"""Limit the rate at which one client is read, and let others run during its bursts."""

from __future__ import annotations

from asyncio import sleep
from math import inf
from time import monotonic
from typing import Final

from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.concurrency.rotation import next_turn

SLICE: Final = 0.003
"""Seconds of work for one client before others are served."""

AT_LEAST: Final = 0.0001
"""Seconds that each message counts for, if it takes less at once. What it begins may go on in the
next iteration of the event loop, with all others that were taken in this one: after an
asynchronous hook, for example."""

BURST_SECONDS: Final = 5
"""Seconds whose messages a silent client may send at once."""


class Pace:
    """Slows down the reading of one client; never refuses anything.

    A server hands over all frames that have arrived at once, and no other client is served
    meanwhile. Clients that have much to be done for take turns, and so do users and addresses,
    however many clients each of them has. The caller counts, in variables of its own, as
    anything else would take longer:

        tokens -= 1
        busy += max(seconds_of_work, AT_LEAST)
        if busy > SLICE or tokens < 0:
            tokens, busy = await pace.give_way(tokens), 0.0

    Args:
        rate: messages a second, in the long run; `None` for any number.

    Attributes:
        most: messages that the client may send at once; it begins with as many tokens.
    """

    __slots__ = ("_filled_at", "_rate", "most")

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._filled_at = monotonic()
        self.most = inf if rate is None else rate * BURST_SECONDS

    async def give_way(self, tokens: float) -> float:
        """Let other clients be served, and wait if this one is too fast.

        Args:
            tokens: messages that it may still send at once; below 0, it is.

        Returns:
            How many it may send now.
        """
        excess = 0.0
        if tokens < 0:
            assert self._rate is not None, "without a rate there are always tokens"
            now = monotonic()
            earned = (now - self._filled_at) * self._rate
            self._filled_at = now
            tokens = min(tokens + earned, self.most)
            excess = max(0.0, -tokens / self._rate)
        if excess:
            await sleep(excess)
        else:
            await next_turn(current_key())
        return tokens
