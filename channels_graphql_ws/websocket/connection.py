"""One client: carry out what the protocol decides; own tasks, timers and the outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextvars import Context, copy_context
from functools import partial
from sys import getsizeof
from typing import Any, Final, assert_never

from channels_graphql_ws.client_log import ClientLog, log_fields, logs_about
from channels_graphql_ws.concurrency.eager import Eager, start
from channels_graphql_ws.concurrency.fairness import current_key, known_owner
from channels_graphql_ws.concurrency.rotation import next_turn
from channels_graphql_ws.concurrency.timeouts import Expired, start_timeout, stop_timeout
from channels_graphql_ws.exceptions import InvalidMessageError
from channels_graphql_ws.execution.breathing import breathe
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import TIMED_OUT, FullError, TooManyError
from channels_graphql_ws.execution.limits import exceeded
from channels_graphql_ws.execution.request import JsonObject, Refusal
from channels_graphql_ws.operations import server_transport
from channels_graphql_ws.operations.holding import SHARE_OF_CONNECTION, SMALL, Holding
from channels_graphql_ws.operations.listing import ListedConnection
from channels_graphql_ws.operations.live_places import LivePlaces
from channels_graphql_ws.operations.long_texts import decoding_in_turn
from channels_graphql_ws.operations.unsent import LARGE, Unsent
from channels_graphql_ws.shutdown import DEFAULT_TIMEOUT, remaining
from channels_graphql_ws.websocket.admission import Admission
from channels_graphql_ws.websocket.interfaces import Application, ConnectionSettings, WebSocket
from channels_graphql_ws.websocket.keep_alive import KeepAlive
from channels_graphql_ws.websocket.lifetime import Lifetime
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.operation import NOT_KNOWN, SUBSCRIPTION, ClientOperation
from channels_graphql_ws.websocket.ordering import StrictOrder
from channels_graphql_ws.websocket.outbox import Outbox
from channels_graphql_ws.websocket.protocol import (
    TOO_MUCH_WAITS,
    Cancel,
    Close,
    Effect,
    Execute,
    Initialize,
    Operation,
    Pinged,
    Ponged,
    Send,
    ServerProtocol,
    State,
)
from channels_graphql_ws.websocket.statistics import ConnectionStatistics
from channels_graphql_ws.websocket.tasks import ConnectionTasks
from channels_graphql_ws.websocket.under_way import TOO_MANY

# To read a member of an `Enum` takes as long as a call.
READY: Final = State.READY

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

ANOTHER_IDENTITY: Final = {
    "message": "This connection belongs to another user or session now: the operation was ended",
    "extensions": {"code": "IDENTITY_CHANGED"},
}
"""What is said of an operation that began before another identity was accepted."""

EXPECTED_CODES: Final = frozenset(
    {CloseCode.NORMAL, CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER}
)
"""Codes of closes that are not worth a warning, or have had one of their own."""

MOST_HELD: Final = 33_554_432
"""About how many bytes the messages and documents of the operations of one user or address may
take in memory, on all of its connections. One may take more."""

STOPPING_LIMIT = 1_000
"""Operations that may be ending at the client's wish before no more messages are read."""

ENDED_AT_ONCE: Final = 16
"""Operations that run and are ended in one iteration of the event loop, if there are more."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a broken connection may take to tell the client so."""


