"""One operation over HTTP: what runs it, and its way back to whoever has sent it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from enum import Enum
from typing import Any, Protocol

from channels.layers import get_channel_layer
from django.http import HttpResponse
from graphql import GraphQLError, OperationType

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.errors import RequestError
from channels_graphql_ws.execution.request import JsonObject, Refusal, Subscribe
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.stream import Sink, Text
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.operations.engine import Engine
from channels_graphql_ws.operations.interfaces import ActiveSubscription
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel, listen

log = logging.getLogger("channels_graphql_ws.http")

INTERNAL_ERROR = dumps({"errors": [{"message": "Internal server error"}]})
TIMED_OUT = dumps({"errors": [{"message": "The operation took too long"}]})


class Outcome(Enum):
    """What became of an operation."""

    EXECUTED = "there is a result, perhaps with errors"
    MALFORMED = "there is no document"
    INVALID = "document, variables or operation name do not allow to execute it"
    FORBIDDEN = "a hook has refused it"
    UNSUITABLE = "this kind of operation is not served this way"
    TIMED_OUT = "it took too long"
    FAILED = "something broke that is not the client's fault"


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


class Application(Protocol):
    """What an operation needs of the consumer or view."""

    channel_layer_alias: str
    disconnect_timeout: float
    subscription_notification_queue_limit: int
    operation_timeout: float | None

    def engine(self) -> Engine:
        """Give what executes operations."""
        ...

    def on_operation(self, op_id: Any, payload: Mapping[str, Any]) -> Any:
        """Refuse an operation by raising. May be awaitable."""
        ...

    def get_context(self, context: OperationContext) -> Any:
        """Give the `info.context`. May be awaitable."""
        ...

    def get_root_value(self, context: Any) -> Any:
        """Give the root value. May be awaitable."""
        ...

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell a client of an error."""
        ...

    def executor(self) -> Callable[..., Any] | None:
        """Give the user's own way to execute, if there is one."""
        ...

    def result_hook(self) -> Callable[[HttpRequest, Any], Any] | None:
        """Give the hook that may change results, if there is one."""
        ...

    def json_encoder(self) -> Callable[[Any], Any] | None:
        """Give the user's own way to write JSON, if there is one. May be awaitable."""
        ...


