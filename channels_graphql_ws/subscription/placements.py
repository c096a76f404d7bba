"""Where the hooks of subscriptions run, for all clients of one engine."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from channels_graphql_ws.concurrency.placement import Placement


class Placements:
    """Remembers for each subscription where its synchronous hooks run.

    Args:
        learns: hooks move to the event loop when they were seen to need no thread.
    """

    def __init__(self, *, learns: bool) -> None:
        self.learns = learns
        self._known: WeakKeyDictionary[Any, dict[str, Placement]] = WeakKeyDictionary()

    def of(self, source: Any, name: str) -> Placement:
        """Return where a hook runs.

        Args:
            source: what feeds the subscription.
            name: of the hook, for the log.
        """
        known = self._known.setdefault(source, {})
        placement = known.get(name)
        if placement is None:
            on_loop = None if self.learns else False
            placement = known[name] = Placement(name, on_loop=on_loop)
        return placement
