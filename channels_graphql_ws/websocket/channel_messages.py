"""Messages of the channel layer to one consumer: who wants them, and who handles them."""

from __future__ import annotations

import logging
from inspect import iscoroutinefunction
from typing import Any, ClassVar

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")


class ChannelMessages(AsyncJsonWebsocketConsumer):
    """A consumer that listens to its own channel only if somebody handles what comes.

    Each channel of the in-memory layer that is listened to costs all others.
    """

    listen_to_channel_layer: bool | None
    _library_class: ClassVar[type]
    """The consumer that users subclass: what it has is no handler of theirs."""

    _with_own_handlers: ClassVar[bool]
    _own_channel: OwnChannel | None = None
    _listens = False
    _is_over = False

    @classmethod
    def _is_own_handler(cls, name: str) -> bool:
        """Tell if a method is a handler that the user's class has."""
        return (
            not name.startswith("_")
            and iscoroutinefunction(getattr(cls, name, None))
            and not hasattr(cls._library_class, name)
        )

    @classmethod
    def _has_own_handlers(cls) -> bool:
        """Look for handlers once: that takes a while."""
        known: bool | None = cls.__dict__.get("_with_own_handlers")
        if known is None:
            known = cls._with_own_handlers = any(map(cls._is_own_handler, dir(cls)))
        return known

    def _wants_to_listen(self) -> bool:
        wanted = self.listen_to_channel_layer
        if wanted is not None:
            return wanted
        return bool(self.groups) or self._has_own_handlers()

    def _listen_to_layer(self) -> None:
        if self._listens:
            self._channel_to_hear(self.channel_layer).dispatch_to(self._dispatch_own)

    def _channel_to_hear(self, layer: Any) -> OwnChannel:
        """Give this consumer's own channel, which few ever listen to."""
        if self._own_channel is None:
            name: Any = self.channel_name
            self._own_channel = OwnChannel(layer, name, is_closed=self._is_over)
        return self._own_channel

    async def _dispatch_own(self, message: dict[str, Any], is_heard: bool) -> bool:  # noqa: FBT001
        """Have the class's own handler called, as Channels does."""
        if is_heard and not self._is_own_handler(message["type"].replace(".", "_")):
            return True
        try:
            await self.dispatch(message)
        except StopConsumer:
            return False
        # One message that can not be handled must not end all.
        except Exception:
            log.exception("A channel-layer message to a consumer was lost")
        return True
