"""What a subclass of `GraphqlWsConsumer` may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from graphql import MiddlewareManager

from channels_graphql_ws.operations.options import OperationOptions
from channels_graphql_ws.websocket.interfaces import ConnectionSettings
from channels_graphql_ws.websocket.protocol import ServerProtocol
from channels_graphql_ws.websocket.subprotocols import SUBPROTOCOLS, Subprotocol


class ConsumerOptions(OperationOptions):
    """The attributes of `GraphqlWsConsumer`, and what a connection is made of."""

    subprotocols: Sequence[str] = ("graphql-transport-ws", "graphql-ws")
    """The subprotocols to speak, the preferred one first; leave out the legacy
    `graphql-ws` to switch it off."""

    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None = None
    """Called as `middleware(next, root, info, **arguments)` for each field of queries,
    mutations and notifications; the first one is the closest to the resolver."""

    resolve_sync_in_threads: bool = False
    """Run synchronous resolvers and hooks of subscriptions in threads, where they may use
    Django's ORM and may block. Off: they run on the event loop, as they always did."""

    send_ping_every: float | None = None
    """Seconds between pings; `None` sends none."""

    ping_payload: Mapping[str, Any] | Callable[[Any], Mapping[str, Any] | None] | None = None
    """A JSON object that goes with each ping, or a method that gives one.
    `graphql-transport-ws` only."""

    pong_timeout: float | None = 20.0
    """Seconds after a ping in which something, anything, must come from the client, or the
    connection is closed with 4408. `None` waits for ever. `graphql-transport-ws` only."""

    connection_init_wait_timeout: float | None = 0
    """Seconds until a socket without `connection_init` is closed with 4408; 0 or `None`
    waits for ever. `graphql-transport-ws` only."""

    strict_ordering: bool = False
    """Process each message of a client, and what follows from it, to its end before the
    next one is looked at, and before notifications are sent."""

    confirm_subscriptions: bool = False
    """Send `subscription_confirmation_message` as the first result of each subscription,
    when all of its groups are joined."""

    subscription_confirmation_message: ClassVar[Mapping[str, Any]] = {
        "data": None,
        "errors": None,
    }
    """`data`: any JSON value; `errors`: a list of exceptions."""

    answer_complete: bool = True
    """Answer the client's `complete` of a subscription with one of our own."""

    warn_operation_timeout: float | None = 1
    """Seconds after which the execution of a query or mutation is worth a warning."""

    subscription_notification_queue_limit: int = 1024
    """Notifications that may wait for one subscription, see also
    `Subscription.notification_queue_limit`."""

    max_message_size: int | None = 1_000_000
    """Longest message from a client, in characters; a longer one closes with 4400."""

    max_operations_per_connection: int | None = 100
    """Subscriptions that a connection may have at a time; one more gets an `error`.
    Queries and mutations are not counted. `None`: any number."""

    max_operations_in_flight: int | None = 2_000
    """Operations of all kinds that may be under way at a time; one more gets an `error`.
    `None`: any number."""

    disconnect_timeout: float = 30.0
    """Seconds that mutations and `unsubscribed` hooks may go on after the client has gone,
    before they are cancelled."""

    group_name_prefix: str = "GQLWS"
    """Begins the names of all groups on the channel layer: set it on `GraphqlWsConsumer`
    itself to keep two projects on one Redis apart. A subclass may have its own: broadcasts
    go to the groups of each prefix which the sending process knows, so a worker has to
    import the module of that subclass."""

    listen_to_channel_layer: bool | None = None
    """Whether to wait for messages to this consumer's own channel. `None`: only if the
    class has handlers of its own, public `async def` methods that are not hooks."""

    @classmethod
    def allowed_subprotocols(cls) -> list[Subprotocol]:
        """Give the dialects that the class allows.

        Raises:
            ValueError: one of the names is none of a subprotocol.
        """
        unknown = [name for name in cls.subprotocols if name not in _SUBPROTOCOLS]
        if unknown:
            raise ValueError(
                f"{cls.__qualname__}.subprotocols: {unknown} are none of {list(_SUBPROTOCOLS)}"
            )
        return [_SUBPROTOCOLS[name] for name in cls.subprotocols]

    def server_protocol(self, subprotocol: Subprotocol, **asked: bool) -> ServerProtocol:
        """Give what decides on a connection; `asked`: which hooks about pings there are."""
        return ServerProtocol(
            subprotocol,
            max_message_size=self.max_message_size,
            max_operations=self.max_operations_in_flight,
            answers_complete=self.answer_complete,
            **asked,
        )

    def connection_settings(self) -> ConnectionSettings:
        """Give times, order and limits of a connection."""
        return _settings(
            strict_ordering=self.strict_ordering,
            ping_every=self.send_ping_every,
            pong_timeout=self.pong_timeout,
            init_timeout=self.connection_init_wait_timeout,
            disconnect_timeout=self.disconnect_timeout,
            max_subscriptions=self.max_operations_per_connection,
            completes_at_shutdown=self.complete_at_shutdown,
        )


_SUBPROTOCOLS = {each.name: each for each in SUBPROTOCOLS}

_settings = lru_cache(maxsize=128)(ConnectionSettings)
"""Connections with the same values have the same settings."""
