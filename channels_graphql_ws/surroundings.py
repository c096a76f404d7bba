"""What a connection needs around it: where frames go, who decides, and who executes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from .client_operation import ClientOperation
from .masking import Mask
from .pings import PingHooks
from .steps import Steps


class WebSocket(Protocol):
    """Where frames go."""

    def text_sender(self) -> Callable[[str], Awaitable[None]]:
        """Give what sends a text frame."""
        ...

    def send_close(self, code: int, reason: str) -> Awaitable[None]:
        """Close the socket."""
        ...


class Application(PingHooks, Protocol):
    """Who decides what a client may do, and does it."""

    def accept_client(self, payload: Any) -> Steps[Mapping[str, Any] | None]:
        """Refuse by raising, or give the payload of the acknowledgement."""
        ...

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell a client of an error."""
        ...

    def mask_of_class(self) -> Mask:
        """Give what hides errors from clients."""
        ...

    def execute(self, client: ClientOperation) -> Steps[None]:
        """Execute an operation."""
        ...
