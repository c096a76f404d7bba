"""What a history has to do; a project may bring its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

UNKNOWN: Final = ""
"""The epoch of a place before the first event, where no run is named: any history may follow."""

END_OF_RUN: Final = "."
"""Ends the part of an epoch that names the run of what keeps the history, if it can tell."""


class Position(NamedTuple):
    """A place in the history of one group.

    Attributes:
        epoch: names one life of the history; a new one begins when it was lost or has expired.
            The part before a point names the run: what kept a history has not lost anything as
            long as that is the same. With nothing behind the point, there was no event yet.
        offset: the number of an event, 1, 2, 3, … without holes; 0 is before the first.
    """

    epoch: str
    offset: int

    @property
    def is_empty(self) -> bool:
        """Whether there was no event yet."""
        return self.epoch == UNKNOWN or self.epoch.endswith(END_OF_RUN)

    @property
    def run(self) -> str:
        """The run that it is of; empty where that is not known."""
        return self.epoch.rpartition(END_OF_RUN)[0]

    def has_outlived(self, other: Position) -> bool:
        """Return whether another run has begun since that other place, as far as is known."""
        return bool(self.run) and bool(other.run) and self.run != other.run


def place_in_run(run: str, life: str = "") -> Position:
    """Return the first place of a history, or that of one which has not begun."""
    return Position(f"{run}{END_OF_RUN}{life}", 0)


class Entry(NamedTuple):
    """One event of a history.

    Attributes:
        offset: its number.
        payload: what was broadcast.
        time: milliseconds, by one clock for all groups of one host: events of several
            groups are put in order by it.
    """

    offset: int
    payload: bytes
    time: int


class Page(NamedTuple):
    """What a history has behind a place.

    Attributes:
        head: the place of the last event.
        entries: those behind the place that was asked for, as far as they are kept.
    """

    head: Position
    entries: Sequence[Entry]

    def is_complete_after(self, place: Position) -> bool:
        """Return whether nothing is missing between that place and the head."""
        if place.epoch != self.head.epoch or place.offset > self.head.offset:
            return False
        first = self.entries[0].offset if self.entries else self.head.offset + 1
        return first == place.offset + 1


class History(Protocol):
    """Keeps the last events of groups; one atomic step for each call and group.

    It may have `append_once`, which takes the id of a durable event behind the arguments of
    `append`: for an id that it has kept, it returns the place again. Without it, a durable event
    that was sent twice is kept twice.
    """

    async def append(self, group: str, payload: bytes, size: int, ttl: float) -> Position:
        """Number an event and keep it.

        Args:
            group: the group's name on the channel layer.
            payload: the event.
            size: how many events of the group are kept.
            ttl: seconds after which they are forgotten unless another event comes.
        """
        ...

    async def since(self, group: str, offset: int) -> Page | None:
        """Return the events behind an offset.

        Where there are none, the page has no entries, and its head is the place of an empty
        history, whose epoch names the run. `None` says that nothing is there, and promises that
        nothing was lost.
        """
        ...

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        """Return the place of the last event of each group.

        Where there is none, it is that of an empty history, or `None`: see `since`.
        """
        ...
