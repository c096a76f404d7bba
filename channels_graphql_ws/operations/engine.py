"""Start operations: one engine serves all connections of a consumer class."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
)

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.execution.context import SharedContext
from channels_graphql_ws.execution.documents import Document, Rules, compiled, documents_of
from channels_graphql_ws.execution.errors import (
    INTERNAL_ERROR,
    NoDocumentError,
    RequestError,
    describe,
    encode_answer,
    encode_result,
    log_errors,
    log_refusal,
)
from channels_graphql_ws.execution.masking import Mask
from channels_graphql_ws.execution.middleware import managed
from channels_graphql_ws.execution.request import Refusal, Subscribe
from channels_graphql_ws.execution.sync_resolvers import Hops
from channels_graphql_ws.json_text import loads
from channels_graphql_ws.operations.interfaces import (
    ActiveSubscription,
    Client,
    EngineSettings,
    PreparedOperation,
    Session,
)
from channels_graphql_ws.operations.option_values import SettingsReader, check_values
from channels_graphql_ws.operations.replacement import replaced
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.layers import check_destination, forget_cached
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.field import Source
from channels_graphql_ws.subscription.generator import GeneratorSubscription
from channels_graphql_ws.subscription.queue import queue_for
from channels_graphql_ws.subscription.shared import SharedMember
from channels_graphql_ws.subscription.sharing_key import SharedSubscribers, SharingKey, sharing_key
from channels_graphql_ws.subscription.single import SingleSubscriber

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

MOST_KEPT = 8
"""Engines of one class: its instances may have options of their own, for example a schema for
each tenant."""

_reader = SettingsReader(EngineSettings, rules=Rules, mask=Mask)


def engine_of(endpoint: Any) -> Engine:
    """Return the engine that all endpoints of a class with the same options share.

    Args:
        endpoint: a consumer or view. Its options count wherever they were set.

    Raises:
        TypeError: it has no `schema`, or an option of its own that belongs to the class.
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    values = _reader.values(endpoint)
    cls = type(endpoint)
    known: list[tuple[Any, Engine]] = cls.__dict__.get("_engines") or []
    for values_before, engine in known:
        if values_before == values:
            return engine
    check_values(endpoint)
    check_destination(endpoint)
    forget_cached()
    engine = Engine(_reader.settings(values))
    # Another list: instances in other threads may be reading this one.
    cls._engines = [(values, engine), *known[: MOST_KEPT - 1]]
    return engine


