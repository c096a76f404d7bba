"""Let threads that compute take turns: the event loop waits for each that has Python's lock."""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

LONGEST: Final = 0.004
"""Seconds after which a turn is over: its thread may be waiting for a database. Twice as long as
a thread computes in it if nobody else does."""


class ComputingTurns:
    """Lets one thread compute at a time, as far as they ask for that.

    Python interrupts a thread after 5 ms, and has others wait for the lock in no order: with
    eight that compute, the event loop gets it after some 20 ms, and needs it several times to
    answer anything.

    A turn is nothing that has to be given back: whoever waits for the next one has it after
    `longest`. So nobody is kept waiting by a thread that blocks.

    Args:
        longest: seconds that a turn lasts at most.
    """

    __slots__ = ("_begun", "_first", "_holder", "_lock", "longest")

    def __init__(self, longest: float = LONGEST) -> None:
        self.longest = longest
        self._reset()
        # A forked process has none of the threads that take turns in its parent.
        if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # The others wait for it behind the one that has the next turn.
        self._first = threading.Lock()
        # Locked while there is a holder.
        self._begun = threading.Lock()
        self._holder = 0

    @property
    def is_awaited(self) -> bool:
        """Whether a thread waits for its turn."""
        return self._first.locked()

    def take(self) -> None:
        """Let other threads have their turns, and wait for the next one of this thread."""
        self.end()
        with self._first:
            self._begun.acquire(timeout=self.longest)
            with self._lock:
                # Its holder may have ended it just now, when it was over.
                self._begun.acquire(blocking=False)
                self._holder = threading.get_ident()

    def end(self) -> None:
        """This thread computes no more; harmless when it has no turn."""
        with self._lock:
            if self._holder == threading.get_ident():
                self._holder = 0
                self._begun.release()


class _NoTurns:
    """Where Python has no such lock, nobody waits for threads that compute."""

    def take(self) -> None:
        """Go on at once."""

    def end(self) -> None:
        """Go on at once."""


def turns_for(*, has_lock: bool) -> ComputingTurns | _NoTurns:
    """Return the turns of this process.

    Args:
        has_lock: whether Python executes one thread at a time.
    """
    return ComputingTurns() if has_lock else _NoTurns()


turns: Final = turns_for(has_lock=getattr(sys, "_is_gil_enabled", lambda: True)())
"""Of all threads of this process: they have the same lock."""
