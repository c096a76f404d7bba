"""What a connection or request lends its operations: hub, own channel, and the end of rights."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.operations.revalidation import (
    Claim,
    Revalidation,
    Watched,
    revalidation_of,
)
from channels_graphql_ws.operations.revocation import (
    EXPIRED,
    Revocable,
    Revocations,
    Rights,
    revocations_of,
    seconds_until,
)
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel
from channels_graphql_ws.signals import ConnectionSignals


class Lent:
    """What all sessions of a connection or request lend: the hub, and its own channel.

    Args:
        alias: that of the channel layer.
        channel_name: the channel of the connection, `None` if it has none of its own.
        signals: tell receivers of Django signals about the connection.
        is_closed: whether nobody may begin to listen any more.
    """

    __slots__ = (
        "_alias",
        "_expiry",
        "_hub",
        "_loop",
        "_own_channel",
        "_watched",
        "channel_name",
        "drainable",
        "is_closed",
        "looked_up",
        "scope",
        "signals",
    )

    def __init__(
        self,
        alias: str,
        channel_name: str | None,
        signals: ConnectionSignals,
        *,
        is_closed: bool,
    ) -> None:
        self.signals = signals
        self.channel_name = channel_name
        self.is_closed = is_closed
        self.drainable: Revocable | None = None
        """What is ended if nothing comes through the channel layer any more."""
        self._watched: tuple[Revocations, Revocable, Rights] | None = None
        self.looked_up: tuple[Revalidation, Watched] | None = None
        """What is looked up again: what the rights of the connection depend on."""
        self.scope: object = None
        """Whose rights are watched now: a connection may have been another user's before."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._alias = alias
        self._hub: Hub | None = None
        # Few ever listen to it.
        self._own_channel: OwnChannel | None = None

    def __bool__(self) -> bool:
        return self._hub is not None or self._own_channel is not None

    def hub(self) -> Hub:
        """Return the hub of this event loop, which stays until `close`."""
        if self._hub is None:
            self._hub = hub_of(channel_layer(self._alias))
            self._hub.acquire(self.drainable)
        return self._hub

    def watch(
        self, rights: Rights | None, prefix: str = "", scope: dict[str, Any] | None = None
    ) -> Rights | None:
        """End the connection when these rights do, and no longer when those before do.

        Args:
            rights: `None` for nobody's.
            prefix: that of the groups.
            scope: has the user whose rights they are.

        Returns:
            The rights of before.
        """
        before, self._watched = self._watched, None
        connection = self.drainable
        if rights is not None and connection is not None and not self.is_closed:
            assert scope is not None, "rights come out of one"
            # Nothing can arrive without a layer.
            with suppress(ChannelLayerError):
                revocations = revocations_of(self.hub(), prefix)
                revocations.add(connection, rights, scope)
                self._watched = (revocations, connection, rights)
        if before is None:
            return None
        known, holder, old = before
        if old != rights:
            known.discard(holder, old)
        return old

    @property
    def joining(self) -> asyncio.Task[None] | None:
        """Return what to wait for until the end of the rights is told; `None` if it is."""
        return None if self._watched is None else self._watched[0].joining

    def look_up(
        self, claim: Claim | None, every: float | None, scope: dict[str, Any] | None = None
    ) -> None:
        """Look up whether a claim holds still, and no longer what was claimed before.

        Args:
            claim: `None` for one that nothing is known of.
            every: seconds between two look-ups; 0 or `None`: never.
            scope: has the user whose claim it is.
        """
        before, connection = self.looked_up, self.drainable
        if before is not None:
            if before[1].claim == claim and before[1].connection is connection:
                before[1].scope = scope or {}
                return
            before[0].discard(before[1])
            self.looked_up = None
        if claim is not None and every and connection is not None and not self.is_closed:
            revalidation = revalidation_of(every)
            watched = Watched(connection, claim, scope)
            revalidation.add(watched)
            self.looked_up = revalidation, watched

    def expire(self, scope: Mapping[str, Any]) -> None:
        """End the connection at the time that a scope gives, instead of the one before.

        Args:
            scope: its `expires_at`, see `seconds_until`; without one it does not expire.

        Raises:
            TypeError: that is not a time.
        """
        self._loop = self._loop or asyncio.get_running_loop()
        expires_at = scope.get("expires_at")
        seconds = None if expires_at is None else seconds_until(expires_at)
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if seconds is not None and self.drainable is not None and not self.is_closed:
            self._expiry = self._loop.call_later(seconds, self._expired, scope, expires_at)

    def _expired(self, scope: Mapping[str, Any], expires_at: object) -> None:
        if scope.get("expires_at") is not expires_at:
            # It was renewed, but timers come first on this event loop.
            with suppress(TypeError):
                self.expire(scope)
                return
        assert self.drainable is not None, "`close` stops the timer"
        self.drainable.revoke(EXPIRED)

    def loop_of_connection(self, scope: object) -> asyncio.AbstractEventLoop:
        """Return the event loop of the connection, for one who renews its rights.

        Args:
            scope: that of the operation.

        Raises:
            RuntimeError: there is no connection that goes on, or it is somebody else's by now.
        """
        if self._loop is None:
            raise RuntimeError(
                "A request over HTTP has nothing to renew: renew over the WebSocket"
            )
        if self.drainable is None:
            raise RuntimeError("There is nothing to renew: the connection is closed")
        if self.scope is not scope:
            raise RuntimeError(
                "There is nothing to renew: another user has logged in over this connection "
                "since this operation began"
            )
        return self._loop

    def own_channel(self) -> OwnChannel:
        """Return what listens to `channel_name`."""
        if self._own_channel is None:
            layer = channel_layer(self._alias)
            name = self.channel_name or ""
            self._own_channel = OwnChannel(layer, name, is_closed=self.is_closed)
        return self._own_channel

    async def stop_listening(self) -> None:
        """End all listening, and let nobody begin to; harmless when repeated."""
        self.is_closed = True
        own, self._own_channel = self._own_channel, None
        if own is not None:
            await own.close()

    async def close(self) -> None:
        """Release everything; harmless when repeated."""
        self.watch(None)
        self.look_up(None, None)
        if self._expiry is not None:
            self._expiry.cancel()
        hub, self._hub = self._hub, None
        # It knows us: a circle would stay until garbage is collected.
        drainable, self.drainable = self.drainable, None
        # Also if the first fails or is cancelled.
        try:
            await self.stop_listening()
        finally:
            if hub is not None:
                await hub.release(drainable)
