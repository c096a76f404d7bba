"""Options that only `GraphqlWsConsumer` has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, cast

from channels_graphql_ws.operations.defaults import FromSettings, Open
from channels_graphql_ws.operations.option_values import NOT_NEGATIVE, POSITIVE
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

    send_ping_every: Annotated[float | None, NOT_NEGATIVE, Open(None)] = 25.0
    """Seconds between pings; `None` sends none. In the legacy `graphql-ws` they are `ka`
    messages, the first of which goes with the acknowledgement if this option is set."""

    ping_payload: Mapping[str, Any] | Callable[[Any], Mapping[str, Any] | None] | None = None
    """A JSON object that goes with each ping, or a method that returns one.
    `graphql-transport-ws` only."""

    pong_timeout: Annotated[float | None, NOT_NEGATIVE] = 20.0
    """Seconds after a ping in which the client must send something, anything, or the
    connection is closed with 4408; `graphql-transport-ws` only. And seconds in which a client
    must take something of what waits for it, for each MiB of the message that is being sent,
    in both subprotocols; for each 8 MiB, and twice at least, while others wait for it, see
    `max_unsent_bytes_per_user`. `None` waits for ever."""

    connection_init_wait_timeout: Annotated[float | None, NOT_NEGATIVE, Open(0)] = 10.0
    """Seconds until a socket without `connection_init` is closed with 4408; 0 or `None`
    waits for ever."""

    on_connect_timeout: Annotated[float | None, NOT_NEGATIVE, Open(None)] = 30.0
    """Seconds that `on_connect` may take, before the client is closed with 4408 and the log
    says so. `None`: any time."""

    idle_timeout: Annotated[float | None, NOT_NEGATIVE] = None
    """Seconds without an operation until a connection is closed with 1000. `None`: never."""

    max_connection_age: Annotated[float | None, NOT_NEGATIVE] = None
    """Seconds until a connection is closed with 1012, so that the client connects again; up
    to a tenth less, so that not all do so at once. Queries and mutations that are under way
    may end, for ten seconds. `None`: never."""

    max_connections_per_user: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 100
    """Connections that one user may have in one process. One more is refused: with 429 if the
    server can send that, else 403, or closed with 1013 if `on_connect` has logged the user in.
    `None`: no limit."""

    max_connections_per_address: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 250
    """The same for all clients of one address; see `trusted_proxies`. Of IPv6, 64 bits are
    one address."""

    max_messages_per_second: Annotated[float | None, POSITIVE, Open(None)] = 1_000.0
    """Messages that are read of one client, in the long run; five times as many at once. What
    is too fast waits in the server and the network: nothing is refused. `None`: no limit."""

    strict_ordering: bool = False
    """Process each message of a client, and what follows from it, to its end before the
    next one is looked at, and before notifications are sent."""

    answer_complete: bool = True
    """Answer the client's `complete` of a subscription with one of our own."""

    max_message_size: Annotated[int | None, NOT_NEGATIVE, Open(None)] = cast(
        "int | None", FromSettings("DATA_UPLOAD_MAX_MEMORY_SIZE")
    )
    """Longest message from a client, in bytes; a longer one closes with 4400. `None`: no
    limit. Without a word it is Django's DATA_UPLOAD_MAX_MEMORY_SIZE, 2.5 MiB."""

    max_message_size_before_ack: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 131_072
    """The same until the client is acknowledged, if it is less than `max_message_size`.
    `None`: no limit of its own."""

    max_operations_in_flight: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 2_000
    """Operations of all kinds that may be under way at a time; one more gets an `error`.
    `None`: no limit."""

    max_bytes_in_flight: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 16_777_216
    """Bytes of memory that the messages of all operations under way may take, estimated; one
    more gets an `error`, unless it is the only one. `None`: no limit."""

    max_unsent_bytes: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 1_048_576
    """Bytes that may wait for a slow client behind the message that is being sent. Beyond
    that, results wait, events follow `notification_queue_policy`, and nothing more is read
    of the client; it is closed after `pong_timeout` without progress. `None`: no limit."""

    max_ping_size: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 1_024
    """Longest payload of a ping or pong from a client, in bytes; a longer one closes with
    4400, as do more than 32 pings before the acknowledgement. `None`: no limits."""

    listen_to_channel_layer: bool | None = None
    """Whether to wait for messages to this consumer's own channel. `None`: only if the
    class has `groups`, handlers of its own (public `async def` methods that are not hooks)
    or a method that reads `self.channel_name`."""
