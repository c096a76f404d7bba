"""Where a notification comes from, as far as somebody has to know."""

from __future__ import annotations

from typing import Final, NamedTuple

from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.tracing import EventTrace


class Origin(NamedTuple):
    """What is noteworthy about the way of a notification.

    Attributes:
        group: the group that it came through.
        place: its place in the history of the group, `None` if there is none.
        missed: events of the group that were lost before it; `None` if nobody knows how many.
        trace: that of the event in this process, if it has one.
    """

    group: str
    place: Position | None = None
    missed: int | None = 0
    trace: EventTrace | None = None

    @property
    def follows_gap(self) -> bool:
        """Return whether events before it were lost."""
        return self.missed != 0


ORIGIN: Final = object()
"""The key of the origin in a message that is on its way within the hub; no peer can send it."""