class Connection:
    """Carries out what the protocol decides for one client.

    Args:
        protocol: decides.
        websocket: where frames go.
        application: decides on clients and executes operations.
        settings: times and order.
        pings_at_once: send the first ping with the acknowledgement, if the dialect does that.
        unsent: where large frames are counted that are not sent yet; `None`: without limits.
        live: has places for its subscriptions; `None`: without limits.
    """

    __slots__ = (
        "__weakref__",
        "_admission",
        "_application",
        "_cut_off",
        "_held",
        "_idle",
        "_is_in_line",
        "_is_leaving",
        "_keep_alive",
        "_lifetime",
        "_live",
        "_log_fields",
        "_loop",
        "_operations",
        "_order",
        "_outbox",
        "_owner",
        "_pings_at_once",
        "_protocol",
        "_send_event",
        "_settings",
        "_stopped",
        "_stopping",
        "_subscriptions",
        "_tasks",
        "_turns",
        "_unsent",
        "_unsent_of_all",
        "_websocket",
    )

    def __init__(
        self,
        protocol: ServerProtocol,
        websocket: WebSocket,
        application: Application,
        settings: ConnectionSettings,
        *,
        pings_at_once: bool = True,
        unsent: Unsent | None = None,
        live: LivePlaces | None = None,
    ) -> None:
        self._protocol = protocol
        self._pings_at_once = pings_at_once
        self._websocket = websocket
        self._send_event = websocket.event_sender()
        self._application = application
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._log_fields = log_fields.get()
        self._owner = known_owner()
        self._is_leaving = False
        self._operations: dict[Operation, ClientOperation] = {}
        self._live = live or LivePlaces()
        self._subscriptions = 0
        self._held = 0
        self._stopping = 0
        self._stopped: asyncio.Event | None = None
        self._cut_off: asyncio.TimerHandle | None = None
        self._tasks = ConnectionTasks(self._loop, self)
        self._unsent = unsent or Unsent(None, {})
        self._unsent_of_all = self._unsent.ledger
        self._outbox = Outbox(
            self,
            max_size=settings.max_unsent_bytes,
            timeout=settings.pong_timeout,
            unsent=self._unsent,
        )
        self._unsent.asks = self._ask_whether_read
        self._keep_alive: KeepAlive | None = None
        self._is_in_line = False
        self._turns = 0
        self._idle: asyncio.Event | None = None
        self._admission = Admission(self, protocol, application, settings)
        self._lifetime: Lifetime | None = None
        self._order = StrictOrder(self) if settings.strict_ordering else None

    def enter(self) -> None:
        """Set the context variables that `on_connect` has set, for the running code."""
        self._admission.enter()

    def opened(self) -> None:
        """The socket is open."""
        self._websocket.limit_messages(*self._protocol.limits_of_server)
        self._admission.opened()
        idle, age = self._settings.idle_timeout, self._settings.max_connection_age
        if idle is not None or age is not None:
            self._lifetime = Lifetime(self, idle, age)

    def may_take(self, frame: str | bytes | None) -> bool:
        """Return whether a frame is not too large to be decoded."""
        return self._protocol.problem_of(frame) is None

    def received(self, frame: str | bytes | None) -> Awaitable[None] | None:
        """Take a frame; return something to wait for before the next, if there is need."""
        return self._take(self._protocol.received, frame)

    async def received_in_turn(self, frame: str | bytes | None) -> None:
        """Take a long frame, when it is its turn to be decoded; returns when to take the next."""
        waiting: Awaitable[None] | None = None
        with contextlib.suppress(InvalidMessageError):
            async with self.in_turn(frame):
                waiting = self.received(frame)
        if waiting is not None:
            await waiting

    @contextlib.asynccontextmanager
    async def in_turn(self, frame: str | bytes | None) -> AsyncGenerator[None]:
        """Wait until a long frame may be decoded, see `decoding_in_turn`.

        Raises:
            InvalidMessageError: so much of its user or address waits already that the connection
                was closed.
        """
        held = Holding("messages that wait", MOST_HELD)
        if self._bounds_memory:
            size = getsizeof(frame)
            try:
                held.add(size, self._unsent.owner, always=size <= SHARE_OF_CONNECTION)
            except FullError:
                self.carry_out(self._protocol.crowded())
                raise InvalidMessageError(TOO_MUCH_WAITS) from None
        self._is_in_line = True
        try:
            async with decoding_in_turn(current_key()):
                self._is_in_line = False
                self._turns += 1
                yield
        finally:
            self._is_in_line = False
            held.release()

    def received_json(self, content: object) -> Awaitable[None] | None:
        """Take a frame that was decoded elsewhere; otherwise as `received`."""
        return self._take(self._protocol.received_json, content)

    async def disconnected(self) -> None:
        """The socket is closed: end everything, and wait until it is ended.

        A mutation and the `unsubscribed` hooks may come to their own end; what takes
        longer than `disconnect_timeout` is cancelled.
        """
        self._protocol.socket_closed()
        self._wind_down()
        self._outbox.abandon()
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None
        # To look for it takes its time, and most clients have read what they were sent.
        transport = self._websocket.transport() if self._unsent.size else None
        server_transport.let_go(self._unsent, transport)
        if self._tasks:
            await self._tasks.finish(remaining(self._settings.disconnect_timeout))
        self._tasks.release()
        # Break the reference cycles, so that memory is freed at once.
        self._keep_alive = self._order = self._lifetime = None
        self._admission.release()

    async def drain(self, timeout: float) -> None:
        """Ask the client to connect again, as soon as only subscriptions are under way.

        Args:
            timeout: seconds to wait for queries and mutations.
        """
        try:
            await self._send_away(timeout)
            await self._tasks.wait(CLOSE_TIMEOUT)
        except asyncio.CancelledError:
            # The shutdown deadline has passed: cancel everything.
            self._wind_down()
            await self._tasks.cancel()
            raise

    async def _send_away(self, timeout: float) -> None:
        self._protocol.shutting_down()
        await self._until_idle(timeout)
        completes = self._settings.complete_at_shutdown
        self.carry_out(self._protocol.shut_down(completes=completes))

    async def _until_idle(self, timeout: float) -> None:
        """Wait until only subscriptions are under way, but no longer than so many seconds."""
        self._idle = self._idle or asyncio.Event()
        if self._is_busy:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), timeout)

    def retire(self) -> None:
        """Ask the client to connect again, as soon as only subscriptions are under way."""
        self.spawn(self._send_away(DEFAULT_TIMEOUT))

    def idled(self) -> None:
        """Close, as nothing was under way for too long."""
        self.carry_out(self._protocol.idled())

    def statistics(self) -> ConnectionStatistics:
        """Return what goes on for this client. May be called from any thread."""
        return ConnectionStatistics(
            operations=len(self._operations),
            subscriptions=self._subscriptions,
            unsent_messages=len(self._outbox),
            unsent_bytes=self._outbox.size,
        )

    def listed(self) -> ListedConnection:
        """Return what operators are told of it. May be called from any thread."""
        operations = list(self._operations.values())
        return self._application.listed(
            [live for each in operations if (live := each.live) is not None],
            operations=len(operations),
            unsent_bytes=self._outbox.size,
        )

    @property
    def has_operations(self) -> bool:
        """Whether anything is under way."""
        return bool(self._operations)

    @property
    def _is_busy(self) -> bool:
        return any(each.type is not SUBSCRIPTION for each in self._operations.values())

    def revoke(self, reason: str) -> None:
        """Close with 4403: the rights of the client have ended, to what waits for it, too.

        Whoever changes the own password by a mutation over this connection gets its answer.
        """
        if self._is_leaving:
            return
        self._outbox.drop()
        if self._owner is None or not (self._owner.ends_rights and self._is_mutating):
            self.carry_out(self._protocol.revoked(reason))
            return
        self._is_leaving = True
        self._protocol.shutting_down()
        self.end_operations_of_before()
        self.spawn(self._revoke_answered(reason))

    @property
    def _is_mutating(self) -> bool:
        """Whether a mutation is executed whose answer is awaited."""
        return any(each.is_mutating and not each.is_stopping for each in self._operations.values())

    async def _revoke_answered(self, reason: str) -> None:
        await self._until_idle(DEFAULT_TIMEOUT)
        self.carry_out(self._protocol.revoked(reason))

    def crashed(self) -> None:
        """Close, as something broke that is not the client's fault."""
        self.carry_out(self._protocol.crashed())

    def call_later(
        self, seconds: float, call: Callable[..., None], *args: Any
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        return self._loop.call_later(seconds, call, *args)

    def start_timeout(self, seconds: float, expired: Expired, owner: object) -> None:
        """Call `expired(owner)` later, in a context of its own; see `resume`."""
        start_timeout(self._loop, seconds, expired, owner)

    def stop_timeout(self, seconds: float, expired: Expired, owner: object) -> None:
        """Undo `start_timeout`; harmless when repeated."""
        stop_timeout(self._loop, seconds, expired, owner)

    def resume(self) -> None:
        """Have the running code be about this connection, as code that a timeout has called."""
        log_fields.set(self._log_fields)
        self.enter()

    def stalled(self) -> None:
        """Close, as the client does not read what it is sent."""
        self.carry_out(self._protocol.stalled())

    def cut_off_later(self) -> None:
        """End the socket if the server does not tell us soon that it is closed."""
        if self._cut_off is None and (transport := self._websocket.transport()) is not None:
            abort, seconds = server_transport.abort, server_transport.LINGER
            self._cut_off = self.call_later(seconds, abort, transport)

    def _ask_whether_read(self) -> None:
        """Send a ping, which the server takes when the client has taken what came before."""
        if self._outbox.is_uncertain:
            self.carry_out(self._protocol.ping_due())

    @property
    def is_full(self) -> bool:
        """Whether the client does not read what it is sent, or is not read itself."""
        under_way = self._tasks.under_way
        is_waiting = under_way is not None and under_way.is_waiting
        return self._outbox.is_full or is_waiting or self._is_in_line

    @property
    def relieved(self) -> int:
        """How often the client, which did not read or was not read, has made room again."""
        return self._outbox.relieved + self._turns

    async def closed(self) -> None:
        """Wait, but not for ever, until the client has been told that we close."""
        await self._outbox.closed(CLOSE_TIMEOUT)

    def completed(self, operation: Operation) -> None:
        """An operation has no more results."""
        self._send(self._protocol.completed(operation))

    def failed(self, operation: Operation, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """An operation could not be executed."""
        self.carry_out(self._protocol.failed(operation, errors, refusal))

    def confirmed(self, operation: Operation, result: str) -> None:
        """A subscription is live."""
        self._send(ServerProtocol.confirmed(operation, result))

    def next(self, operation: Operation, result: str) -> None:
        """An operation has a result."""
        frame = ServerProtocol.next(operation, result)
        if frame is not None:
            self._outbox.put(self._send_event, {"type": "websocket.send", "text": frame})

    def next_at_once(self, operation: Operation, result: str) -> bool:
        """Send a result if nothing has to be waited for; return whether it was sent."""
        order = self._order
        if self._outbox.flushing is not None or (order is not None and order.in_progress):
            return False
        if self._unsent_of_all.is_tight and len(result) > LARGE and self._unsent.is_full:
            return False
        self.next(operation, result)
        return True

    def forget(self, client: ClientOperation) -> None:
        """An operation has come to its end."""
        self._operations.pop(client.operation, None)
        if client.holding is not None:
            self._held -= client.holding.memory
            client.holding.release()
        if client.places is not None:
            self._free_place(client)
        if self._idle is not None and not self._is_busy:
            self._idle.set()
        if self._lifetime is not None and not self._operations:
            self._lifetime.rested()

    def finished(self, client: ClientOperation) -> None:
        """An operation has come to its end by itself, and is answered."""
        self.forget(client)
        if client.type is not SUBSCRIPTION:
            owner = self._owner
            if owner is not None and owner.ends_rights:
                # What another one ends later was ended by somebody else.
                owner.ends_rights = self._is_mutating
            if self._application.has_new_user:
                self._look_at_user(client)

    def _look_at_user(self, client: ClientOperation) -> None:
        """End what began before, if an operation has logged the client out or in."""
        if client.user is NOT_KNOWN or not self._application.has_new_user:
            return
        # Otherwise a mutation that goes on may have done it: it is answered first.
        may_tell = client.has_changed_user or not self._is_mutating
        if may_tell and self._application.has_changed(client.user):
            self.end_operations_of_before()

    @property
    def is_clear(self) -> bool:
        """Whether the client is accepted, and nobody has to wait for clients that do not read."""
        is_read = self._outbox.flushing is None and not self._unsent_of_all.is_tight
        return is_read and self._protocol.state is READY

    def admission(self) -> Awaitable[None] | None:
        """Return something to wait for while the application decides on the client."""
        return self._admission.waiting()

    def end_operations_of_before(self) -> None:
        """End what began under another identity, but for mutations, which go on under theirs."""
        ended: list[ClientOperation] = []
        for client in list(self._operations.values()):
            if client.is_stopping or client.is_mutating:
                continue
            if client.live is not None:
                self.completed(client.operation)
            else:
                self.failed(client.operation, [ANOTHER_IDENTITY], Refusal.OPERATION)
            self.forget(client)
            # Nobody comes back to what is kept for this identity.
            client.is_stopping = True
            ended.append(client)
        self._end_all(ended)

    def end_of_before(self, client: ClientOperation) -> None:
        """Refuse an operation of before that has waited while somebody was logged in or out."""
        self.failed(client.operation, [ANOTHER_IDENTITY], Refusal.OPERATION)
        self.forget(client)
        client.is_stopping = True
        self._end_all([client])

    def keep(self, client: ClientOperation, document: Document) -> None:
        """Count a document as long as the operation lasts.

        Raises:
            FullError: its user or address, or the process, has too much already.
        """
        # One that is ended already is about to be cancelled.
        if self._bounds_memory and client.operation in self._operations:
            self._hold(client, document.memory, document)

    @property
    def _bounds_memory(self) -> bool:
        return self._settings.protocol.max_bytes_in_flight is not None

    def _hold(self, client: ClientOperation, size: int, document: Document | None = None) -> None:
        holding = client.holding
        if holding is None:
            holding = client.holding = Holding("operations", MOST_HELD)
        owner, always = self._unsent.owner, self._held + size <= SHARE_OF_CONNECTION
        if document is None:
            holding.add(size, owner, always=always)
        else:
            holding.add_document(document, owner, always=always)
        self._held += size

    def take_place(self, client: ClientOperation) -> None:
        """Count one more subscription.

        Raises:
            TooManyError: that of the connection, of its user or of its address is reached.
        """
        limit = self._settings.max_operations_per_connection
        if limit is not None and self._subscriptions >= limit:
            text = f"Operation limit of {limit} reached: end a subscription of this connection"
            raise TooManyError(exceeded("max_operations_per_connection", limit, text))
        client.places = self._live.take(client.scope)
        self._subscriptions += 1
        if client.task is not None:
            client.settle_with(client.task)

    def _free_place(self, client: ClientOperation) -> None:
        for each in client.places or ():
            each.taken -= 1
        client.places = None
        self._subscriptions -= 1

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for while this client, or its owner's others, do not read."""
        is_read = self._outbox.flushing is None and not self._unsent_of_all.is_tight
        return None if is_read or not self._must_wait else self._has_room()

    @property
    def _must_wait(self) -> bool:
        return self._outbox.is_full or self._unsent.is_full

    async def _has_room(self) -> None:
        while self._must_wait:
            await self._outbox.has_room()
            await self._unsent.has_room()

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next event, if there is need."""
        is_read = self._outbox.flushing is None and not self._unsent_of_all.is_tight
        if is_read and self._order is None:  # Most clients are.
            return None
        if self._in_progress is None and not self._must_wait:
            return None
        return self._readiness()

    @property
    def _in_progress(self) -> asyncio.Event | None:
        return None if self._order is None else self._order.in_progress

    async def _readiness(self) -> None:
        while (in_progress := self._in_progress) is not None or self._must_wait:
            if in_progress is not None:
                await in_progress.wait()
            await self._has_room()

    def _take(
        self, decide: Callable[[Any], list[Effect]], content: object
    ) -> Awaitable[None] | None:
        if (catching_up := self._admission.catching_up) is not None:
            return self._take_later(catching_up, decide, content)
        keep_alive = self._keep_alive
        if keep_alive is not None and keep_alive.relieved is not None:
            keep_alive.note_activity()
        order = self._order
        if order is None or self._is_deciding():
            self.carry_out(decide(content))
        else:
            order.put(partial(decide, content), content)
        # Back-pressure: stop reading while the outbox is full.
        outbox = self._outbox
        is_full = outbox.flushing is not None and outbox.is_full
        under_way = self._tasks.under_way
        if under_way is not None and under_way.owned is not None and under_way.must_wait:
            is_full = True
        if is_full or self._stopping >= STOPPING_LIMIT or (order is not None and order.is_full):
            return self._room()
        return None

    async def _take_later(
        self, caught_up: asyncio.Event, decide: Callable[[Any], list[Effect]], content: object
    ) -> None:
        """Take a frame when the operations that came before the acknowledgement have begun."""
        await caught_up.wait()
        if (waiting := self._take(decide, content)) is not None:
            await waiting

    def _is_deciding(self) -> bool:
        """Return whether a message that comes now is one too early."""
        holds = self._protocol.subprotocol.holds_until_ack
        return self._protocol.state is State.INITIALISING and not holds

    async def _room(self) -> None:
        if self._order is not None:
            await self._order.has_room()
        if self._stopping >= STOPPING_LIMIT:
            self._stopped = self._stopped or asyncio.Event()
            await self._stopped.wait()
        await self._outbox.has_room()
        under_way = self._tasks.under_way
        if under_way is not None and under_way.must_wait:
            await under_way.has_room()

    async def room_for_more(self) -> None:
        """Let others run, and wait until more operations may begin."""
        await next_turn(current_key())
        await self._room()

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided, in this order."""
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect.frame)
                case Execute():
                    self._execute(effect.operation)
                case Cancel():
                    self._cancel(effect.operation)
                case Initialize():
                    self._admission.begin(effect.payload)
                case Close():
                    self._close(effect.code, effect.reason)
                case Pinged():
                    self._started_keep_alive().pinged(effect.payload)
                case Ponged():
                    self._started_keep_alive().ponged(effect.payload)
                case _:  # pragma: no cover (type checkers prove that there is no other)
                    assert_never(effect)

    def _send(self, frame: str | None) -> None:
        if frame is not None:
            self._outbox.put(self._send_event, {"type": "websocket.send", "text": frame})

    def acknowledged(self) -> None:
        """The client was let in."""
        log.debug("A client was accepted")
        self._websocket.limit_messages(*self._protocol.limits_of_server)
        if self._settings.send_ping_every:
            self._started_keep_alive().start()

    def _started_keep_alive(self) -> KeepAlive:
        """Return what sends pings, made when it is first needed."""
        if self._keep_alive is None:
            self._keep_alive = KeepAlive(
                self._protocol,
                self,
                self._application,
                every=self._settings.send_ping_every,
                timeout=self._settings.pong_timeout,
                at_once=self._pings_at_once,
            )
        return self._keep_alive

    def _execute(self, operation: Operation) -> None:
        if self._admission.variables:
            self._admission.enter()
        client = ClientOperation(self, operation)
        if operation.size > SMALL or self._tasks.under_way is not None:
            problem = self._problem_with(client)
            if problem is not None:
                self.failed(operation, [problem], Refusal.OPERATION)
                return
        self._operations[operation] = client
        task = client.task = self.run(self._application.execute(client), copy_context())
        if task is None:
            return
        self._tasks.count(task, operation.size, self._unsent.owner)
        if client.places is not None:
            client.settle_with(task)
        timeout = self._settings.operation_timeout
        if timeout is not None:
            client.timer = self._loop.call_later(timeout, self._operation_timed_out, client)

    def _problem_with(self, client: ClientOperation) -> JsonObject | None:
        """Return why an operation is refused: its user or address has too many, or too large."""
        under_way, size = self._tasks.under_way, client.operation.size
        if under_way is not None and under_way.owned is not None and under_way.refuses:
            return TOO_MANY
        if size > SMALL and self._bounds_memory:
            try:
                self._hold(client, size)
            except FullError as error:
                return dict(error.errors[0].formatted)
        return None

    def _operation_timed_out(self, client: ClientOperation) -> None:
        """Answer a query or mutation that takes too long, and cancel it."""
        if client.type is SUBSCRIPTION or client.is_stopping:
            return
        self.failed(client.operation, [TIMED_OUT], Refusal.OPERATION)
        self.forget(client)
        client.cancel()
        self.run(self._end(client))
        self._look_at_user(client)

    def _cancel(self, operation: Operation) -> None:
        client = self._operations.get(operation)
        if client is not None:
            # At once: `unsubscribed` may take its time.
            if client.places is not None:
                self._free_place(client)
            self._stopping += 1
            self.run(self._stop(client))

    def _stop(self, client: ClientOperation) -> Eager[None]:
        """End an operation at the client's wish."""
        client.is_stopping = True
        task = client.task
        try:
            if task is not None and not task.done():
                # With confirmations, there is one in front of each `complete`.
                confirms = self._settings.confirm_subscriptions
                if not (confirms and client.type in (None, SUBSCRIPTION)):
                    client.cancel()
                yield asyncio.wait([task])
            if client.live is not None:
                yield from client.live.end()
            yield from client.ended()
        finally:
            self.forget(client)
            self._look_at_user(client)
            self._stopping -= 1
            if self._stopped is not None and self._stopping <= STOPPING_LIMIT // 2:
                self._stopped.set()
                self._stopped = None
        was_subscription = client.type is None or client.type is SUBSCRIPTION
        frame = self._protocol.stopped(client.operation, was_subscription=was_subscription)
        self._send(frame)

    def _close(self, code: CloseCode, reason: str) -> None:
        if code not in EXPECTED_CODES:
            # Whichever code has found out.
            with logs_about(self._log_fields):
                log.warning("Closing a connection: %s %r", int(code), reason)
        # A client that is gone does not read what waits before the close.
        at_once = code is CloseCode.TIMEOUT
        self._outbox.close(partial(self._websocket.send_close, int(code), reason), at_once=at_once)
        if at_once:
            self.cut_off_later()
        self._wind_down()

    def give_up(self) -> Awaitable[None]:
        """Close the socket, as a frame cannot be sent."""
        code = int(CloseCode.INTERNAL_ERROR)
        return self._websocket.send_close(code, "A message could not be sent")

    def _wind_down(self) -> None:
        """End everything, without waiting for it."""
        self._admission.stop()
        if self._lifetime is not None:
            self._lifetime.stop()
        if self._keep_alive is not None:
            self._keep_alive.stop()
        if self._order is not None:
            self._order.end()
        clients = list(self._operations.values())
        for client in clients:
            self.forget(client)
        self._end_all(clients)

    def _end_all(self, clients: list[ClientOperation]) -> None:
        """End operations from outside: many that run a few at a time, as each takes its time."""
        running = [each for each in clients if each.is_running]
        if len(running) <= ENDED_AT_ONCE:
            self._end_each(clients)
            return
        for client in running:
            if not client.is_mutating:
                # Nothing more of it begins until its turn has come.
                client.is_cancelled = True
        self._end_each([each for each in clients if not each.is_running])
        # With strict ordering there are never so many.
        self.spawn(self._end_in_parts(running))

    async def _end_in_parts(self, clients: list[ClientOperation]) -> None:
        try:
            while clients:
                await breathe()
                some = clients[:ENDED_AT_ONCE]
                del clients[:ENDED_AT_ONCE]
                self._end_each(some)
        finally:
            # Even if this is cancelled.
            self._end_each(clients)

    def _end_each(self, clients: Iterable[ClientOperation]) -> None:
        for client in clients:
            self.run(self._end(client))

    def _end(self, client: ClientOperation) -> Eager[None]:
        task = client.task
        try:
            if task is not None and not task.done():
                # A mutation that is cancelled half-way leaves half of its work.
                if not client.is_mutating:
                    client.cancel()
                yield asyncio.wait([task])
        finally:
            # Even if this is cancelled: nothing may stay behind in the hub.
            if client.live is not None:
                yield from client.live.end()
        yield from client.ended()

    def run(
        self, work: Eager[None], variables: Context | None = None
    ) -> asyncio.Task[None] | None:
        """Run eagerly on behalf of the connection; return a task if something has to wait."""
        rest = start(work) if variables is None else variables.run(start, work)
        if rest is None:
            return None
        task = self._tasks.spawn(rest, variables)
        if self._order is not None:
            self._order.began(task)
        return task

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task of this connection."""
        return self._tasks.spawn(coroutine)
