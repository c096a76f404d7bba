"""Which channel layers, and which prefixes of groups, a broadcast goes to."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias
from weakref import ref

from channels.layers import channel_layers

Destination: TypeAlias = tuple[str, str]
"""The alias of a channel layer, and a prefix of groups."""

_lock = threading.Lock()
_owners: tuple[ref[Any], ...] = ()


def add_owner(cls: type[Any]) -> None:
    """Let broadcasts reach the groups of a consumer or view class, while it lives.

    Its `channel_layer_alias` and `group_name_prefix` may be changed later.
    """
    global _owners  # noqa: PLW0603 (a broadcast reads it without the lock)
    with _lock:
        _owners = (*(owner for owner in _owners if owner() is not None), ref(cls))


def destinations() -> list[Destination]:
    """Give the channel layers and the prefixes of groups that consumers listen to."""
    found = {
        (cls.channel_layer_alias, cls.group_name_prefix)
        for owner in _owners
        if (cls := owner()) is not None
    }
    if len(found) <= 1:
        return list(found)
    # A class that nobody uses may name a layer that nobody has.
    configured = [destination for destination in sorted(found) if destination[0] in channel_layers]
    return configured or sorted(found)[:1]
