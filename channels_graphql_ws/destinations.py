"""Which channel layers, and which prefixes of groups, a broadcast goes to."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

from channels.layers import channel_layers, get_channel_layer

from .broadcast import channel_layer, is_local

Destination: TypeAlias = tuple[Any, str]
"""A channel layer, and a prefix of groups."""

Owners: TypeAlias = tuple[ref[Any], ...]


class _Known(NamedTuple):
    """The one destination of all classes, and what this knowledge rests on."""

    owners: Owners
    alias: str
    layer: object
    destinations: list[Destination]


_lock = threading.Lock()
_owners: Owners = ()
_known: _Known | None = None


def add_owner(cls: type[Any]) -> None:
    """Let broadcasts reach the groups of a consumer or view class, while it lives."""
    _renew(ref(cls))


def look_again() -> None:
    """Notice what attributes the classes have now, as one of them begins to listen."""
    _renew()


def _renew(*new: ref[Any]) -> None:
    global _owners  # noqa: PLW0603 (a broadcast reads it without the lock)
    with _lock:
        # Another tuple, even if of the same: by that what is known is known to be old.
        _owners = tuple([owner for owner in _owners if owner() is not None] + [*new])


def destinations() -> list[Destination]:
    """Give the channel layers and the prefixes of groups that consumers listen to.

    Raises:
        ChannelLayerError: the channel layer is not configured.
    """
    known = _known
    if (
        known is not None
        and known.owners is _owners
        and known.layer is get_channel_layer(known.alias)
    ):
        return known.destinations
    return _found(_owners)


def _found(owners: Owners) -> list[Destination]:
    global _known  # noqa: PLW0603 (to read eight attributes takes a tenth of a broadcast)
    found = {
        (cls.channel_layer_alias, cls.group_name_prefix)
        for owner in owners
        if (cls := owner()) is not None
    }
    # A class that nobody uses may name a layer that nobody has.
    configured = [pair for pair in sorted(found) if pair[0] in channel_layers]
    chosen = configured or sorted(found)[:1]
    result = [(channel_layer(alias), prefix) for alias, prefix in chosen]
    # Beyond this process, others may listen with attributes that were changed since.
    if len(found) == 1 and is_local(result[0][0]):
        _known = _Known(owners, chosen[0][0], result[0][0], result)
    return result
