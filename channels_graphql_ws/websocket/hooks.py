"""The hooks of `GraphqlWsConsumer`, and what calls those about results."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from graphql import OperationType

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import INTERNAL_ERROR
from channels_graphql_ws.execution.request import JsonObject, Refusal, Subscribe
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.operations.hook_calls import call_hook_in_time, name_of
from channels_graphql_ws.operations.interfaces import ActiveSubscription
from channels_graphql_ws.operations.overrides import default
from channels_graphql_ws.websocket.operation import ClientOperation

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


class WebSocketHooks:
    """What users may override; a hook that is not overridden costs nothing.

    Each may be a plain function, too; with `resolve_sync_in_threads` it is called in a thread.
    A hook that fails is logged with its traceback, and so is one that takes longer than
    `warn_operation_timeout`. Those about results, pings and pongs are given up after
    `event_timeout`.
    """

    @default
    async def on_connect(self, payload: Any) -> Mapping[str, Any] | None:
        """Decide on a client; raise anything to refuse it.

        `ConnectionRejectionError` chooses what the client is told.

        Args:
            payload: that of `connection_init`, `None` if it has none.

        Returns:
            The payload of the acknowledgement, or `None`.
        """

    @default
    async def on_operation(
        self, op_id: Any, payload: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Decide on an operation before it is looked at; raise anything to refuse it.

        Args:
            op_id: the client's id of the operation.
            payload: `query`, `variables`, `operationName`, … as the client sent them;
                `query` is empty if it only names a document in another way.

        Returns:
            What is to be executed instead: any of `query`, `variables`, `operation_name`
            and `schema`. `None` changes nothing.
        """

    @default
    async def on_next(self, op_id: Any, result: dict[str, Any]) -> Mapping[str, Any] | None:
        """See a result before it is sent; return another one to send, or `None`.

        Args:
            op_id: the client's id of the operation.
            result: `data`, `errors`, `extensions`.
        """

    @default
    async def on_error(
        self, op_id: Any, errors: list[dict[str, Any]]
    ) -> Sequence[Mapping[str, Any]] | None:
        """See why an operation is not executed; return other errors to send, or `None`.

        Args:
            op_id: the client's id of the operation.
            errors: as `_format_error` has left them.
        """

    @default
    async def on_complete(self, op_id: Any) -> None:
        """Learn that an operation has ended, in any way but an `error`.

        Before the `complete` is sent; also where the client has stopped it, or has gone.
        """

    @default
    async def on_ping(self, payload: Any) -> Mapping[str, Any] | None:
        """See a ping of the client; return the payload of the pong, or `None` to repeat it.

        Args:
            payload: a JSON object, or `None`.
        """

    @default
    async def on_pong(self, payload: Any) -> None:
        """Look at a pong of the client, asked for or not.

        Args:
            payload: a JSON object, or `None`; clients repeat `ping_payload`.
        """

    @default
    async def on_disconnect(self, code: int | None) -> None:
        """Learn that the socket is closed; called once for each connection.

        Args:
            code: the WebSocket close code, `None` if there was none. `close_reason` of the
                consumer has the reason, where the server tells it.
        """


RESULT_HOOKS: Final = frozenset({"on_complete", "on_error", "on_next"})


