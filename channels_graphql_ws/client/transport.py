"""How the client reaches a server: the interface, and WebSockets by aiohttp."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from channels_graphql_ws.client.errors import ConnectionRejectedError, SubprotocolMismatchError
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.json_text import loads
from channels_graphql_ws.websocket.subprotocols import GRAPHQL_TRANSPORT_WS

__all__ = [
    "DEFAULT_SUBPROTOCOL",
    "ConnectionRejectedError",
    "GraphqlWsTransport",
    "SubprotocolMismatchError",
    "closed_by_server",
    "describe_close",
    "parse_message",
    "pong_for",
]

DEFAULT_SUBPROTOCOL = GRAPHQL_TRANSPORT_WS.name


OPERATION_LOST: Final = object()
"""The `type` of a message by which a transport says that it has lost one operation: `id` and
`error`. No server can send it."""


class GraphqlWsTransport:
    """What the client needs from a connection; subclass it to bring your own.

    Messages are dictionaries, the JSON objects of the subprotocol. All times are in
    seconds; `timeout=None` stands for `TIMEOUT`. What takes longer raises
    `TimeoutError`, and may be tried again: no message is lost by it.
    """

    TIMEOUT: float = 60.0

    has_connection: ClassVar[bool] = True
    """Whether operations share one connection, which has an acknowledgement and pings."""

    takes_files: ClassVar[bool] = False
    """Whether a message that starts an operation may have `files`, by their path in it."""

    renews: bool = False
    """Whether each attempt to connect may have other credentials than the one before."""

    def refuse_files(self, files: Mapping[str, Any]) -> None:
        """Raise if there are files and the transport cannot send them.

        Raises:
            TypeError: names the first of them.
        """
        if files and not self.takes_files:
            raise TypeError(
                f"{next(iter(files))} is a file, and files are sent over HTTP only: "
                "use a client with an http:// or https:// URL"
            )

    @property
    def address(self) -> str:
        """What errors call the server."""
        return "the server"

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose, `None` if it is the one that was asked for."""
        return None

    async def connect(self, timeout: float | None = None) -> None:
        """Open the connection.

        An implementation may take two more arguments: `subprotocol`, which one the client
        speaks, and `subprotocols`, all that it can speak, the preferred one first.

        Raises:
            ConnectionClosedError: the server cannot be reached or refused.
        """
        raise NotImplementedError

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            ConnectionClosedError: there is no connection.
        """
        raise NotImplementedError

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message.

        Raises:
            ConnectionClosedError: all messages are read and the connection is closed.
            RemoteProtocolError: the server sent something that is not a message.
        """
        raise NotImplementedError

    async def read_all(self, deliver: Callable[[dict[str, Any]], object]) -> None:
        """Call `deliver` with each message until the connection ends; then raise.

        Args:
            deliver: takes a message; it gets pings, too, which the caller then answers. If it
                returns something true, others on the event loop get a chance to run.

        Raises:
            ConnectionClosedError: all messages are delivered and the connection is closed.
            RemoteProtocolError: the server sent something that is not a message.
        """
        while True:
            if deliver(await self.receive(timeout=math.inf)):
                await asyncio.sleep(0)

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
        message = loads(text)
    except ValueError as error:
        raise RemoteProtocolError(
            f"The server sent a message that is not JSON: {_shortened(text)}"
        ) from error
    if type(message) is dict:
        found: dict[str, Any] = message
        return found
    raise RemoteProtocolError(
        f"The server sent a message that is not an object: {_shortened(text)}"
    )


def closed_by_server(code: int | None, reason: str) -> ConnectionClosedError:
    """Build the error for a connection that the server closed or dropped."""
    return ConnectionClosedError(describe_close(code, reason), code, reason)


def describe_close(code: int | None, reason: str) -> str:
    """Say in a sentence how the server closed, and what to look at."""
    shown_code = "without a code" if code is None else f"with code {code}"
    shown_reason = f": {reason}" if reason else ""
    advice = _CLOSE_ADVICE.get(code) if code is not None else None
    shown_advice = f"; {advice}" if advice else ""
    return f"The server closed the connection {shown_code}{shown_reason}{shown_advice}"


_CLOSE_ADVICE: Final = {
    1006: "it said nothing: it has ended, or a proxy or the network in between has",
    1009: "a message was too large",
    1011: "its log says why",
    4400: "it did not accept a message of ours",
    4401: "look at connection_params, headers and cookies",
    4403: "look at connection_params, headers and cookies",
    4406: "it speaks another subprotocol, see subprotocols",
    4408: "connection_init or a pong has come too late",
    4500: "its log says why",
}


def _shortened(text: str) -> str:
    limit = 200
    return repr(text if len(text) <= limit else text[:limit] + "…")
