"""How the client reaches a server: the interface, and WebSockets by aiohttp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError

DEFAULT_SUBPROTOCOL = "graphql-transport-ws"


class ConnectionRejectedError(ConnectionClosedError, RuntimeError):
    """The server did not let us in: it refused or closed during the handshake."""


class SubprotocolMismatchError(RemoteProtocolError, RuntimeError):
    """The server chose another subprotocol than the one it was offered."""

    def __init__(self, offered: str, chosen: str | None) -> None:
        answer = "" if chosen is None else f", it chose {chosen!r}"
        super().__init__(f"The server did not accept subprotocol {offered!r}{answer}")
        self.offered = offered
        self.chosen = chosen


class GraphqlWsTransport:
    """What the client needs from a connection; subclass it to bring your own.

    Messages are dictionaries, the JSON objects of the subprotocol. All times are in
    seconds; `timeout=None` stands for `TIMEOUT`. What takes longer raises
    `TimeoutError`, and may be tried again: no message is lost by it.
    """

    TIMEOUT: float = 60.0

    async def connect(self, timeout: float | None = None) -> None:
        """Open the connection.

        An implementation may take one more argument, `subprotocol`: the client
        then says which one it speaks.

        Raises:
            ConnectionClosedError: the server can not be reached or refused.
        """
        raise NotImplementedError

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            ConnectionClosedError: there is no connection (any more).
        """
        raise NotImplementedError

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message.

        Raises:
            ConnectionClosedError: all messages are read and the connection is closed.
            RemoteProtocolError: the server sent something that is no message.
        """
        raise NotImplementedError

    async def disconnect(self, timeout: float | None = None) -> None:
        """Close the connection from this side and free what it holds."""
        raise NotImplementedError

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the server closes; return a dict with `code` and `reason`."""
        raise NotImplementedError


def pong_for(ping: Mapping[str, Any]) -> dict[str, Any]:
    """Build the answer to a ping: its payload goes back (graphql-ws, Pong)."""
    return {**ping, "type": "pong"}


def parse_message(text: str) -> dict[str, Any]:
    """Turn a text frame of the server into a message.

    Raises:
        RemoteProtocolError: the text is not a JSON object.
    """
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(
            f"The server sent a message that is not JSON: {_shortened(text)}"
        ) from error
    if not isinstance(message, dict):
        raise RemoteProtocolError(
            f"The server sent a message that is no object: {_shortened(text)}"
        )
    return cast("dict[str, Any]", message)


def closed_by_server(code: int | None, reason: str) -> ConnectionClosedError:
    """Build the error for a connection that the server closed or dropped."""
    return ConnectionClosedError(describe_close(code, reason), code, reason)


def describe_close(code: int | None, reason: str) -> str:
    """Say in a sentence how the server closed."""
    shown_code = "without a code" if code is None else f"with code {code}"
    shown_reason = f": {reason}" if reason else ""
    return f"The server closed the connection {shown_code}{shown_reason}"


def _shortened(text: str) -> str:
    limit = 200
    return repr(text if len(text) <= limit else text[:limit] + "…")
