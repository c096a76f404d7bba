"""Every error of the package, as one tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels_graphql_ws.json_text import lazy_text


class GraphqlWsError(Exception):
    """Base of all errors which this package raises on purpose."""


class ChannelLayerError(GraphqlWsError):
    """The channel layer is missing, or it refused what it was asked for."""


class ChannelLayerUnavailableError(ChannelLayerError):
    """The channel layer failed, or did not answer in time: it may do so later.

    Clients are told no more than `SERVICE_UNAVAILABLE`, the log is told the rest.
    """


class ConnectionRejectionError(GraphqlWsError):
    """Raise it in `on_connect` to choose what a refused client is told.

    The legacy subprotocol sends the payload. `graphql-transport-ws` has only the reason of
    the close 4403: the text under `message` or `reason` in the payload, else "Forbidden".

    Attributes:
        payload: a JSON object.

    Raises:
        TypeError: the payload is anything else, such as a text.
    """

    def __init__(self, payload: Mapping[str, Any] | None = None) -> None:
        given: Any = payload  # Whatever the annotation says.
        if not isinstance(given, Mapping | None):
            raise TypeError(f'{payload!r} is not a dict; pass {{"message": "the reason"}}')
        super().__init__(payload)
        self.payload: Mapping[str, Any] = {} if payload is None else payload

    @property
    def reason(self) -> str:
        """The reason of the close; it is cut at 123 bytes."""
        given = (self.payload.get(name) for name in ("message", "reason"))
        texts = (each if isinstance(each, str) else lazy_text(each) for each in given)
        return next((text for text in texts if text), "Forbidden")


class SharedContextError(GraphqlWsError):
    """Code that is executed for several clients at once asked for something of one of them.

    See `Subscription.context_id`.
    """


class InvalidMessageError(GraphqlWsError):
    """A frame is not a message of the subprotocol; the text says what is wrong."""


class UnknownMessageTypeError(InvalidMessageError):
    """A well-formed frame whose `type` the subprotocol has no word for.

    Attributes:
        type: the word that was received.
        id: the `id` of the message, `None` if it had none.
    """

    def __init__(self, type: str, id: str | int | None) -> None:
        super().__init__(f"Unknown message type {type!r}")
        self.type = type
        self.id = id


class PayloadError(GraphqlWsError):
    """The payload of a broadcast cannot be turned into bytes or back."""


class PayloadTypeError(PayloadError, TypeError):
    """A payload holds something that has no representation on the wire."""


class PayloadDecodeError(PayloadError, ValueError):
    """Bytes from the channel layer are not one of our payloads."""


class GraphqlWsClientError(GraphqlWsError):
    """Base of what the client and its transports raise."""


class RemoteProtocolError(GraphqlWsClientError):
    """The server said something which the protocol does not allow here."""


class ConnectionClosedError(GraphqlWsClientError):
    """The connection was closed, refused or never opened.

    Attributes:
        code: WebSocket close code (RFC 6455, section 7.4), `None` if there was none.
        reason: the text which came with the code, empty if there was none.
    """

    def __init__(self, message: str, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class GraphqlWsResponseError(GraphqlWsClientError):
    """The server answered an operation with errors.

    Attributes:
        response: the whole message as it was received.
        message: a text to show in place of "Error in GraphQL response".
    """

    def __init__(self, response: Mapping[str, Any], message: str | None = None) -> None:
        super().__init__(response, message)
        self.response = response
        self.message = message

    def __str__(self) -> str:
        """Name what failed, then show the response."""
        return f"{self.message or 'Error in GraphQL response'}: {self.response}!"
