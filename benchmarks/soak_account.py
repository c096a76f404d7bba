"""What one client of the soak got, and whether it was told of all that it did not get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Hole(NamedTuple):
    """Numbers that a client did not get.

    Attributes:
        first: the first of them.
        last: the last; `None`: all that follow.
        told: how many events the client was told to have lost; `None`: nobody knows how many.
    """

    first: int
    last: int | None
    told: int | None


class Account:
    """The events of one room, as one client gets them. Events are numbered from 1 on.

    Attributes:
        last: the number of the last event; `None` until the first one, where it is not known
            which that is.
        got: how many events came.
        doubled: those that came twice in a row, or again after later ones.
        disordered: those that came after later ones for the first time.
        gaps: how often the client was told that it lost events, by the reason.
        recoveries: how often it came back and was told that nothing is lost.
    """

    def __init__(self, *, last: int | None = 0) -> None:
        self.last = last
        self.got = self.doubled = self.disordered = self.recoveries = 0
        self.gaps: Counter[str] = Counter()
        self._told: int | None = 0
        self._holes: list[Hole] = []

    def take(self, number: int | None, extensions: Mapping[str, Any]) -> None:
        """Take a message: an event, or a word about lost events without one."""
        gap = extensions.get("gap")
        if gap is not None:
            self.gaps[gap["reason"]] += 1
            missed = gap["missed"]
            self._told = None if missed is None or self._told is None else self._told + missed
        if number is not None:
            self._take_event(number)

    def came_back(self, *, recovered: bool | None) -> None:
        """Begin anew: with a cursor that was good or not, or without one (`None`)."""
        if recovered is None:
            self.last, self._told = None, 0
        elif recovered:
            self.recoveries += 1
        else:
            self.gaps["history"] += 1
            self._told = None

    def lost(self, numbers: int, failed: Sequence[int] = ()) -> int:
        """Return how many events are lost of which the client was not told.

        Args:
            numbers: the number of the last event of the room.
            failed: numbers of broadcasts that have failed: they need not have arrived.
        """
        return sum(max(0, lost) for lost, _ in self._judged(numbers, failed))

    def needless(self, numbers: int, failed: Sequence[int] = ()) -> int:
        """Return how many times the client was told of lost events, and none is known to be."""
        explained = sum(is_explained for _, is_explained in self._judged(numbers, failed))
        return self.gaps.total() - explained

    def _judged(self, numbers: int, failed: Sequence[int]) -> list[tuple[int, bool]]:
        """Return of each hole how many events nobody has told of, and whether it was told."""
        holes = list(self._holes)
        if self.last is not None:
            holes.append(Hole(self.last + 1, None, self._told))
        judged = []
        for first, last, told in holes:
            end = numbers if last is None else last
            need_not_come = sum(first <= number <= end for number in failed)
            missing = max(0, end - first + 1 - need_not_come)
            judged.append((0 if told is None else missing - told, missing > 0 and told != 0))
        return judged

    def _take_event(self, number: int) -> None:
        self.got += 1
        if self.last is not None and number <= self.last:
            if self._is_in_hole(number):
                self.disordered += 1
            else:
                self.doubled += 1
            return
        if self.last is not None and number > self.last + 1:
            self._holes.append(Hole(self.last + 1, number - 1, self._told))
        self.last, self._told = number, 0

    def _is_in_hole(self, number: int) -> bool:
        return any(
            hole.last is not None and hole.first <= number <= hole.last for hole in self._holes
        )
