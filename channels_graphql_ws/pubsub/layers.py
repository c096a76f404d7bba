"""Which channel layers, and which prefixes of groups, a broadcast goes to."""

from __future__ import annotations

import threading
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import ref

from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from django.core.signals import setting_changed

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.settings import NAME, project_settings

Destination: TypeAlias = tuple[Any, str]
"""A channel layer, and a prefix of groups."""

Owners: TypeAlias = tuple[ref[Any], ...]


class _Known(NamedTuple):
    """The one destination of all classes, and what it was derived from."""

    owners: Owners
    alias: str
    layer: object
    destinations: list[Destination]


DEFAULT_DESTINATION: Final = ("default", "GQLWS")
"""Where consumers and views listen unless told otherwise: a process that only broadcasts
may not have imported any of them."""

_lock = threading.Lock()
_owners: Owners = ()
_known: _Known | None = None


def register_endpoint(cls: type[Any]) -> None:
    """Let broadcasts reach the groups of a consumer or view class, while it lives."""
    _renew(ref(cls))


def forget_cached() -> None:
    """Notice what attributes the classes have now, as one of them begins to listen."""
    _renew()


def check_destination(endpoint: Any) -> None:
    """Check that an endpoint listens where its class does: broadcasts know only classes.

    Raises:
        TypeError: prefix or alias differ.
    """
    cls = type(endpoint)
    for name in ("group_name_prefix", "channel_layer_alias"):
        if project_settings.get(name.upper()) is not None:
            continue
        own, of_class = getattr(endpoint, name), getattr(cls, name)
        if own != of_class:
            raise TypeError(
                f"{cls.__qualname__}.{name} is {own!r} on an instance and {of_class!r} on the "
                "class: set it on the class, as broadcasts go where the classes listen"
            )


def _renew(*new: ref[Any]) -> None:
    global _owners  # noqa: PLW0603 (a broadcast reads it without the lock)
    with _lock:
        # Another tuple, even if of the same: by that what is known is known to be old.
        _owners = tuple([owner for owner in _owners if owner() is not None] + [*new])


def _changed(*, setting: str, **_: Any) -> None:
    if setting == NAME:
        forget_cached()


setting_changed.connect(_changed)


def destinations() -> list[Destination]:
    """Return the channel layers and the prefixes of groups that consumers listen to.

    The Django setting says it for all of them, or else the classes that were imported.

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
    alias = project_settings.get("CHANNEL_LAYER_ALIAS")
    prefix = project_settings.get("GROUP_NAME_PREFIX")
    said = {
        (cls.channel_layer_alias, cls.group_name_prefix)
        for owner in owners
        # One that computes them on its instances is refused when it is used.
        if (cls := owner()) is not None and not _computes(cls)
    }
    found = {
        (each_alias if alias is None else alias, each_prefix if prefix is None else prefix)
        for each_alias, each_prefix in said or {DEFAULT_DESTINATION}
    }
    # A class that nobody uses may name a layer that nobody has.
    configured = [pair for pair in sorted(found) if pair[0] in channel_layers]
    chosen = configured or sorted(found)[:1]
    result = [(channel_layer(alias), prefix) for alias, prefix in chosen]
    # Beyond this process, others may listen with attributes that were changed since.
    if len(found) == 1 and is_local(result[0][0]):
        _known = _Known(owners, chosen[0][0], result[0][0], result)
    return result


def _computes(cls: Any) -> bool:
    return isinstance(cls.channel_layer_alias, property) or isinstance(
        cls.group_name_prefix, property
    )


class GroupSender(Protocol):
    """What is needed of a channel layer to broadcast."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all channels of a group."""
        ...


def channel_layer(alias: str = "default") -> Any:
    """Return the channel layer of that alias.

    Raises:
        ChannelLayerError: there is none; the text names the setting.
    """
    layer: Any = get_channel_layer(alias)
    if layer is None:
        raise ChannelLayerError(
            f"Channel layer is not configured! Add {alias!r} to CHANNEL_LAYERS in the "
            "Django settings, for one process for example "
            '{"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}'
        )
    return layer


def is_local(layer: object) -> bool:
    """Return whether this layer serves only this process: messages need not pass it.

    It scans all of its channels and groups on each receive, holds 100 messages, and
    belongs to one event loop. A subclass may have been made to behave in other ways.
    """
    return type(layer) is InMemoryChannelLayer


class ChannelLayer(Protocol):
    """What is needed of a channel layer to listen (Channels, channel layer spec)."""

    async def new_channel(self, prefix: str = ...) -> str:
        """Make a channel name that belongs to this process."""
        ...

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the next message on a channel."""
        ...

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member of a group; again and again is fine."""
        ...

    async def group_discard(self, group: str, channel: str) -> None:
        """Undo `group_add`; harmless for a channel that is not a member."""
        ...

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all members of a group."""
        ...


class DirectLayer(ChannelLayer, Protocol):
    """A channel layer by which single channels can be reached, too."""

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to a channel."""
        ...
