"""Opening a connection: the offered subprotocols, `connection_init` and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from channels_graphql_ws.client.errors import ConnectionRejectedError, GraphqlWsTimeoutError
from channels_graphql_ws.client.option_values import checked_mapping
from channels_graphql_ws.client.transport import GraphqlWsTransport, pong_for
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.websocket.subprotocols import SUBPROTOCOLS, Subprotocol

ConnectionParams: TypeAlias = (
    Mapping[str, Any]
    | Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
)
"""Payload of `connection_init`, or what returns it at each attempt."""

_NOT_OPEN = "Nothing answers there: are host and port right, and does the server run?"

DIALECTS = {dialect.name: dialect for dialect in SUBPROTOCOLS}


def not_open(address: str) -> str:
    """Return what to look at when a connection cannot be opened in time."""
    if address.startswith("wss://"):
        return f"{_NOT_OPEN} Does it have TLS? Without, the URL begins with ws://"
    return _NOT_OPEN


@contextlib.asynccontextmanager
async def time_limit(seconds: float, waited_for: str, advice: str = "") -> AsyncGenerator[None]:
    """Allow the body only so many seconds.

    Raises:
        GraphqlWsTimeoutError: it took longer.
    """
    try:
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            yield
    except TimeoutError as error:
        # A TimeoutError with a text is not ours, and explains itself.
        if not str(error):
            raise GraphqlWsTimeoutError(waited_for, seconds, advice) from None
        raise


async def connect(transport: GraphqlWsTransport, offered: Sequence[Subprotocol]) -> Subprotocol:
    """Open a transport and return the dialect that is spoken on it.

    Args:
        transport: what to open.
        offered: the dialects we speak, the preferred one first.
    """
    opening = cast("Callable[..., Awaitable[None]]", transport.connect)
    parameters = inspect.signature(opening).parameters
    names = [dialect.name for dialect in offered]
    arguments = {"subprotocol": names[0], "subprotocols": names}
    await opening(**{name: value for name, value in arguments.items() if name in parameters})
    return DIALECTS.get(transport.subprotocol or "", offered[0])


async def disconnect(transport: GraphqlWsTransport, code: int, seconds: float) -> None:
    """Close a transport, with a code if it takes one."""
    closing = cast("Callable[..., Awaitable[None]]", transport.disconnect)
    takes_code = "code" in inspect.signature(closing).parameters
    await closing(timeout=seconds, **({"code": code} if takes_code else {}))


async def initialize(
    transport: GraphqlWsTransport, dialect: Subprotocol, params: Mapping[str, Any] | None
) -> Any:
    """Send `connection_init`, wait for `connection_ack` and return its payload.

    Raises:
        ConnectionClosedError: the server refuses us.
        RemoteProtocolError: it answers something else.
    """
    init: dict[str, Any] = {"type": "connection_init"}
    if params is not None:
        init["payload"] = dict(checked_mapping("connection_params", params))
    await transport.send(init)
    while True:
        message = await transport.receive(timeout=math.inf)
        word = message.get("type")
        if word == "connection_ack":
            return message.get("payload")
        if word == "connection_error":
            raise ConnectionRejectedError(
                f"The server refused the connection: {message.get('payload')}"
            )
        if word == "ping" and dialect.has_ping:
            with contextlib.suppress(ConnectionClosedError):
                await transport.send(pong_for(message))
        elif word not in dialect.keep_alive_types:
            raise RemoteProtocolError(f"Expected 'connection_ack', the server sent {message!r}")
