"""Messages of the channel layer to one consumer, and the handlers that its class has."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from inspect import iscoroutinefunction
from types import CodeType
from typing import Any, Protocol

from channels.exceptions import StopConsumer

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


class Receiver(Protocol):
    """The consumer, as far as messages to it need it."""

    groups: Any
    listen_to_channel_layer: bool | None

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a message (Channels)."""


class ChannelMessages:
    """Receives what is sent to a consumer's own channel, if its class handles it.

    InMemoryChannelLayer scans every channel on each receive: do not listen without need.

    Args:
        consumer: whose handlers are called.
        library_class: the consumer that users subclass; its methods are not handlers.
    """

    __slots__ = ("_consumer", "_library_class", "is_wanted")

    def __init__(self, consumer: Receiver, library_class: type[Any]) -> None:
        self._consumer = consumer
        self._library_class = library_class
        wanted = consumer.listen_to_channel_layer
        if wanted is None:
            wanted = bool(consumer.groups) or self._uses_channel()
        self.is_wanted: bool = wanted

    def listen(self, own_channel: OwnChannel) -> None:
        """Begin to receive."""
        own_channel.dispatch_to(self._dispatch)

    def _is_handler(self, name: str) -> bool:
        """Return whether a method is a handler that the user's class has."""
        return (
            not name.startswith("_")
            and iscoroutinefunction(getattr(type(self._consumer), name, None))
            and not hasattr(self._library_class, name)
        )

    def _uses_channel(self) -> bool:
        """Return whether the class has handlers or asks for its channel; looked up once."""
        cls: Any = type(self._consumer)
        known: bool | None = cls.__dict__.get("_uses_own_channel")
        if known is None:
            known = any(map(self._is_handler, dir(cls))) or self._names_channel(cls)
            cls._uses_own_channel = known
        return known

    def _names_channel(self, cls: type[Any]) -> bool:
        """Return whether a method of the user's class reads `self.channel_name`."""
        return any(
            _reads(getattr(value, "__func__", value), "channel_name")
            for base in cls.__mro__
            if base not in self._library_class.__mro__
            for value in vars(base).values()
        )

    async def _dispatch(self, message: dict[str, Any], is_listened_to: bool) -> bool:  # noqa: FBT001
        """Call the handler of a message, as Channels does; return whether to go on."""
        if is_listened_to and not self._is_handler(message["type"].replace(".", "_")):
            return True
        try:
            handled: Awaitable[None] = self._consumer.dispatch(message)
            await handled
        except StopConsumer:
            return False
        # One message that cannot be handled must not end all.
        except Exception:
            log.exception("A channel-layer message to a consumer was lost")
        return True


def _reads(function: Any, name: str) -> bool:
    """Return whether a function, or one inside of it, has an attribute of that name read."""
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    todo = [code] if code is not None else []
    while todo:
        each = todo.pop()
        if name in each.co_names:
            return True
        todo += [const for const in each.co_consts if isinstance(const, CodeType)]
    return False
