"""Messages that nobody was offered yet, so that crowded groups do not keep the others waiting."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from channels_graphql_ws.pubsub.local import Message

CROWD: Final = 256
"""Listeners of a group from which on to hand a message to all of them takes long."""

MOST_CROWDS: Final = 8
"""Crowded groups that have messages here before nobody overtakes them any more: each message is
compared with all of them."""

LOOKED_AT: Final = 1_024
"""Messages of crowded groups that are looked at to find one that may go first."""

COST_OF_OTHERS: Final = 64
"""How many of these one of another group counts as, whose listeners are looked up."""


class Entry(NamedTuple):
    """A message: its number, itself, and the bytes of its payload."""

    serial: int
    message: Message
    size: int


class Inbox:
    """Gives messages back in their order, or those of small groups in turn with the others.

    While a hub is behind, a message whose group has few listeners goes before messages of crowded
    groups, but not before any that one of its own listeners is to hear: each hears everything in
    order.

    Args:
        listeners: those of each group.

    Attributes:
        size: bytes of the payloads.
    """

    def __init__(self, listeners: Mapping[str, Mapping[Any, int]]) -> None:
        self._listeners = listeners
        self.size = 0
        # Each of these is older than those that follow.
        self._returned: deque[Entry] = deque()
        # With the listeners of those that are not of a crowded group.
        self._overtaken: deque[tuple[Entry, Sequence[Hashable] | None]] = deque()
        self._messages: deque[Entry] = deque()
        # Of what was overtaken: crowded groups, and listeners of the others.
        self._crowds: Counter[str] = Counter()
        self._waiting: Counter[Hashable] = Counter()
        self._is_turn_of_overtaken = False

    def __len__(self) -> int:
        return len(self._returned) + len(self._overtaken) + len(self._messages)

    def put(self, entry: Entry) -> None:
        """Take a message, the last one."""
        self._messages.append(entry)
        self.size += entry.size

    def put_back(self, entry: Entry) -> None:
        """Take a message that is to be the first one."""
        self._returned.appendleft(entry)
        self.size += entry.size

    def pop(self, *, is_behind: bool) -> Entry:
        """Give the next message.

        Args:
            is_behind: let messages of small groups overtake.

        Raises:
            IndexError: there is none.
        """
        entry = self._next(is_behind=is_behind)
        self.size -= entry.size
        return entry

    def _next(self, *, is_behind: bool) -> Entry:
        if self._returned:
            return self._returned.popleft()
        if not is_behind:
            return self._next_overtaken() if self._overtaken else self._messages.popleft()
        self._is_turn_of_overtaken = not self._is_turn_of_overtaken
        if self._overtaken and (self._is_turn_of_overtaken or not self._messages):
            return self._next_overtaken()
        left = LOOKED_AT
        while self._messages and left > 0:
            entry = self._messages.popleft()
            if len(self._listeners.get(entry.message["group"], ())) > CROWD:
                self._be_overtaken(entry)
                left -= 1
            elif self._overtaken and self._must_wait(entry):
                left -= COST_OF_OTHERS
            else:
                return entry
        return self._next_overtaken()

    def _be_overtaken(self, entry: Entry) -> None:
        self._overtaken.append((entry, None))
        self._crowds[entry.message["group"]] += 1

    def _must_wait(self, entry: Entry) -> bool:
        """Put a message behind those that are overtaken, if one of its listeners hears them."""
        members = self._listeners.get(entry.message["group"], {})
        if len(self._crowds) <= MOST_CROWDS and not self._hears_what_waits(members):
            return False
        kept = tuple(members)
        self._overtaken.append((entry, kept))
        self._waiting.update(kept)
        return True

    def _hears_what_waits(self, members: Mapping[Any, int]) -> bool:
        waiting = [self._waiting, *(self._listeners.get(group, {}) for group in self._crowds)]
        return any(one in each for each in waiting for one in members)

    def _next_overtaken(self) -> Entry:
        entry, kept = self._overtaken.popleft()
        if kept is None:
            _forget(self._crowds, entry.message["group"])
        else:
            for one in kept:
                _forget(self._waiting, one)
        return entry


def _forget(counts: Counter[Any], key: Hashable) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