class HttpOperation:
    """An operation, as the engine sees it: client and session in one.

    Args:
        application: who serves it.
        http: the request that it came with.
        response: its status, headers and cookies; resolvers may set them.
        request: the operation.
        choose_sink: gives where the results go once the type of the operation is known,
            or, with `None`, that it never will be. `None`: there is to be one result.
            Raises `UnsuitableError` where such an operation is not served.
    """

    def __init__(
        self,
        application: Application,
        http: HttpRequest,
        response: HttpResponse,
        request: Subscribe,
        choose_sink: Callable[[OperationType | None], Sink | None],
    ) -> None:
        self.http = http
        self.request = request
        self.type: OperationType | None = None
        self.task: asyncio.Task[None] | None = None
        self.sink: Sink | None = None
        self.text: str | None = None
        """The result, if there is no sink for it."""
        self.outcome = Outcome.EXECUTED
        self.unsuitable: UnsuitableError | None = None
        self._application = application
        self._response = response
        self._choose_sink = choose_sink
        self._context: Any = None
        self._live: ActiveSubscription | None = None
        self._channel_name: str | None = None
        self._own_channel: OwnChannel | None = None
        self._hub: Hub | None = None
        self._forbidden = False
        self._answered: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._invalid = False

    async def prepare_to_listen(self) -> None:
        """Get a channel of its own, so that other Channels code can send to it."""
        layer: Any = get_channel_layer(self._application.channel_layer_alias)
        if layer is not None:
            self._channel_name = await layer.new_channel()

    def start(self) -> asyncio.Future[None] | None:
        """Start it; give something to wait for if it is not known yet how to answer."""
        variables = copy_context()
        work = self._application.engine().start(self, self)
        rest = variables.run(eager.start, work)
        if rest is not None:
            loop = asyncio.get_running_loop()
            self._answered = None if self.is_answered else loop.create_future()
            self.task = loop.create_task(rest, context=variables)
            self.task.add_done_callback(self._finished)
            seconds = self._application.operation_timeout
            if seconds is not None:
                self._timer = loop.call_later(seconds, self._time_out, self.task)
        return self._answered

    @property
    def is_answered(self) -> bool:
        """Tell if it is known how to answer."""
        return self.sink is not None or self.text is not None

    @property
    def is_request(self) -> bool:
        """Tell if it has an end of its own, unlike a subscription."""
        return self.type is not OperationType.SUBSCRIPTION

    async def end(self) -> None:
        """End it, whatever it is doing; a mutation may come to its own end.

        What takes longer than `disconnect_timeout` is cancelled.
        """
        self._is_over = True
        if self._has_nothing_to_end:
            return
        seconds = self._application.disconnect_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._wind_down()
        except TimeoutError:
            log.warning("Gave up waiting for the end of an operation (id %s)", self.request.id)
        finally:
            if self.task is not None and not self.task.done():
                self.task.cancel()
                await asyncio.wait([self.task], timeout=seconds)
            self.http.close()
            await self._let_go()

    async def _let_go(self) -> None:
        own, self._own_channel = self._own_channel, None
        hub, self._hub = self._hub, None
        try:
            if own is not None:
                await own.close()
        finally:
            if hub is not None:
                await hub.release()

    @property
    def _has_nothing_to_end(self) -> bool:
        parts = (self.task, self._live, self._hub, self._own_channel, self.http.form_data)
        return all(part is None for part in parts)

    async def _wind_down(self) -> None:
        task = self.task
        if task is not None and not task.done():
            # A mutation that is cancelled half-way leaves half of its work.
            if self.type is not OperationType.MUTATION or self.outcome is Outcome.TIMED_OUT:
                # Not before its first step: what it is to await would never be awaited.
                asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.wait([task])
        if self._live is not None:
            rest = eager.start(self._live.end())
            if rest is not None:
                await rest

    def began(self, type: OperationType) -> None:
        """It is known what kind of operation this is."""
        try:
            self._use_sink(type)
        except UnsuitableError as error:
            self.unsuitable = error
            # The engine tells `failed` of it, as of any error in a document.
            raise RequestError(error) from error
        self.type = type

    def subscribed(self, live: ActiveSubscription) -> None:
        """A subscription came to be: it is to be ended, whatever happens."""
        self._live = live

    def ready(self) -> Awaitable[None] | None:
        """Give something to wait for before the next result, if there is need to."""
        return None if self.sink is None else self.sink.ready()

    def confirmed(self, result: str) -> None:
        """Tell the client that its subscription is live."""
        self.next(result)

    def next(self, result: str) -> None:
        """Take a result."""
        outcome = Outcome.EXECUTED
        if self._invalid and result.startswith('{"data":null,'):
            # It was not executed at all: such a result has no `data`.
            result = "{" + result.removeprefix('{"data":null,')
            outcome = Outcome.INVALID
        self._invalid = False
        self._answer(result, outcome)

    def next_at_once(self, result: str) -> bool:
        """Tell that there is no short way."""
        del result
        return False

    def completed(self) -> None:
        """Say that there are no more results."""
        if self.sink is not None and not self._is_over:
            self.sink.complete()

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Say that the operation could not be executed."""
        if not self.is_answered and self.unsuitable is None:
            self._use_sink(None)
        self._answer(dumps({"errors": [dict(each) for each in errors]}), self._why(refusal))
        self.completed()

    def hub(self) -> Hub:
        """Give the hub of this event loop; it stays until the operation ends."""
        if self._hub is None:
            self._hub = hub_of(channel_layer(self._application.channel_layer_alias))
            self._hub.acquire()
        return self._hub

    def before_operation(self, request: Subscribe) -> Any:
        """Ask the hooks."""
        return eager.start(self._ask_hooks(request))

    def operation_context(self, request: Subscribe) -> Any:
        """Give the `info.context`."""
        del request
        return self._context

    def get_root_value(self, context: Any) -> Any:
        """Ask the hook."""
        return eager.start(self._ask_for_root(context))

    def executor(self) -> Callable[..., Any] | None:
        """Give the user's own way to execute."""
        return self._application.executor()

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell the client of an error."""
        # Only an error of the request as a whole has no path in the result.
        if isinstance(error, GraphQLError) and error.path is None:
            self._invalid = True
        return self._application.format_error(error)

    def _ask_hooks(self, request: Subscribe) -> Eager[Any]:
        context = OperationContext(
            {
                "channels_scope": self.http.scope,
                "channel_name": self._channel_name,
                "graphql_operation_name": request.operation_name,
                "graphql_operation_id": request.id,
                "connection_params": {},
                "request": self.http,
                "response": self._response,
            },
            self._listen,
        )
        try:
            answer = yield self._application.on_operation(request.id, request.for_hook())
            self._context = yield self._application.get_context(context)
        except Exception:
            self._forbidden = True
            raise
        return answer

    def _ask_for_root(self, context: Any) -> Eager[Any]:
        try:
            return (yield self._application.get_root_value(context))
        except Exception:
            self._forbidden = True
            raise

    def _listen(
        self, type: str, *, timeout: float | None = None, groups: Iterable[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        if self._own_channel is None:
            layer = channel_layer(self._application.channel_layer_alias)
            self._own_channel = OwnChannel(layer, self._channel_name or "")
        if self._channel_name is None and not groups:
            raise ChannelLayerError(
                "Only an operation whose answer is a stream has a channel of its own: name groups"
            )
        limit = self._application.subscription_notification_queue_limit
        own = self._own_channel
        return listen(own, type, timeout=timeout, groups=groups, queue_limit=limit)

    def _use_sink(self, type: OperationType | None) -> None:
        self.sink = self._choose_sink(type)
        if self.sink is not None:
            self._tell_answered()

    def _why(self, refusal: Refusal) -> Outcome:
        if self.unsuitable is not None:
            return Outcome.UNSUITABLE
        match refusal:
            case Refusal.OPERATION:
                return Outcome.FORBIDDEN if self._forbidden else Outcome.FAILED
            case Refusal.DOCUMENT:
                return Outcome.INVALID
            case Refusal.REQUEST:
                return Outcome.MALFORMED
            case _:
                return Outcome.FORBIDDEN

    def _time_out(self, task: asyncio.Task[None]) -> None:
        if self.type is not OperationType.SUBSCRIPTION and not task.done():
            self._answer(TIMED_OUT, Outcome.TIMED_OUT)
            self.completed()
            self._is_over = True
            self.outcome = Outcome.TIMED_OUT
            task.cancel()

    def _answer(self, result: str, outcome: Outcome) -> None:
        if self._is_over:
            # Nobody wants to hear it any more.
            return
        if self.sink is None:
            self.text = result
            self.outcome = outcome
            self._tell_answered()
        else:
            self.sink.next(self._hooked(result))

    def _hooked(self, result: str) -> Text:
        application = self._application
        if application.result_hook() is None and application.json_encoder() is None:
            return result
        return lambda: self.final(result)

    async def final(self, result: str) -> str:
        """Give a result as the user's hooks leave it."""
        hook, encode = self._application.result_hook(), self._application.json_encoder()
        if hook is None and encode is None:
            return result
        try:
            changed = loads(result)
            if hook is not None:
                changed = await _awaited(hook(self.http, changed))
            return str(await _awaited((encode or dumps)(changed)))
        except Exception:
            log.exception("`process_result` or `encode_json` failed (id %s)", self.request.id)
            return INTERNAL_ERROR

    def _tell_answered(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Leave nobody waiting for what has cancelled itself or has broken."""
        if self._timer is not None:
            self._timer.cancel()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("An operation failed (id %s)", self.request.id, exc_info=error)
        if (error is not None or task.cancelled()) and self.text is None:
            self._answer(INTERNAL_ERROR, Outcome.FAILED)
            self.completed()


async def _awaited(value: Any) -> Any:
    while eager.is_awaitable(value):
        value = await value
    return value
