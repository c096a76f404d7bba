"""What one subscription tells its client of its place in a history, and of gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.notification import STAYS, CoalesceKey
from channels_graphql_ws.pubsub.origin import Origin
from channels_graphql_ws.subscription.cursor import CursorCodec
from channels_graphql_ws.subscription.declaration import GapPolicy

SLOW: Final = "slow"
"""The client was too slow, and its queue has dropped events."""

LAYER: Final = "layer"
"""The channel layer has lost events, and no history could mend it."""


class Gap(NamedTuple):
    """Events that were lost to a client for good.

    Attributes:
        missed: how many, `None` if nobody knows.
        reason: "slow": the client's own queue was full; "layer": the channel layer lost them.
    """

    missed: int | None
    reason: str


class LostEvents:
    """Takes the place of an event: events were lost, and none came that could tell of it.

    Attributes:
        missed: how many were lost, `None` if nobody knows.
        serial: its number among what the hub received.
        origin: it has none.
        coalesce_key: nothing replaces it.
    """

    __slots__ = ("coalesce_key", "missed", "serial")

    origin: Origin | None = None

    size: Final = 0
    """There is no payload."""

    def __init__(self, missed: int | None, serial: int) -> None:
        self.missed = missed
        self.serial = serial
        self.coalesce_key: CoalesceKey = STAYS

    def add(self, missed: int | None) -> None:
        """Take further events for lost."""
        self.missed = None if missed is None or self.missed is None else self.missed + missed

    def payload(self) -> None:
        """Return nothing: there is no event."""

    def waits(self) -> None:
        """Nothing: there is no payload."""


@dataclass(frozen=True, slots=True)
class OnGap:
    """What is done about a gap.

    Attributes:
        policy: what the class or the consumer says; `None`: the class has an `on_gap` hook.
        send_away: closes the connection, so that the client comes again.
    """

    policy: GapPolicy | None = "tell"
    send_away: Callable[[], None] = lambda: None


TELL: Final = OnGap()


class Continuity:
    """Follows the events of one subscription.

    Args:
        groups: those of the subscription, if it has a history.

    Attributes:
        places: the place of the client in each group that has a history.
        recovered: whether what a client had missed was replayed; `None`: it did not ask, or
            has been told.
    """

    __slots__ = ("_codec", "_missed", "_reason", "places", "recovered")

    def __init__(self, groups: Sequence[str] = ()) -> None:
        self._codec = CursorCodec(groups) if groups else None
        self._missed: int | None = 0
        self._reason = SLOW
        self.places: dict[str, Position] = {}
        self.recovered: bool | None = None

    @property
    def has_gap(self) -> bool:
        """Return whether there is a gap that the client was not told of."""
        return self._missed != 0

    def is_new(self, origin: Origin | None) -> bool:
        """Return whether the client has not had this event; a replay may overtake it."""
        if origin is None or origin.place is None:
            return True
        known = self.places.get(origin.group)
        return (
            known is None
            or known.epoch != origin.place.epoch
            or known.offset < origin.place.offset
        )

    def advance(self, origin: Origin | None) -> None:
        """Follow an event that is about to be executed."""
        if origin is not None and origin.place is not None:
            self.places[origin.group] = origin.place

    def miss(self, number: int | None, reason: str) -> None:
        """Remember a gap; `None`: nobody knows how many events it has."""
        self._missed = None if number is None or self._missed is None else self._missed + number
        # What the layer lost is the graver loss: the client cannot prevent it.
        self._reason = LAYER if LAYER in {self._reason, reason} else SLOW

    def forget_gap(self) -> None:
        """Forget the gap: the client was told, or is not to be told."""
        self._missed, self._reason = 0, SLOW

    @property
    def cursor(self) -> str | None:
        """The place of the client, as text; `None` without a history."""
        return None if self._codec is None else self._codec.encode(self.places)

    def take_gap(self) -> Gap | None:
        """Return the gap that is to be told, and forget it."""
        if self._missed == 0:
            return None
        gap = Gap(self._missed, self._reason)
        self.forget_gap()
        return gap

    def extensions(self, cursor: str | None) -> dict[str, Any]:
        """Return what the next event says, and forget what is said once."""
        told: dict[str, Any] = {}
        if cursor is not None:
            told["cursor"] = cursor
        if self.recovered is not None:
            told["recovered"], self.recovered = self.recovered, None
        gap = self.take_gap()
        if gap is not None:
            told["gap"] = gap._asdict()
        return told
