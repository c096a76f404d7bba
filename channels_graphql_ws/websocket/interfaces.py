"""Interfaces and settings of `Connection`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.masking import Mask
from channels_graphql_ws.operations.listing import ListedConnection, ListedSubscription
from channels_graphql_ws.operations.server_transport import ServerTransport
from channels_graphql_ws.websocket.keep_alive import KeepAliveHooks
from channels_graphql_ws.websocket.operation import ClientOperation
from channels_graphql_ws.websocket.protocol import ProtocolSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Options that decide on connections: each field is the option of its name."""

    strict_ordering: bool = False
    confirm_subscriptions: bool = False
    send_ping_every: float | None = None
    pong_timeout: float | None = 20.0
    connection_init_wait_timeout: float | None = None
    on_connect_timeout: float | None = None
    operation_timeout: float | None = None
    idle_timeout: float | None = None
    max_connection_age: float | None = None
    disconnect_timeout: float | None = 30.0
    max_operations_per_connection: int | None = None
    max_unsent_bytes: int | None = None
    complete_at_shutdown: bool = False
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)


class WebSocket(Protocol):
    """Takes the frames."""

    def event_sender(self) -> Callable[[dict[str, Any]], Awaitable[None]]:
        """Return what sends a text frame: an event `websocket.send` (ASGI)."""
        ...

    def send_close(self, code: int, reason: str) -> Awaitable[None]:
        """Close the socket."""
        ...

    def transport(self) -> ServerTransport | None:
        """Return what the server sends by, where it can be found."""
        ...

    def limit_messages(self, now: int | None, later: int | None) -> None:
        """Have the server let through messages of so many bytes, where it can be told."""


class Acceptance(NamedTuple):
    """A client is let in.

    Attributes:
        payload: goes with the acknowledgement.
        is_another: another user, or another session of one, than was let in before.
    """

    payload: Mapping[str, Any] | None
    is_another: bool


class Application(KeepAliveHooks, Protocol):
    """Decides what a client may do, and does it."""

    def accept_client(self, payload: Any) -> Eager[Acceptance]:
        """Refuse a client by raising, or let it in."""
        ...

    def refused(self, reason: object, code: int | None, error: Exception | None = None) -> None:
        """Tell receivers of signals that the client was refused."""

    @property
    def has_new_user(self) -> bool:
        """Whether an operation or a hook has put another user object into the scope."""
        ...

    def has_changed(self, began_as: Any) -> bool:
        """Return whether an operation has logged the client out, or in as somebody.

        Args:
            began_as: the user when the operation was executed that has come to its end.
        """
        ...

    def listed(
        self, subscriptions: Iterable[ListedSubscription], *, operations: int, unsent_bytes: int
    ) -> ListedConnection:
        """Return what operators are told of the connection."""
        ...

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Return what a client is told of an error."""
        ...

    @property
    def mask(self) -> Mask:
        """Which errors clients are not told of."""
        ...

    def execute(self, client: ClientOperation) -> Eager[None]:
        """Execute an operation."""
        ...
