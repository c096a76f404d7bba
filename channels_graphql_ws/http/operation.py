"""One operation over HTTP: its task, and its way back to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from channels.layers import get_channel_layer
from django.http import HttpResponse
from graphql import GraphQLError, OperationType

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.threads import (
    context_of_nobody,
    in_thread,
    operations_in_request_thread,
)
from channels_graphql_ws.execution.breathing import room_to_begin
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import TIMED_OUT, RequestError, TooManyError
from channels_graphql_ws.execution.request import JsonObject, Refusal, Subscribe
from channels_graphql_ws.execution.results import CursorText
from channels_graphql_ws.http.beginning import Beginning
from channels_graphql_ws.http.in_flight import HeldMessage
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.stream import LaterText, OwnStream, Sink, Text
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.operations.hook_calls import call_hook
from channels_graphql_ws.operations.interfaces import ActiveSubscription
from channels_graphql_ws.operations.live_places import LivePlaces, TakenPlaces, release
from channels_graphql_ws.operations.overrides import overridden
from channels_graphql_ws.operations.places import Login, login_of
from channels_graphql_ws.operations.session import Endpoint, EndpointSession
from channels_graphql_ws.operations.unsent import LARGE, Unsent, unsent_of_loop
from channels_graphql_ws.operations.user_signals import end_session, end_session_at_commit
from channels_graphql_ws.pubsub.layer_traits import unheld_channel
from channels_graphql_ws.shutdown import remaining
from channels_graphql_ws.signals import ConnectionSignals

log = ClientLog("channels_graphql_ws.http")

INTERNAL_ERROR = dumps({"errors": [{"message": "Internal server error"}]})
TIMED_OUT_RESULT = dumps({"errors": [TIMED_OUT]})


BEGIN_AFTER = 1.0
"""Seconds after which a stream begins whose subscription is not set up yet. Until then, it may
still be refused with a status."""


class Outcome(Enum):
    """How an operation has ended."""

    EXECUTED = "there is a result, perhaps with errors"
    MALFORMED = "there is no document"
    INVALID = "document, variables or operation name do not allow to execute it"
    FORBIDDEN = "a hook has refused it"
    UNSUITABLE = "this kind of operation is not served this way"
    TIMED_OUT = "it took too long"
    UNAVAILABLE = "the channel layer cannot be used at the moment"
    FAILED = "something broke, and not because of the client"


class UnsuitableError(GraphQLError):
    """This kind of operation is not served this way.

    Attributes:
        status: the HTTP status code.
        headers: of the answer.
    """

    def __init__(self, message: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class HttpEndpoint(Endpoint, Protocol):
    """The consumer or view, as far as an operation over HTTP needs it."""

    disconnect_timeout: float | None
    max_subscriptions_per_user: int | None
    max_subscriptions_per_address: int | None
    operation_timeout: float | None

    def process_result(self, request: HttpRequest, result: Any) -> Any:
        """Return what is sent instead of a result. May be awaitable."""
        ...

    def encode_json(self, content: Any) -> Any:
        """Return JSON text. May be awaitable."""
        ...


_ending: set[asyncio.Task[None]] = set()
"""Held here, or the garbage collector may end one half-way."""


class HttpOperation:
    """An operation, as the engine sees it: its client.

    Args:
        endpoint: the consumer or view that serves it.
        http: the request that it came with.
        response: its status, headers and cookies; resolvers may set them.
        request: the operation.
        choose_sink: returns where the results go. It is called with the type of the
            operation, or with `None` where that cannot be known; it returns `None` where
            there will be one result, and raises `UnsuitableError` where such an operation
            is not served.
        signals: those about the request, or the reserved stream that it belongs to.
        unsent: returns where a large answer is counted.
        message: that it came with.
        is_on_reserved_stream: it belongs to one.
    """

    def __init__(  # noqa: PLR0913 (parts of a request, and where its answer goes)
        self,
        endpoint: HttpEndpoint,
        http: HttpRequest,
        response: HttpResponse,
        request: Subscribe,
        choose_sink: Callable[[OperationType | None], Sink | None],
        signals: ConnectionSignals,
        unsent: Callable[[], Unsent],
        message: HeldMessage,
        *,
        is_on_reserved_stream: bool = False,
    ) -> None:
        self.http = http
        self.request = request
        self.type: OperationType | None = None
        self.task: asyncio.Task[None] | None = None
        self.sink: Sink | None = None
        self.text: str | None = None
        """The result, if there is no sink for it."""
        self.is_stopping = False
        """Whether the client itself ends the operation, and not only its stream."""
        self.outcome = Outcome.EXECUTED
        self.unsuitable: UnsuitableError | None = None
        self._endpoint = endpoint
        self._unsent = unsent
        self._message = message
        session = self._session = _Session(
            endpoint, http.scope, more={"request": http, "response": response}, signals=signals
        )
        # No methods of this object: in a cycle the whole answer would wait for the collector.
        self._begins = Beginning(
            endpoint,
            http.scope,
            lambda: session.parsing_share().owner,
            lambda: message.size_of_operation,
        )
        self._has_own_stream = not is_on_reserved_stream
        self._session.on_context = self._has_context
        self._processes = overridden(endpoint, "process_result")
        self._encodes = overridden(endpoint, "encode_json")
        self._choose_sink = choose_sink
        self._live: ActiveSubscription | None = None
        self._places: TakenPlaces = ()
        self._login: Login | None = None
        self._left: str | None = None
        self._is_answered = False
        self._answered: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beginning: asyncio.TimerHandle | None = None
        self._is_over = False
        self._variables = copy_context()

    def use_own_channel(self) -> None:
        """Have a channel of its own, so that other Channels code can send to it."""
        layer = get_channel_layer(self._endpoint.channel_layer_alias)
        if layer is not None:
            self._session.channel_name = unheld_channel(layer)

    def start(self) -> asyncio.Future[None] | None:
        """Start it; return something to wait for if it is not known yet how to answer."""
        variables, session = self._variables, self._session
        rest = variables.run(eager.start, session.start(self))
        if rest is None:
            self._tell_answered()
            return None
        loop = asyncio.get_running_loop()
        self._answered = None if self._is_answered else loop.create_future()
        self.task = loop.create_task(rest, context=variables)
        self.task.add_done_callback(self._finished, context=variables)
        seconds = self._endpoint.operation_timeout
        if seconds is not None:
            self._timer = loop.call_later(seconds, self._time_out, self.task)
        return self._answered

    @property
    def is_request(self) -> bool:
        """Whether it ends by itself, unlike a subscription."""
        return self.type is not OperationType.SUBSCRIPTION

    @property
    def live(self) -> ActiveSubscription | None:
        """The subscription that has begun, if it is one."""
        return self._live

    async def end(self) -> None:
        """End it, whatever it is doing; a mutation may come to its own end.

        What takes longer than `disconnect_timeout` is cancelled.
        """
        # At once: `unsubscribed` may take its time.
        self._free_place()
        try:
            await self._end()
        finally:
            self._end_what_has_left()
            await self._end_at_commit()
            if self._has_own_stream:
                self._session.signals.closed(self.http.scope, None)
            else:
                # Its request was answered long ago.
                self._message.release()

    async def _end(self) -> None:
        self._is_over = True
        # A hook may have refused the operation before there was a context.
        self._session.on_context = _nothing
        if self._has_nothing_to_end:
            return
        seconds = remaining(self._endpoint.disconnect_timeout)
        try:
            async with asyncio.timeout(seconds):
                await self._wind_down()
        except TimeoutError:
            text = "Gave up waiting for the end of an operation (id %s)"
            self._variables.run(log.warning, text, self.request.id)
        finally:
            if self.task is not None and not self.task.done():
                self.task.cancel()
                await asyncio.wait([self.task], timeout=seconds)
            self.http.close()
            await self._session.close()

    @property
    def _has_nothing_to_end(self) -> bool:
        parts = (self.task, self._live, self.http.form_data)
        return all(part is None for part in parts) and not self._session.has_resources

    async def _wind_down(self) -> None:
        task = self.task
        if task is not None and not task.done():
            # A mutation that is cancelled half-way leaves half of its work.
            if self.type is not OperationType.MUTATION or self.outcome is Outcome.TIMED_OUT:
                # Not before its first step, or what it will await would never be awaited.
                asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.wait([task])
        if self._live is not None:
            rest = eager.start(self._live.end())
            if rest is not None:
                await rest

    async def drain(self, timeout: float) -> None:
        """End the stream of a subscription without `complete`: its client connects again."""
        del timeout
        # One that was refused meanwhile has none any more.
        if self.sink is not None:
            self.sink.end()

    def revoke(self, reason: str) -> None:
        """End the stream of a subscription with an error: the rights of the client have ended."""
        if self._is_over:
            return
        assert self.sink is not None, "no subscription begins without one"
        self.sink.drop()
        error = {"message": reason, "extensions": {"code": "RIGHTS_ENDED"}}
        self.next(dumps({"errors": [error]}))
        self.completed()
        # In a reserved stream, nobody else would.
        ending = asyncio.get_running_loop().create_task(self.end(), context=context_of_nobody())
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        self._is_over = True

    def keep(self, document: Document) -> None:
        """Count a large document until the operation, or its stream, is over.

        Raises:
            FullError: there is too much already.
        """
        self._message.keep(document, lambda: self._unsent().owner())

    def began(self, type: OperationType) -> None:
        """Take the type of the operation, once it is known."""
        try:
            self._use_sink(type)
        except UnsuitableError as error:
            self.unsuitable = error
            # The engine passes it to `failed`, like any error in a document.
            raise RequestError(error) from error
        self.type = type
        if type is OperationType.SUBSCRIPTION:
            self._take_place()
            self._session.signals.opened(self.http.scope)
            self._session.send_away_with_hub(self)
            self._session.watch_rights()
            # The user was read before the body, which may have taken a minute to come.
            self._session.look_up_rights()
        else:
            self._login = login_of(self.http.scope)

    def _take_place(self) -> None:
        """Count one more subscription.

        Raises:
            TooManyError: its user or its address has as many as it may have.
        """
        try:
            self._places = LivePlaces(self._endpoint).take(self.http.scope)
        except TooManyError as error:
            # On a reserved stream it is told there, as all else is.
            if self._has_own_stream:
                text, status = error.errors[0].message, HTTPStatus.TOO_MANY_REQUESTS
                self.sink, self.unsuitable = None, UnsuitableError(text, status, {})
            raise

    def _free_place(self) -> None:
        places, self._places = self._places, ()
        release(places)

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before the result, while the client reads nothing."""
        return self.ready()

    def starting(self) -> Awaitable[None] | None:
        """Return something to wait for before it is executed, if there is need to."""
        if not self.is_request:
            return None
        # Its result would wait, and nobody knows how large it is.
        return self._begins.waiting(self.ready() or room_to_begin())

    def postponed(self) -> None:
        """Nothing: a request is carried out, whether its client waits for the answer or not."""

    def subscribed(self, live: ActiveSubscription) -> None:
        """Keep a subscription that has begun: `end` has to end it."""
        self._live = live

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next result, if there is need to."""
        if self.sink is not None:
            return self.sink.ready()
        if not unsent_of_loop().is_tight:
            return None
        unsent = self._unsent()
        # The answers of a batch go together.
        return unsent.has_room() if unsent.is_full and not unsent.size else None

    def confirmed(self, result: str) -> None:
        """Tell the client that its subscription is live."""
        self.next(result)

    def next(self, result: str) -> None:
        """Take a result from the engine."""
        # What was not executed at all has no `data`.
        is_invalid = result.startswith('{"errors":')
        self._answer(result, Outcome.INVALID if is_invalid else Outcome.EXECUTED)

    def next_at_once(self, result: str) -> bool:
        """Return `False`: results have no shorter way here."""
        del result
        return False

    def completed(self) -> None:
        """Say that there are no more results."""
        self._free_place()
        if self.sink is not None and not self._is_over:
            self.sink.complete()

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Say that the operation could not be executed."""
        if refusal is Refusal.UNAVAILABLE and not self._is_answered and self._may_be_refused:
            self.sink = None
        elif self.sink is None and self.text is None and self.unsuitable is None:
            self._use_sink(None)
        self._answer(dumps({"errors": [dict(each) for each in errors]}), self._why(refusal))
        self.completed()

    def _use_sink(self, type: OperationType | None) -> None:
        self.sink = self._choose_sink(type)

    def _has_context(self) -> None:
        # A stream may begin: hooks could set status, headers and cookies.
        if self.sink is None:
            return
        if self._may_be_refused:
            loop = asyncio.get_running_loop()
            self._beginning = loop.call_later(BEGIN_AFTER, self._tell_answered)
        else:
            self._tell_answered()

    @property
    def _may_be_refused(self) -> bool:
        """Whether the stream begins with the subscription, and its status may say otherwise.

        A browser's `EventSource`, which asks by GET, comes again after a stream that has ended,
        and never after a status other than 200.
        """
        is_own_stream = isinstance(self.sink, OwnStream)
        is_subscription = self.type is OperationType.SUBSCRIPTION
        return is_own_stream and is_subscription and self.http.method == "POST"

    def _why(self, refusal: Refusal) -> Outcome:
        if self.unsuitable is not None:
            return Outcome.UNSUITABLE
        match refusal:
            case Refusal.OPERATION:
                return Outcome.FORBIDDEN
            case Refusal.UNAVAILABLE:
                return Outcome.UNAVAILABLE
            case Refusal.INTERNAL:
                return Outcome.FAILED
            case Refusal.DOCUMENT:
                return Outcome.INVALID
            case Refusal.REQUEST:
                return Outcome.MALFORMED
            case _:
                return Outcome.FORBIDDEN

    def _time_out(self, task: asyncio.Task[None]) -> None:
        if self.type is not OperationType.SUBSCRIPTION and not task.done():
            self._answer(TIMED_OUT_RESULT, Outcome.TIMED_OUT)
            self.completed()
            self._is_over = True
            self.outcome = Outcome.TIMED_OUT
            task.cancel()

    def _end_what_has_left(self) -> None:
        """End all that belongs to the session, if the operation has logged that out.

        Django's signal does not tell if `channels.auth` has done it, or another user's login.
        """
        login = self._login
        if login is not None and login.has_ended(self.http.scope):
            self._login, self._left = None, login.session
            end_session(login.session)

    async def _end_at_commit(self) -> None:
        """End it once more at the commit, where a transaction is around the whole request."""
        left, self._left = self._left, None
        # Others are committed by now.
        if left is not None and operations_in_request_thread.get():
            session = self.http.scope.get("session")
            await in_thread(partial(end_session_at_commit, session, left))

    def _answer(self, result: str, outcome: Outcome) -> None:
        self._end_what_has_left()
        if self._is_over:
            # The client has gone, or has its answer.
            return
        if self.sink is None:
            if len(result) > LARGE:
                self._unsent().hold(len(result))
            self.text = result
            self.outcome = outcome
        else:
            self.sink.next(self._hooked(result))
        self._tell_answered()

    def _hooked(self, result: str) -> Text:
        if not (self._processes or self._encodes):
            return result
        return LaterText(len(result), lambda: self.final(result))

    async def final(self, result: str) -> str:
        """Return a result as the user's hooks leave it."""
        if not (self._processes or self._encodes):
            return result
        try:
            changed = loads(result)
            if self._processes:
                changed = await _awaited(
                    call_hook(self._endpoint, "process_result", self.http, changed)
                )
            encode = self._endpoint.encode_json if self._encodes else dumps
            text = str(await _awaited(encode(changed)))
            return CursorText.of(text, result.cursor) if isinstance(result, CursorText) else text
        except BaseException as error:
            if eager.ends_running_code(error):
                raise
            # It runs in the stream, perhaps with other operations.
            self._variables.run(
                log.exception, "`process_result` or `encode_json` failed (id %s)", self.request.id
            )
            return INTERNAL_ERROR

    def _tell_answered(self) -> None:
        self._is_answered = True
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Answer in place of an operation that has cancelled itself or has broken."""
        if self._timer is not None:
            self._timer.cancel()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("An operation failed (id %s)", self.request.id, exc_info=error)
        if (error is not None or task.cancelled()) and self.text is None:
            self._answer(INTERNAL_ERROR, Outcome.FAILED)
            self.completed()
        # Its stream begins now, if it has one that has not begun yet.
        self._tell_answered()
        if self._live is not None:
            # A subscription goes on without it.
            self.task = None


class _Session(EndpointSession):
    """Tells its operation when the `info.context` is made.

    Attributes:
        on_context: is called then, once.
    """

    __slots__ = ("on_context",)

    on_context: Callable[[], None]

    def operation_context(self, request: Subscribe) -> Any:
        """Return the `info.context` of one operation."""
        on_context = self.on_context
        # The operation has this session: leave no reference cycle.
        del self.on_context
        context = super().operation_context(request)
        if eager.is_awaitable(context):
            return _then(context, on_context)
        on_context()
        return context


def _nothing() -> None:
    """Nobody waits for the context."""


async def _then(made: Awaitable[Any], call: Callable[[], None]) -> Any:
    result = await made
    call()
    return result


async def _awaited(value: Any) -> Any:
    while eager.is_awaitable(value):
        value = await value
    return value
