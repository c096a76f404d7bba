"""Admit a client: `connection_init` in time, and the decision of `on_connect`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from time import monotonic
from typing import Any, Final, Protocol

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.concurrency.rotation import next_turn
from channels_graphql_ws.concurrency.variables import VariableChange, apply, changes
from channels_graphql_ws.exceptions import ConnectionRejectionError
from channels_graphql_ws.execution.errors import describe, log_refusal
from channels_graphql_ws.execution.masking import UNAVAILABLE, unavailable
from channels_graphql_ws.operations.places import NoPlaceError
from channels_graphql_ws.websocket.interfaces import Application, ConnectionSettings
from channels_graphql_ws.websocket.pace import SLICE
from channels_graphql_ws.websocket.protocol import Close, Effect, ServerProtocol, State

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

BEGUN_AT_ONCE: Final = 16
"""Operations that have waited for the acknowledgement and begin, or go on, in one iteration of the
event loop."""


class AdmissionOwner(Protocol):
    """The connection, as far as the admission of its client needs it."""

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided."""

    def run(
        self, work: Eager[None], variables: Context | None = None
    ) -> asyncio.Task[None] | None:
        """Run eagerly on behalf of the connection; return a task if something has to wait."""
        ...

    def start_timeout(self, seconds: float, expired: Callable[[Any], None], owner: object) -> None:
        """Call `expired(owner)` later."""

    def stop_timeout(self, seconds: float, expired: Callable[[Any], None], owner: object) -> None:
        """Undo `start_timeout`."""

    def resume(self) -> None:
        """Have the running code be about the connection."""

    def end_operations_of_before(self) -> None:
        """End what began under another identity."""

    def acknowledged(self) -> None:
        """The client was let in."""

    def room_for_more(self) -> Awaitable[None]:
        """Let others run; return something to wait for before more operations begin."""
        ...


