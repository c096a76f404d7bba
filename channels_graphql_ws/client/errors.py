"""What the client and its transports raise, beside the errors that the server shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)


class ConnectionRejectedError(ConnectionClosedError, RuntimeError):
    """The server did not let us in: it refused or closed during the handshake.

    Attributes:
        status: HTTP status of the answer, `None` if there was none.
        retry_after: seconds that the server asks us to wait, `None` without a Retry-After.
    """

    def __init__(
        self,
        message: str,
        code: int | None = None,
        reason: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code, reason)
        self.status = status
        self.retry_after = retry_after


class SubprotocolMismatchError(RemoteProtocolError, RuntimeError):
    """The server chose another subprotocol than the one it was offered."""

    def __init__(self, offered: str, chosen: str | None) -> None:
        answer = "" if chosen is None else f", it chose {chosen!r}"
        super().__init__(f"The server did not accept subprotocol {offered!r}{answer}")
        self.offered = offered
        self.chosen = chosen


class GraphqlWsTimeoutError(GraphqlWsClientError, TimeoutError):
    """Something took too long; the text says what, how long, and what to do.

    Attributes:
        waited_for: what did not come.
        seconds: how long it was waited for.
    """

    def __init__(self, waited_for: str, seconds: float, advice: str = "") -> None:
        super().__init__(f"Waited {seconds:g} s for {waited_for}{advice and f'. {advice}'}")
        self.waited_for = waited_for
        self.seconds = seconds


class MutationInterruptedError(ConnectionClosedError):
    """The connection was lost after a mutation was sent: nobody knows if it was executed."""


class MessagesLostError(GraphqlWsClientError):
    """More messages arrived than `receive()` was called for; the oldest were dropped.

    Attributes:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} messages were dropped because nobody called receive() in time; "
            "receive faster, or use subscription(), which has a queue for each operation"
        )
        self.count = count


class NoDataError(GraphqlWsClientError, LookupError):
    """An event was asked for data, but it only brings errors or tells of lost events."""


class ResultTypeError(GraphqlWsClientError, TypeError):
    """A result does not fit the type that was given as `into`; the text says where."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """One entry of `errors` in an answer (GraphQL specification, Errors)."""

    message: str
    locations: Sequence[Mapping[str, int]] = ()
    path: Sequence[str | int] = ()
    extensions: Mapping[str, Any] | None = None

    @property
    def code(self) -> Any:
        """The `code` in `extensions`, where most servers say what kind of error it is."""
        return (self.extensions or {}).get("code")

    def as_json(self) -> dict[str, Any]:
        """Return the error as the server sent it, without what it does not have."""
        parts = {
            "message": self.message,
            "locations": list(self.locations),
            "path": list(self.path),
            "extensions": self.extensions,
        }
        return {name: value for name, value in parts.items() if value or name == "message"}

    def __str__(self) -> str:
        """Return the message, with the path or the place in the document."""
        if self.path:
            return f"{self.message} (at {'.'.join(map(str, self.path))})"
        places = [
            f"line {each.get('line')}, column {each.get('column')}" for each in self.locations
        ]
        return f"{self.message} ({'; '.join(places)})" if places else self.message


class GraphqlOperationError(GraphqlWsResponseError):
    """The server answered an operation with errors; raised by `query()` and subscriptions.

    Attributes:
        errors: what the server said, at least one.
        data: what could be resolved all the same, `None` if nothing.
        extensions: of the answer, `None` if there are none.
    """

    def __init__(self, response: Mapping[str, Any], operation: str) -> None:
        super().__init__(response)
        self.operation = operation
        self.errors = error_details(response)
        payload = response.get("payload")
        whole = cast("Mapping[str, Any]", payload) if isinstance(payload, Mapping) else {}
        self.data: Any = whole.get("data")
        self.extensions: Any = whole.get("extensions")

    def __str__(self) -> str:
        """Name the operation and each error."""
        return f"{self.operation} failed: {'; '.join(map(str, self.errors))}"


def sentence(error: Exception) -> str:
    """Return the text of an error as a sentence that others may follow."""
    text, name = str(error), type(error).__name__
    if not isinstance(error, GraphqlWsClientError | OSError):
        text = f"{name}: {text}" if text else name
    texts = [text or name, *getattr(error, "__notes__", ())]
    return " ".join(each if each.endswith((".", "?", "!")) else f"{each}." for each in texts)


def error_details(message: Mapping[str, Any]) -> tuple[ErrorDetails, ...]:
    """Read the errors of a message: of an `error`, or those in the payload of a result."""
    payload = message.get("payload")
    if isinstance(payload, Mapping):
        # The legacy protocol sends one error, or an object with all of them.
        whole = cast("Mapping[str, Any]", payload)
        payload = whole.get("errors", [whole] if message.get("type") == "error" else [])
    if not isinstance(payload, list):
        return (ErrorDetails(f"The server sent no readable error: {payload!r}"),)
    return tuple(_details(entry) for entry in cast("list[object]", payload))


def _details(entry: object) -> ErrorDetails:
    if not isinstance(entry, Mapping):
        return ErrorDetails(str(entry))
    error = cast("Mapping[str, Any]", entry)
    locations, path, extensions = (error.get(key) for key in ("locations", "path", "extensions"))
    return ErrorDetails(
        str(error.get("message", "An error without a message")),
        tuple(each for each in _listed(locations) if isinstance(each, Mapping)),
        tuple(_listed(path)),
        cast("Mapping[str, Any]", extensions) if isinstance(extensions, Mapping) else None,
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
