"""The vocabulary: one dataclass for each protocol message, in no dialect.

None of them is ever changed. The most frequent are not frozen, as that takes twice the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from channels_graphql_ws.execution.request import JsonObject, OperationId, Refusal, Subscribe


class CloseCode(IntEnum):
    """Close codes of GraphQL over WebSocket, of its legacy, and of WebSockets as such."""

    NORMAL = 1000
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    LEGACY_REJECTED = 4000
    SERVICE_RESTART_OF_APPLICATION = 4012
    """For servers (Daphne) that let applications close with 1000 and 3000 to 4999 only."""
    TRY_AGAIN_LATER_OF_APPLICATION = 4013
    """The same."""
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    TIMEOUT = 4408
    SUBSCRIBER_ALREADY_EXISTS = 4409
    TOO_MANY_INITIALISATION_REQUESTS = 4429
    INTERNAL_ERROR = 4500


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks the peer for a `Pong`."""

    payload: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a `Ping`, or shows unasked that the peer is there."""

    payload: JsonObject | None = None


@dataclass(slots=True)
class Complete:
    """From the client: stop. From the server: no more results."""

    id: OperationId


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """Asks for the connection to be accepted; `payload` often carries a token."""

    payload: Any = None


@dataclass(frozen=True, slots=True)
class ConnectionTerminate:
    """Legacy: the client is about to leave."""


@dataclass(frozen=True, slots=True)
class ConnectionAck:
    """The connection is accepted: operations may run."""

    payload: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ConnectionError:
    """Legacy: the connection is refused."""

    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Error:
    """The operation ended before or outside of its execution."""

    id: OperationId | None
    errors: Sequence[JsonObject]
    refusal: Refusal


FromClient: TypeAlias = ConnectionInit | Subscribe | Complete | Ping | Pong | ConnectionTerminate
FromServer: TypeAlias = ConnectionAck | ConnectionError | Error | Complete | Ping | Pong
"""A result has no class: its text is glued into a frame, see `next_prefix`."""
