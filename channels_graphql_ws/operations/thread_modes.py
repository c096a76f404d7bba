"""Middleware and placements for each way to run synchronous code."""

from __future__ import annotations

from graphql import MiddlewareManager

from channels_graphql_ws.execution.sync_resolvers import Hops
from channels_graphql_ws.subscription.placements import Placements


class ThreadModes:
    """What executes synchronous code, for each value of `resolve_sync_in_threads`.

    A Subscription class may want it another way than the consumer.

    Args:
        own: the user's middleware.
    """

    def __init__(self, own: MiddlewareManager | None) -> None:
        self._own = own
        self._modes: dict[bool | None, tuple[Hops, Placements]] = {}

    def of(self, *, mode: bool | None) -> tuple[MiddlewareManager | None, Placements | None]:
        """Return the middleware, and where hooks of events run; `None` for the event loop.

        Args:
            mode: `True` for threads, `False` for the event loop, `None` to find out.
        """
        if mode is False:
            return self._own, None
        if mode not in self._modes:
            learns = mode is None
            self._modes[mode] = Hops(self._own, learns=learns), Placements(learns=learns)
        return self._modes[mode]
