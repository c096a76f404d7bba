"""Options that only `GraphqlWsConsumer` has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from channels_graphql_ws.operations.defaults import Open
from channels_graphql_ws.operations.option_values import NOT_NEGATIVE
from channels_graphql_ws.operations.options import OperationOptions


class ConsumerOptions(OperationOptions):
    """The options of `GraphqlWsConsumer`: class attributes, or keywords of `as_asgi()`."""

    # Clients of the predecessor read what its consumers told them.
    _follows_debug: ClassVar[bool] = False

    allowed_origins: Annotated[Sequence[str] | None, Open(("*",))] = None
    """Origins whose pages may connect besides those of the host itself: "https://example.com",
    "http://localhost:5173", "https://*.example.com", "capacitor://localhost"; "*" allows any.
    `None`: pages of ALLOWED_HOSTS that have the port which was connected to, and origins in
    CSRF_TRUSTED_ORIGINS. A client without the header `Origin` is not a page. Others are
    refused with 403, before the socket is accepted."""

    subprotocols: Sequence[str] = ("graphql-transport-ws", "graphql-ws")
    """The subprotocols to speak, the preferred one first; leave out the legacy
    `graphql-ws` to switch it off."""

    send_ping_every: Annotated[float | None, NOT_NEGATIVE] = None
    """Seconds between pings; `None` sends none."""

    ping_payload: Mapping[str, Any] | Callable[[Any], Mapping[str, Any] | None] | None = None
    """A JSON object that goes with each ping, or a method that returns one.
    `graphql-transport-ws` only."""

    pong_timeout: Annotated[float | None, NOT_NEGATIVE] = 20.0
    """Seconds after a ping in which the client must send something, anything, or the
    connection is closed with 4408. `None` waits for ever. `graphql-transport-ws` only."""

    connection_init_wait_timeout: Annotated[float | None, NOT_NEGATIVE] = 0
    """Seconds until a socket without `connection_init` is closed with 4408; 0 or `None`
    waits for ever. `graphql-transport-ws` only."""

    strict_ordering: bool = False
    """Process each message of a client, and what follows from it, to its end before the
    next one is looked at, and before notifications are sent."""

    answer_complete: bool = True
    """Answer the client's `complete` of a subscription with one of our own."""

    max_message_size: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 1_000_000
    """Longest message from a client, in characters; a longer one closes with 4400.
    `None`: no limit."""

    max_operations_in_flight: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 2_000
    """Operations of all kinds that may be under way at a time; one more gets an `error`.
    `None`: no limit."""

    listen_to_channel_layer: bool | None = None
    """Whether to wait for messages to this consumer's own channel. `None`: only if the
    class has `groups`, handlers of its own (public `async def` methods that are not hooks)
    or a method that reads `self.channel_name`."""
