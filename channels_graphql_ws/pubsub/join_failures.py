"""Remembers which channel layers let nobody join a group: new clients had better go elsewhere."""

from __future__ import annotations

import time
from typing import Final

from channels.layers import channel_layers

COUNTS_FOR: Final = 15.0
"""Seconds after which a failure is forgotten: whether joins still fail, only new clients show."""


class JoinFailures:
    """The channel layers of this process where joining failed and has not succeeded since."""

    def __init__(self) -> None:
        # By the id of the layer; one that is no longer in use does not count.
        self._at: dict[int, float] = {}

    def add(self, layer: object, error: BaseException | None = None) -> None:
        """Take note of a failure.

        Args:
            layer: the channel layer.
            error: what it raised; `None` if it did not answer.
        """
        # A name that no layer takes says nothing of the layer.
        if not isinstance(error, TypeError | ValueError):
            self._at[id(layer)] = time.monotonic()

    def forget(self, layer: object) -> None:
        """Take note of a success."""
        self._at.pop(id(layer), None)

    @property
    def are_recent(self) -> bool:
        """Return whether there is such a layer in use. May be called from any thread."""
        failed_at = map(self._at.get, map(id, list(channel_layers.backends.values())))
        now = time.monotonic()
        return any(at is not None and now - at < COUNTS_FOR for at in failed_at)


join_failures: Final = JoinFailures()
"""Those of this process."""
