"""Handshakes that are refused: pages of other sites, too many connections, large headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TypeAlias

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.execution.headers import has_header, problem_of_headers
from channels_graphql_ws.operations.defaults import is_debug
from channels_graphql_ws.operations.live_places import LivePlaceOptions, LivePlaces
from channels_graphql_ws.operations.origins import Server
from channels_graphql_ws.operations.places import (
    Limit,
    NoPlaceError,
    Place,
    address_of,
    places_of_loop,
    user_of,
)
from channels_graphql_ws.operations.unsent import Unsent, UnsentOptions

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Refusal(NamedTuple):
    """Why a handshake is refused.

    Attributes:
        status: the HTTP status.
        reason: for the log, and for developers; follows "Refused a WebSocket".
    """

    status: int
    reason: str


def problem_of_size(scope: Mapping[str, Any]) -> Refusal | None:
    """Return the refusal of headers that would take long to read."""
    problem = problem_of_headers(scope)
    if problem is None:
        return None
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"handshake: {problem}")


def problem_of_origin(
    scope: Mapping[str, Any], allowed_origins: Sequence[str] | None
) -> Refusal | None:
    """Return the refusal of the page of another site, see the option `allowed_origins`."""
    if not has_header(scope, b"origin"):
        return None
    server = Server(scope)
    origin = server.origin
    if origin is None or server.trust(origin, allowed_origins) is not None:
        return None
    return Refusal(HTTPStatus.FORBIDDEN, server.explain(origin, allowed_origins))


def problem_of_place(error: NoPlaceError) -> Refusal:
    """Return the refusal of a user or an address that has too many connections."""
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"of {error.limit.key!r}: {error}")


class PlaceOptions(UnsentOptions, LivePlaceOptions, Protocol):
    """The options of a consumer that decide on places, and on what may be unsent."""

    max_connections_per_user: int | None
    max_connections_per_address: int | None


class ConnectionPlace:
    """The place of one connection in the limits of its user, and of its address.

    Args:
        options: the consumer, for its limits. It is not kept: it would be a reference cycle.
        scope: of the connection.

    Attributes:
        live: the places of its subscriptions.
        unsent: what it has not sent yet.
    """

    __slots__ = (
        "_most_of_address",
        "_most_of_user",
        "_taken",
        "_trusted_proxies",
        "_user",
        "live",
        "unsent",
    )

    def __init__(self, options: PlaceOptions, scope: Mapping[str, Any]) -> None:
        self.live = LivePlaces(options)
        self.unsent = Unsent(options, scope)
        self._most_of_user = options.max_connections_per_user
        self._most_of_address = options.max_connections_per_address
        self._trusted_proxies = options.trusted_proxies
        self._taken: tuple[Place, ...] = ()
        self._user: tuple[str, str] | None = None

    def take(self, scope: Mapping[str, Any]) -> None:
        """Take it, at the handshake.

        Raises:
            NoPlaceError: this user or this address has too many connections.
        """
        self._user = user_of(scope)
        self.unsent.belong_to(self._user)
        most = self._most_of_address
        address = None if most is None else address_of(scope, self._trusted_proxies)
        self._take(Limit(address, most, "max_connections_per_address"), self._of_user())

    def take_for_user(self, scope: Mapping[str, Any]) -> None:
        """Take it for a user that is known now, if it is another one.

        Raises:
            NoPlaceError: this user has too many connections.
        """
        user = user_of(scope)
        if user != self._user:
            self._user = user
            self._take(self._of_user())
            self.unsent.belong_to(user)

    def release(self) -> None:
        """Release it; harmless when repeated."""
        for place in self._taken:
            place.release()

    def _of_user(self) -> Limit:
        return Limit(self._user, self._most_of_user, "max_connections_per_user")

    def _take(self, *limits: Limit) -> None:
        if any(each.key is not None and each.most is not None for each in limits):
            self._taken += (places_of_loop("WebSockets").take(limits),)


async def refuse(refusal: Refusal, scope: Mapping[str, Any], send: Send) -> None:
    """Refuse a handshake that has not been accepted yet, and log why.

    Servers make a 403 of a close. Those that can send another answer (ASGI, WebSocket Denial
    Response) do so where the status is another, and with DEBUG.
    """
    log.warning("Refused a WebSocket %s", Sentence(refusal.reason))
    has_answer = "websocket.http.response" in (scope.get("extensions") or {})
    if has_answer and (is_debug() or refusal.status != HTTPStatus.FORBIDDEN):
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        start = {"status": int(refusal.status), "headers": headers}
        await send({"type": "websocket.http.response.start", **start})
        text = refusal.reason if is_debug() else HTTPStatus(refusal.status).phrase
        body = f"{text}\n".encode()
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close"})