class Admission:
    """Asks the application about a client, and has operations wait for the answer.

    Args:
        owner: the connection.
        protocol: decides what is sent.
        application: decides on the client.
        settings: the times.

    Attributes:
        variables: the context variables that `on_connect` has set.
        catching_up: set when all operations that have waited for the acknowledgement go on;
            `None` if all do. What comes meanwhile is later than they are.
    """

    __slots__ = (
        "_application",
        "_owner",
        "_protocol",
        "_settings",
        "_task",
        "_timeout",
        "_waiting",
        "catching_up",
        "variables",
    )

    def __init__(
        self,
        owner: AdmissionOwner,
        protocol: ServerProtocol,
        application: Application,
        settings: ConnectionSettings,
    ) -> None:
        self._owner = owner
        self._protocol = protocol
        self._application = application
        self._settings = settings
        self._timeout: tuple[float, Callable[[Any], None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[None]] | None = None
        self.variables: Sequence[VariableChange] = ()
        self.catching_up: asyncio.Event | None = None

    def opened(self) -> None:
        """Wait for `connection_init`."""
        self._start_timeout(self._settings.connection_init_wait_timeout, Admission._init_timed_out)

    def begin(self, payload: Any) -> None:
        """Ask the application, as `connection_init` has come."""
        # The hook's variables are its own until it has accepted.
        variables = copy_context()
        self._stop_timeout()
        self._task = self._owner.run(self._decide(payload, variables), variables)
        if self._task is not None:
            self._start_timeout(self._settings.on_connect_timeout, Admission._decision_timed_out)

    def waiting(self) -> Awaitable[None] | None:
        """Return something to wait for while the application decides on the client."""
        return self._wait() if self._protocol.state is State.INITIALISING else None

    def enter(self) -> None:
        """Set the variables of `on_connect`, unless this code or code before it has done so."""
        if self.variables:
            variable, _, value = self.variables[0]
            if variable.get(None) is not value:
                apply(self.variables)

    def stop(self) -> None:
        """Cancel what is under way."""
        self._stop_timeout()
        if self._task is not None:
            eager.cancel(self._task)

    def release(self) -> None:
        """Break the reference cycle with the connection, so that memory is freed at once."""
        del self._owner
        self._task = None

    def _start_timeout(self, seconds: float | None, expired: Callable[[Any], None]) -> None:
        if seconds:
            self._timeout = seconds, expired
            self._owner.start_timeout(seconds, expired, self)

    def _stop_timeout(self) -> None:
        if self._timeout is not None:
            self._owner.stop_timeout(*self._timeout, self)
            self._timeout = None

    async def _wait(self) -> None:
        while self._protocol.state is State.INITIALISING:
            if self._waiting is None:
                self._waiting = deque()
            decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(decided)
            await decided

    def _decide(self, payload: Any, variables: Context) -> Eager[None]:
        before = variables.copy()
        try:
            acceptance = yield from self._application.accept_client(payload)
        except NoPlaceError as error:
            self._refuse_for_now(error)
            return
        # A hook refuses by raising anything.
        except (Exception, asyncio.CancelledError) as error:
            if eager.is_cancellation(error):
                raise
            self._reject(error if isinstance(error, Exception) else RuntimeError("Cancelled"))
            return
        self._stop_timeout()
        if acceptance.is_another:
            self._owner.end_operations_of_before()
        self.variables = changes(before, variables)
        self._owner.carry_out(self._protocol.accepted(acceptance.payload))
        # Most clients have no more.
        self._let_go_on()
        if self._waiting is None:
            self._begin_held()
        self._owner.acknowledged()
        if self._waiting is not None or self._protocol.has_held:
            yield from self._catch_up()

    def _catch_up(self) -> Eager[None]:
        """Let all go on and begin that have waited, a few at a time."""
        catching_up = self.catching_up = asyncio.Event()
        try:
            while self._waiting is not None:
                yield next_turn(current_key())
                self._let_go_on()
            while self._protocol.has_held:
                yield self._owner.room_for_more()
                self._begin_held()
        finally:
            self.catching_up = None
            catching_up.set()

    def _let_go_on(self) -> None:
        """Let operations go on that came before this `connection_init`, if some have waited."""
        waiting = self._waiting
        if waiting is None:
            return
        for _ in range(min(len(waiting), BEGUN_AT_ONCE)):
            decided = waiting.popleft()
            if not decided.done():
                decided.set_result(None)
        if not waiting:
            self._waiting = None

    def _begin_held(self) -> None:
        """Begin operations that came while it was decided, as many as others can wait for."""
        until = monotonic() + SLICE
        for _ in range(BEGUN_AT_ONCE):
            self._owner.carry_out(self._protocol.next_held())
            if not self._protocol.has_held or monotonic() > until:
                break

    def _reject(self, error: Exception) -> None:
        if isinstance(error, ConnectionRejectionError):
            log.info("A client was rejected: %r", error)
            payload = error.payload
            answer, reason = describe(error, lambda _: payload), error.reason
        else:
            log_refusal("A client was rejected", error, self._application.mask)
            answer, reason = describe(error, self._application.format_error), "Forbidden"
            if unavailable(error) is not None:
                # It is not the client that is wrong: it comes again.
                self._refuse(self._protocol.full(answer, UNAVAILABLE), error, error)
                return
        self._refuse(self._protocol.rejected(answer, reason), error, error)

    def _refuse_for_now(self, error: NoPlaceError) -> None:
        text = f"Too many connections: {error}"
        log.warning("Closing a connection of %r: %s", error.limit.key, text)
        self._refuse(self._protocol.full({"message": text}, text), text)

    def _refuse(
        self, effects: list[Effect], reason: object, error: Exception | None = None
    ) -> None:
        code = next((int(each.code) for each in effects if isinstance(each, Close)), None)
        self._application.refused(reason, code, error)
        self._owner.carry_out(effects)

    def _init_timed_out(self) -> None:
        self._timeout = None
        self._owner.resume()
        self._owner.carry_out(self._protocol.init_timed_out())

    def _decision_timed_out(self) -> None:
        self._timeout = None
        self._owner.resume()
        effects = self._protocol.decision_timed_out()
        if effects:
            hook = self._application.name_of("on_connect")
            seconds = self._settings.on_connect_timeout
            log.warning("%s took longer than %s seconds: the client is refused", hook, seconds)
            self._refuse(effects, f"{hook} took longer than {seconds} seconds")