class HookedClient:
    """Stands before the operation of a client, and calls hooks in the order of events.

    While a hook waits, what comes after is kept, and `ready` asks for patience: there is
    a task only then.
    """

    def __init__(
        self, client: ClientOperation, hooks: WebSocketHooks, overridden: frozenset[str]
    ) -> None:
        self._client = client
        self._hooks = hooks
        self._overridden = overridden
        self._queue: deque[Eager[None]] = deque()
        self._idle: asyncio.Event | None = None
        self._is_over = False
        if "on_complete" in overridden:
            client.at_end = self._ended

    @property
    def request(self) -> Subscribe:
        """What the client asked for."""
        return self._client.request

    @property
    def is_stopping(self) -> bool:
        """Whether the client itself ends the operation."""
        return self._client.is_stopping

    def keep(self, document: Document) -> None:
        """Count a large document as long as the operation lasts."""
        self._client.keep(document)

    def began(self, type: OperationType) -> Awaitable[None] | None:
        """Note the type of the operation; return something to wait for, if there is need."""
        return self._client.began(type)

    def starting(self) -> Awaitable[None] | None:
        """Return something to wait for before it is executed; `None`: it is, from now on."""
        return self._client.starting()

    def postponed(self) -> None:
        """It is not executed yet, after all."""
        self._client.postponed()

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before the result, while the client reads nothing."""
        return self._client.room()

    def subscribed(self, live: ActiveSubscription) -> None:
        """A subscription came to be: it is to be ended, whatever happens."""
        self._client.subscribed(live)

    def confirmed(self, result: str) -> None:
        """Send the confirmation of a live subscription."""
        self._client.confirmed(result)

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next result, if there is need."""
        return self._client.ready() if self._idle is None else self._readiness(self._idle)

    def next(self, result: str) -> None:
        """Send a result."""
        self._put(self._next(result))

    def next_at_once(self, result: str) -> bool:
        """Return `False`: hooks may have to wait."""
        del result
        return False

    def completed(self) -> None:
        """Send the end of the operation."""
        self._put(self._completed())

    def revoke(self, reason: str) -> None:
        """Close the connection at once."""
        self._client.revoke(reason)

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Send the errors of an operation that could not be executed."""
        self._put(self._failed(errors, refusal))

    async def _readiness(self, idle: asyncio.Event) -> None:
        await idle.wait()
        waiting = self._client.ready()
        if waiting is not None:
            await waiting

    def _put(self, work: Eager[None]) -> None:
        self._queue.append(work)
        if self._idle is None:
            self._idle = asyncio.Event()
            self._client.run(self._work_off(self._idle))

    def _work_off(self, idle: asyncio.Event) -> Eager[None]:
        try:
            while self._queue:
                yield from self._queue.popleft()
        finally:
            self._idle = None
            idle.set()

    def _next(self, text: str) -> Eager[None]:
        if "on_next" in self._overridden:
            failure = dumps({"data": None, "errors": [INTERNAL_ERROR]})
            text = yield from self._ask("on_next", [loads(text)], _result, text, failure)
        self._client.next(text)

    def _failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> Eager[None]:
        self._is_over = True
        if "on_error" in self._overridden:
            copies = [dict(error) for error in errors]
            errors = yield from self._ask("on_error", [copies], _errors, errors, [INTERNAL_ERROR])
        self._client.failed(errors, refusal)

    def _completed(self) -> Eager[None]:
        if "on_complete" in self._overridden:
            yield from self._tell_end()
        self._client.completed()

    def _ended(self) -> Eager[None]:
        """Call `on_complete` behind earlier hooks, as the operation was ended from outside."""
        if self._idle is not None:
            yield self._idle.wait()
        yield from self._tell_end()

    def _tell_end(self) -> Eager[None]:
        if not self._is_over:
            self._is_over = True
            yield from self._ask("on_complete", [], lambda _: None, None, None)

    def _ask(
        self,
        name: str,
        arguments: Sequence[Any],
        read: Callable[[Any], Any],
        unchanged: Any,
        failure: Any,
    ) -> Eager[Any]:
        """Call a hook.

        Returns:
            What `read` makes of its answer; `unchanged` if that is `None`, and `failure` if the
            hook or `read` has failed.
        """
        try:
            answer: Any = call_hook_in_time(self._hooks, name, self.request.id, *arguments)
            while is_awaitable(answer):
                answer = yield answer
            return unchanged if answer is None else read(answer)
        # The client is owed an answer, whatever the user's code may raise.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("%s failed (id %r)", name_of(self._hooks, name), self.request.id)
            return failure


def _result(answer: Any) -> str:
    # Clients close the connection when a result is not an object.
    if not isinstance(answer, dict):
        raise TypeError(f"`on_next` returned {answer!r}, it must return a dict or `None`")
    return dumps(answer)


def _errors(answer: Any) -> list[JsonObject]:
    # What is sent: a lazy text is one from here on.
    errors: list[JsonObject] = loads(dumps([dict(error) for error in answer]))
    # This, too, is what clients close the connection for.
    if not errors or not all(isinstance(error.get("message"), str) for error in errors):
        raise TypeError(f"`on_error` returned {answer!r}, it must return errors with a `message`")
    return errors
