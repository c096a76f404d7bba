"""What a connection asks of its consumer: hooks, socket and execution."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, Protocol

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.eager import Eager, ends_running_code, is_awaitable
from channels_graphql_ws.execution.masking import Mask
from channels_graphql_ws.json_text import culprit, is_encodable, loads
from channels_graphql_ws.operations.hook_calls import call_hook, call_hook_in_time, name_of
from channels_graphql_ws.operations.interfaces import EngineSettings
from channels_graphql_ws.operations.listing import ListedConnection, ListedSubscription
from channels_graphql_ws.operations.overrides import overridden
from channels_graphql_ws.operations.revocation import disconnect_session
from channels_graphql_ws.operations.server_limit import ServerLimit
from channels_graphql_ws.operations.server_transport import ServerTransport, transport_of
from channels_graphql_ws.operations.session import EndpointSession
from channels_graphql_ws.websocket.handshake import ConnectionPlace
from channels_graphql_ws.websocket.hooks import RESULT_HOOKS, HookedClient, WebSocketHooks
from channels_graphql_ws.websocket.identity import Identities
from channels_graphql_ws.websocket.interfaces import Acceptance, ConnectionSettings
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.operation import ClientOperation
from channels_graphql_ws.websocket.protocol import ProtocolSettings

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

_ACCEPTED: Final = Acceptance(None, is_another=False)

_OF_APPLICATION: Final[Mapping[int, int]] = {
    int(CloseCode.SERVICE_RESTART): int(CloseCode.SERVICE_RESTART_OF_APPLICATION),
    int(CloseCode.TRY_AGAIN_LATER): int(CloseCode.TRY_AGAIN_LATER_OF_APPLICATION),
}

_TOO_LATE: Final = frozenset(
    {each.name for kind in (ConnectionSettings, ProtocolSettings) for each in fields(kind)}
    - {each.name for each in fields(EngineSettings)}
)
"""Options that `on_connect` cannot set any more."""

SendEvent = Callable[[dict[str, Any]], Awaitable[None]]


class Consumer(Protocol):
    """The consumer, as far as its connection needs it, besides its hooks."""

    base_send: Any
    ping_payload: Any

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI scope."""
        ...

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        """Close the socket."""

    def encode_json(self, content: Any) -> Any:
        """Return JSON text. May be awaitable."""

    async def send_json(self, content: Any, close: bool = False) -> None:  # noqa: FBT001, FBT002
        """Send a message (Channels)."""