def guarded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Give the same, whose errors of GraphQL are a result; it may give an awaitable."""
    return lambda **arguments: eager.start(_result(execute, arguments))


def _result(execute: Callable[..., Any], arguments: dict[str, Any]) -> Eager[ExecutionResult]:
    try:
        result: Any = execute(**arguments)
        while eager.is_awaitable(result):
            result = yield result
    except GraphQLError as error:
        return ExecutionResult(None, [error])
    if not isinstance(result, ExecutionResult):
        raise TypeError(
            f"`execute_operation` gave {type(result).__name__!r}, it has to give a "
            "`graphql.ExecutionResult`"
        )
    return result


# To read a member of an `Enum` takes as long as a call.
_SUBSCRIPTION: Final = OperationType.SUBSCRIPTION


class Engine:
    """Parses, validates and executes what clients ask for."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        middleware = managed(settings.middleware)
        if settings.resolve_sync_in_threads:
            middleware = Hops(middleware)
        self._middleware = middleware
        self._documents = documents_of(settings.schema, settings.rules)
        self._shared = SharedSubscribers()
        self._confirmation: tuple[Mapping[str, Any] | None, str] = None, ""

    def start(self, client: Client, session: Session) -> Eager[None]:
        """Execute a query or mutation, or set up a subscription."""
        try:
            yield from self._start(client, session)
        except RequestError as error:
            errors = [describe(each, session.format_error) for each in error.errors]
            client.failed(errors, error.refusal)
        # Our own mistake: the client is told that much, and the log the rest.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("Operation %r failed", client.request.id)
            client.failed([INTERNAL_ERROR], Refusal.INTERNAL)

    def _start(self, client: Client, session: Session) -> Eager[None]:
        request, schema = client.request, self.settings.schema
        async_connections.close_expired()
        try:
            changes = session.before_operation(request)
            if changes is not None:
                changes = yield changes
        except Exception as error:  # noqa: BLE001 (a hook refuses by raising anything)
            self._refuse(client, session, error)
            return
        if changes is not None:
            request, schema = replaced(request, schema, changes)
        document = self._document(request, schema)
        if not isinstance(document, Document):
            document = yield document
        if document.errors:
            raise RequestError(*document.errors)
        operation = _operation(document, request)
        client.began(operation.operation)
        is_subscription = operation.operation is _SUBSCRIPTION
        root = None
        try:
            context = session.operation_context(request)
            if is_awaitable(context):
                context = yield context
            if not is_subscription:
                root = yield session.get_root_value(context)
        except Exception as error:  # noqa: BLE001 (so do these)
            self._refuse(client, session, error)
            return
        asked = PreparedOperation(request, schema, document, operation, context, root)
        if is_subscription:
            yield from self._subscribe(asked, client, session)
        else:
            yield from self._execute(asked, client, session)

    def _document(
        self, request: Subscribe, schema: GraphQLSchema
    ) -> Document | Awaitable[Document]:
        if not request.query and request.payload.get("query") is None:
            raise NoDocumentError
        documents = self._documents
        if schema is not self.settings.schema:
            documents = documents_of(schema, self.settings.rules)
        return documents.get(request.query)

    def _refuse(self, client: Client, session: Session, error: Exception) -> None:
        log_refusal(f"Operation {client.request.id!r} was refused", error, self.settings.mask)
        client.failed([describe(error, session.format_error)], Refusal.OPERATION)

    def _execute(self, asked: PreparedOperation, client: Client, session: Session) -> Eager[None]:
        request = asked.request
        call = partial(_execute_shallowly, self._executor(asked, session), asked)
        started = time.monotonic()
        result: Any = in_thread(call) if self.settings.resolve_sync_in_threads else call()
        while is_awaitable(result):
            result = yield result
        self._warn_if_slow(request, time.monotonic() - started)
        answer: ExecutionResult = result
        log_errors(answer.errors, request.operation_name or "an operation", request.id)
        client.next(encode_answer(answer, session.format_error))
        client.completed()

    def _executor(self, asked: PreparedOperation, session: Session) -> Callable[..., Any]:
        """Give what executes an operation: the user's, its compiled self, or graphql-core."""
        own = session.executor()
        if own is None and self.settings.compile_operations:
            plan = compiled(asked.schema, asked.document, asked.operation, self._middleware)
            if plan is not None:
                return plan.execute
        return partial(
            execute if own is None else guarded(own),
            schema=asked.schema,
            document=asked.document.ast,
            operation_name=asked.request.operation_name,
            middleware=self._middleware,
        )

    def _warn_if_slow(self, request: Subscribe, seconds: float) -> None:
        limit = self.settings.warn_operation_timeout
        if limit is None or seconds < limit:
            return
        log.warning(
            "Operation %s (id %s) took %.3f seconds", request.operation_name, request.id, seconds
        )
        log.debug("It was: %s with variables %s", request.query, request.variables)

    def _subscribe(
        self, asked: PreparedOperation, client: Client, session: Session
    ) -> Eager[None]:
        plan = self._plan(asked, asked.context)
        is_class = isinstance(plan.source, Source)
        live: ActiveSubscription
        try:
            if is_class:
                live = yield from self._listen(asked, plan, client, session)
            else:
                live = yield from self._stream(plan, client, session)
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            log_errors([error], plan.name, client.request.id)
            refusal = Refusal.SUBSCRIBE if is_class else Refusal.STREAM
            client.failed([describe(error, session.format_error)], refusal)
            return
        live.open()

    def _plan(self, asked: PreparedOperation, context: Any) -> EventExecution:
        return EventExecution(
            asked.schema,
            asked.document,
            asked.operation,
            asked.request,
            context,
            self._middleware,
            sync_in_thread=self.settings.resolve_sync_in_threads,
            compiles=self.settings.compile_operations,
        )

    def _listen(
        self, asked: PreparedOperation, plan: EventExecution, client: Client, session: Session
    ) -> Eager[SingleSubscriber | SharedMember]:
        """Set up a subscription to broadcasts."""
        hub = session.hub()
        hook = plan.subscription_class._meta.subscribe
        names = None if hook is None else plan.call(hook)
        while is_awaitable(names):
            names = yield names
        groups = self._groups(plan.subscription_class, names)
        like = None
        if plan.subscription_class._meta.context_id is not None:
            like = yield from sharing_key(
                plan, hub, asked.schema, asked.document, asked.request, groups
            )
        live: SingleSubscriber | SharedMember
        if like is None:
            live = self._single_subscriber(plan, client, session, hub, groups)
        else:
            live = self._shared_member(asked, plan, client, session, like)
        client.subscribed(live)
        try:
            if hub.listen(live.listener, groups):
                yield hub.joined(groups)
            self._confirm(client, session)
        except Exception:
            yield from live.end()
            raise
        return live

    def _stream(
        self, plan: EventExecution, client: Client, session: Session
    ) -> Eager[GeneratorSubscription]:
        """Set up a subscription to what the user's method yields."""
        source = plan.call(plan.source)
        while is_awaitable(source):
            source = yield source
        stream = GeneratorSubscription(
            plan, client, source, format_error=session.format_error, id=client.request.id
        )
        client.subscribed(stream)
        try:
            self._confirm(client, session)
        except Exception:
            yield from stream.end()
            raise
        return stream

    def _groups(self, subscription_class: type[Subscription], names: Any) -> list[str]:
        """Give the groups that the `subscribe` hook has named, and that of the class."""
        prefix = self.settings.group_name_prefix
        if names is None:
            return [subscription_class.group_name(prefix, None)]
        if not _is_names(names):
            raise AssertionError(
                f"Subscription {subscription_class.__qualname__!r}: method 'subscribe' "
                f"returned a value of an incorrect type {type(names).__name__!r}; a list or "
                "tuple of strings, or None, was expected"
            )
        distinct = dict.fromkeys([None, *names])
        return [subscription_class.group_name(prefix, name) for name in distinct]

    def _single_subscriber(
        self, plan: EventExecution, client: Client, session: Session, hub: Hub, groups: list[str]
    ) -> SingleSubscriber:
        return SingleSubscriber(
            plan,
            client,
            hub,
            groups,
            queue_limit=self._queue_limit(plan),
            format_error=session.format_error,
            id=client.request.id,
        )

    def _shared_member(
        self,
        asked: PreparedOperation,
        plan: EventExecution,
        client: Client,
        session: Session,
        like: SharingKey,
    ) -> SharedMember:
        limit = self._queue_limit(plan)
        cohort = self._shared.get(like, lambda: self._plan_of_all(asked, like), limit)
        return SharedMember(
            cohort,
            plan,
            client,
            queue_for(plan.subscription_class, limit),
            format_error=session.format_error,
            id=client.request.id,
        )

    def _plan_of_all(self, asked: PreparedOperation, like: SharingKey) -> EventExecution:
        """Give a plan which has nothing of a client, not even objects that it could change."""
        request = replace(asked.request, variables=loads(like.variables))
        context = SharedContext({"graphql_operation_name": like.operation_name})
        return self._plan(asked._replace(request=request), context)

    def _queue_limit(self, plan: EventExecution) -> int:
        limit = plan.subscription_class.notification_queue_limit
        return (
            limit
            if limit and limit > 0
            else max(1, self.settings.subscription_notification_queue_limit)
        )

    def _confirm(self, client: Client, session: Session) -> None:
        """Tell the client that its subscription is live, if it wants to know."""
        if not self.settings.confirm_subscriptions:
            return
        message = self.settings.subscription_confirmation_message
        known, text = self._confirmation
        if known != message:
            errors: list[Any] = list(message.get("errors") or ())
            result = ExecutionResult(message.get("data"), errors)
            text = encode_result(result, session.format_error)
            if not errors:
                self._confirmation = dict(message), text
        client.confirmed(text)


def _execute_shallowly(execute: Callable[..., Any], asked: PreparedOperation) -> Any:
    """Execute; variables that are nested too deeply are an error of the client's.

    The last releases of graphql-core 3.2 count, the first ones run out of stack.
    """
    try:
        return execute(
            root_value=asked.root,
            context_value=asked.context,
            variable_values=dict(asked.request.variables),
        )
    except RecursionError:
        error = GraphQLError("The operation is nested too deeply.")
        return ExecutionResult(None, [error])


def _operation(document: Document, request: Subscribe) -> OperationDefinitionNode:
    try:
        return document.operation(request.operation_name)
    except GraphQLError as error:
        raise RequestError(error) from error


def _is_names(names: object) -> bool:
    return isinstance(names, (list, tuple)) and all(
        isinstance(name, str) or name is None for name in names
    )
