"""Where the history of a channel layer's groups is kept."""

from __future__ import annotations

from typing import Any

from channels.layers import InMemoryChannelLayer
from django.utils.module_loading import import_string

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub.history.interfaces import History
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.redis import RedisHistory
from channels_graphql_ws.pubsub.layer_traits import traits_of
from channels_graphql_ws.pubsub.layers import is_local
from channels_graphql_ws.settings import project_settings

_ATTRIBUTE = "_channels_graphql_ws_history"


def history_of(layer: Any) -> History:
    """Return the history of a channel layer's groups.

    It is kept in this process for the in-memory layer, in Redis for its layers, and where the
    setting `HISTORY` says: the dotted path of what makes a `History` for a channel layer.

    Raises:
        ChannelLayerError: it is not known where it could be kept.
    """
    known: tuple[object, History] | None = getattr(layer, "__dict__", {}).get(_ATTRIBUTE)
    chosen = project_settings.get("HISTORY")
    if known is None or known[0] != chosen:
        known = chosen, _made(layer, chosen)
        vars(layer)[_ATTRIBUTE] = known
    return known[1]


def history_in_process(layer: Any) -> MemoryHistory:
    """Return the history of a layer that does not leave this process."""
    history = history_of(layer)
    assert isinstance(history, MemoryHistory), "such a layer has no other history"
    return history


def _made(layer: Any, chosen: str | None) -> History:
    if is_local(layer):
        return _in_memory()
    if chosen is not None:
        made: History = import_string(chosen)(layer)
        return made
    if isinstance(layer, InMemoryChannelLayer):
        return _in_memory()
    traits = traits_of(layer)
    if not traits.has_redis:
        raise ChannelLayerError(
            f"There is no history for {type(layer).__qualname__}: use a layer of channels_redis, "
            "or name in CHANNELS_GRAPHQL_WS['HISTORY'] what makes one for it"
        )
    prefix = getattr(layer, "prefix", "asgi")
    return RedisHistory(lambda group: traits.redis_client(traits.shard_of(group)), prefix)


def _in_memory() -> MemoryHistory:
    return MemoryHistory(max_bytes=project_settings.get("HISTORY_MAX_BYTES"))