class ConsumerApplication:
    """The `Application` and the `WebSocket` of a connection.

    Args:
        consumer: whose socket it is.
        hooks: the same, as far as its hooks are concerned.
        session: what its operations are lent.
        identities: the client's identity.
        place: its place among the connections of its user and of its address.
        server_limit: how large a message the server lets through.
        overridden: names of the hooks that are the user's.
        crash: is called when a frame cannot be encoded.
    """

    __slots__ = (
        "_consumer",
        "_crash",
        "_hooks",
        "_identities",
        "_is_hooked",
        "_overridden",
        "_place",
        "_server_limit",
        "_session",
    )

    def __init__(
        self,
        consumer: Consumer,
        hooks: WebSocketHooks,
        session: EndpointSession,
        identities: Identities,
        place: ConnectionPlace,
        server_limit: ServerLimit,
        overridden: frozenset[str],
        crash: Callable[[], None],
    ) -> None:
        self._consumer = consumer
        self._hooks = hooks
        self._session = session
        self._identities = identities
        self._place = place
        self._server_limit = server_limit
        self._overridden = overridden
        self._is_hooked = not RESULT_HOOKS.isdisjoint(overridden)
        self._crash = crash

    @property
    def mask(self) -> Mask:
        """Which errors clients are not told of."""
        return self._session.mask

    def event_sender(self) -> SendEvent:
        """Return what sends a text frame: an event `websocket.send` (ASGI)."""
        if "send_json" in self._overridden:
            return self._send_json
        if "encode_json" in self._overridden:
            return self._send_encoded
        send: SendEvent = self._consumer.base_send
        return send

    async def send_close(self, code: int, reason: str) -> None:
        """Close the socket; the reason is at most 123 bytes long."""
        try:
            await self._consumer.close(code, reason)
        except Exception:
            # Daphne takes no other codes of WebSockets as such from applications.
            if code not in _OF_APPLICATION:
                raise
            await self._consumer.close(_OF_APPLICATION[code], reason)

    def transport(self) -> ServerTransport | None:
        """Return what the server sends by, where it can be found."""
        return transport_of(self._consumer.base_send, self._consumer.scope)

    def limit_messages(self, now: int | None, later: int | None) -> None:
        """Have the server let through messages of so many bytes, where it can be told.

        And of as many more, so that those who meet the limit are told by us which one it was.
        """
        self._server_limit.set(*(None if each is None else 2 * each for each in (now, later)))

    def accept_client(self, payload: Any) -> Eager[Acceptance]:
        """Call `on_connect`; what it has changed counts once it has accepted."""
        params = payload if isinstance(payload, dict) else {}
        identities = self._identities
        is_first = identities.is_first
        if not overridden(self._hooks, "on_connect"):  # It may have been set by now.
            identities.accept_at_once(params)
            self._renew_session(is_first=is_first)
            return _ACCEPTED
        handshake = identities.propose(params)
        before = vars(self._consumer).copy()
        try:
            answer: Any = yield call_hook(self._hooks, "on_connect", payload)
            engine = self._session.engine_by_now()
            self._place.take_for_user(handshake.identity.scope)
        except BaseException:
            handshake.reject()
            raise
        is_another = identities.accept(handshake)
        self._renew_session(is_first=is_first)
        self._session.engine = engine
        self._warn_of_late_options(before)
        return Acceptance(_acknowledgement(answer), is_another=is_another)

    def refused(self, reason: object, code: int | None, error: Exception | None = None) -> None:
        """Tell receivers of signals that the client was refused."""
        session = self._session
        session.signals.refuse(session.scope, "connection", reason, code=code, error=error)

    def listed(
        self, subscriptions: Iterable[ListedSubscription], *, operations: int, unsent_bytes: int
    ) -> ListedConnection:
        """Return what operators are told of the connection."""
        return self._session.listed(
            subscriptions, operations=operations, unsent_bytes=unsent_bytes
        )

    def name_of(self, hook: str) -> str:
        """Return what to call a hook in the log."""
        return name_of(self._consumer, hook)

    @property
    def has_new_user(self) -> bool:
        """Whether an operation or a hook has put another user object into the scope."""
        identities = self._identities
        return identities.accepted.scope.get("user") is not identities.user

    def has_changed(self, began_as: Any) -> bool:
        """Return whether an operation has logged the client out, or in as somebody."""
        identities = self._identities
        accepted = identities.accepted
        has_changed = identities.has_changed(began_as)
        if has_changed:
            self._session = self._session.for_identity(accepted.scope, accepted.connection_params)
        before = self._session.watch_rights()
        # Django's signal of a logout by this socket has named no session.
        if has_changed and before is not None and before.session is not None:
            disconnect_session(before.session)
        return has_changed

    def ping_payload_now(self) -> Any:
        """Return the payload of a ping of ours."""
        payload: Any = self._consumer.ping_payload
        return payload() if callable(payload) else payload

    def pinged(self, payload: Any) -> Any:
        """Call `on_ping`."""
        return call_hook_in_time(self._hooks, "on_ping", payload)

    def ponged(self, payload: Any) -> Any:
        """Call `on_pong`."""
        return call_hook_in_time(self._hooks, "on_pong", payload)

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Return what a client is told of an error."""
        return self._session.format_error(error)

    def execute(self, client: ClientOperation) -> Eager[None]:
        """Start an operation."""
        client.scope = self._session.scope
        if self._is_hooked:
            return self._session.start(HookedClient(client, self._hooks, self._overridden))
        return self._session.start(client)

    def _renew_session(self, *, is_first: bool) -> None:
        accepted = self._identities.accepted
        # Nothing has begun that belongs to another identity.
        if is_first:
            self._session.scope = accepted.scope
            self._session.connection_params = accepted.connection_params
        else:
            self._session = self._session.for_identity(accepted.scope, accepted.connection_params)
        self._session.watch_rights()
        self._session.signals.opened(accepted.scope)

    def _warn_of_late_options(self, before: Mapping[str, Any]) -> None:
        now = vars(self._consumer)
        for name in _TOO_LATE.intersection(now):
            if name not in before or before[name] != now[name]:
                log.warning(
                    "%s is set when the connection is open already, which has no effect: set "
                    "it on the class, in `__init__` or in `connect`",
                    name_of(self._consumer, name),
                )

    async def _send_json(self, event: dict[str, Any]) -> None:
        """Send a frame by the user's `send_json`."""
        content = loads(event["text"])
        try:
            await self._consumer.send_json(content)
        # The outbox takes this for a client that has gone.
        except OSError:
            raise
        except BaseException as error:
            if ends_running_code(error):
                raise
            log.exception("`send_json` failed")
            self._crash()

    async def _send_encoded(self, event: dict[str, Any]) -> None:
        """Send a frame in the JSON of `encode_json`."""
        consumer = self._consumer
        try:
            encoded: Any = consumer.encode_json(loads(event["text"]))
            if is_awaitable(encoded):
                encoded = await encoded
        except BaseException as error:
            if ends_running_code(error):
                raise
            log.exception("`encode_json` failed")
            self._crash()
            return
        await consumer.base_send({"type": "websocket.send", "text": encoded})


def _acknowledgement(answer: Any) -> Mapping[str, Any] | None:
    if answer is None or isinstance(answer, dict):
        if not is_encodable(answer):
            # The connection cannot be acknowledged: it is closed with 4500.
            log.error("`on_connect` returned what has no JSON form: %s", culprit(answer))
        return answer
    log.warning(
        "`on_connect` returned %r, which is neither a dict nor None: the client is let in "
        "without it. To refuse a client, raise an error",
        answer,
    )
    return None
