"""Start operations: one engine serves all connections of a consumer class."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)

from channels_graphql_ws.client_log import ClientLog, LogFields
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.concurrency.fairness import Sharer, known_owner, owner, room_of, share_as
from channels_graphql_ws.concurrency.threads import (
    OPERATIONS,
    in_thread,
    limit_threads,
    runs_on_loop,
)
from channels_graphql_ws.execution.blocking import starts_in_thread
from channels_graphql_ws.execution.documents import Document, compiled, documents_of
from channels_graphql_ws.execution.encoding import encode_answer
from channels_graphql_ws.execution.errors import (
    INTERNAL_ERROR,
    NoDocumentError,
    RequestError,
    describe,
    log_errors,
    log_refusal,
    without_values,
)
from channels_graphql_ws.execution.large_variables import (
    coerced_in_thread,
    copied,
    have_many_parts,
)
from channels_graphql_ws.execution.masking import Mask, is_unexpected, unavailable
from channels_graphql_ws.execution.metered import execute
from channels_graphql_ws.execution.middleware import managed
from channels_graphql_ws.execution.request import Refusal, Subscribe
from channels_graphql_ws.execution.rules import Rules
from channels_graphql_ws.execution.sync_resolvers import Hops
from channels_graphql_ws.operations.class_checks import check_no_permissions, check_schema
from channels_graphql_ws.operations.defaults import settle
from channels_graphql_ws.operations.holding import SMALL_DOCUMENT
from channels_graphql_ws.operations.interfaces import (
    Client,
    EngineSettings,
    PreparedOperation,
    Session,
)
from channels_graphql_ws.operations.option_values import SettingsReader, check_values
from channels_graphql_ws.operations.project_options import check_project_settings
from channels_graphql_ws.operations.refusing import refuse
from channels_graphql_ws.operations.replacement import replaced
from channels_graphql_ws.operations.subscribing import Subscribing
from channels_graphql_ws.operations.thread_modes import ThreadModes
from channels_graphql_ws.operations.transactions import atomic_databases, in_transactions
from channels_graphql_ws.pubsub.layers import check_destination, forget_cached
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.tally import operations
from channels_graphql_ws.tracing import tracing

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

MOST_KEPT = 8
"""Engines of one class: its instances may have options of their own, for example a schema for
each tenant."""

_reader = SettingsReader(EngineSettings, rules=Rules, mask=Mask)


def engine_of(endpoint: Any) -> Engine:
    """Return the engine that all endpoints of a class with the same options share.

    Args:
        endpoint: a consumer or view. Its options count wherever they were set.

    Raises:
        TypeError: it has no `schema`, or an option of its own that belongs to the class; or it
            has permission classes, see `check_no_permissions`.
        ValueError, TypeError: a value makes no sense, see `check_values`.
        ImproperlyConfigured: the Django setting does not, see `check_project_settings`.
    """
    settle(endpoint)
    check_no_permissions(endpoint)
    values = _reader.values(endpoint)
    cls = type(endpoint)
    known: list[tuple[Any, Engine]] = cls.__dict__.get("_engines") or []
    for values_before, engine in known:
        if values_before == values:
            return engine
    check_project_settings()
    check_values(endpoint)
    settings = _reader.settings(values)
    check_schema(getattr(endpoint, "schema", None), settings.schema)
    check_destination(endpoint)
    forget_cached()
    engine = Engine(settings)
    # Another list: instances in other threads may be reading this one.
    cls._engines = [(values, engine), *known[: MOST_KEPT - 1]]
    return engine


def engine_by_now(endpoint: Any, engine: Engine) -> Engine:
    """Return the engine of an endpoint after a hook that may have set options.

    Args:
        endpoint: a consumer.
        engine: the one that it had before.

    Raises:
        TypeError, ValueError, ImproperlyConfigured: see `engine_of`.
    """
    values = _reader.values(endpoint)
    if (values, engine) in (type(endpoint).__dict__.get("_engines") or []):
        return engine
    return engine_of(endpoint)


def guarded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function, with GraphQL errors as a result; it may return an awaitable."""
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
_QUERY: Final = OperationType.QUERY


class Engine:
    """Parses, validates and executes what clients ask for."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        limit_threads(project_settings.get("THREADS"))
        threads = ThreadModes(managed(settings.middleware))
        self._middleware, _ = threads.of(mode=settings.resolve_sync_in_threads)
        self._documents = documents_of(settings.schema, settings.rules)
        self._subscribing = Subscribing(settings, threads)

    def start(self, client: Client, session: Session) -> Eager[None]:
        """Execute a query or mutation, or set up a subscription."""
        fields = session.log_about(client.request)
        try:
            yield from self._start(client, session, fields)
        except RequestError as error:
            failures = [each for each in error.errors if is_unexpected(each)]
            log_errors(failures, "an operation", client.request.id, self.settings.mask)
            if error.refusal is Refusal.OPERATION:
                session.refused(client.request, error.errors[0])
            errors = [describe(each, session.format_error) for each in error.errors]
            refuse(client, errors, error.refusal)
        # Our own mistake: the client is told that much, and the log the rest.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("Operation %r failed", client.request.id)
            refuse(client, [INTERNAL_ERROR], Refusal.INTERNAL)

    def _start(self, client: Client, session: Session, fields: LogFields) -> Eager[None]:
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
        document = self._document(request, schema, session)
        if not isinstance(document, Document):
            document = yield document
        if document.errors:
            raise RequestError(*document.errors)
        operation = _operation(document, request)
        fields.operation_name = _name(operation)
        if (waiting := client.began(operation.operation)) is not None:
            yield waiting
        asked = yield from self._prepare(request, schema, document, operation, client, session)
        if asked is None:
            return
        while (waiting := client.starting()) is not None:
            yield waiting
        if operation.operation is _SUBSCRIPTION:
            yield from self._subscribing.start(asked, client, session)
        else:
            yield from self._execute(asked, client, session)

    def _prepare(
        self,
        request: Subscribe,
        schema: GraphQLSchema,
        document: Document,
        operation: OperationDefinitionNode,
        client: Client,
        session: Session,
    ) -> Eager[PreparedOperation | None]:
        """Ask the hooks for context and root value; `None` if one of them has refused."""
        if document.memory > SMALL_DOCUMENT:
            client.keep(document)
        if request.variables and have_many_parts(request.variables):
            yield _coerce_ahead(request, schema, document, operation, session)
        if known_owner() is None:
            # The context variables, which the client keeps, must not keep the client.
            share_as(Sharer(lambda: session.parsing_share().owner, room_of(client)))
        root = None
        try:
            context = session.operation_context(request)
            if is_awaitable(context):
                context = yield context
            if context is None:
                raise TypeError("`get_context` returned None: return the context, or another one")
            if operation.operation is not _SUBSCRIPTION:
                root = session.get_root_value(context)
                if is_awaitable(root):
                    root = yield root
        except Exception as error:  # noqa: BLE001 (a hook refuses by raising anything)
            self._refuse(client, session, error)
            return None
        return PreparedOperation(request, schema, document, operation, context, root)

    def _document(
        self, request: Subscribe, schema: GraphQLSchema, session: Session
    ) -> Document | Awaitable[Document]:
        if not request.query and not request.has_query:
            raise NoDocumentError
        documents = self._documents
        if schema is not self.settings.schema:
            documents = documents_of(schema, self.settings.rules)
        return documents.get(request.query, session.parsing_share)

    def _refuse(self, client: Client, session: Session, error: Exception) -> None:
        log_refusal("Operation %r was refused", error, self.settings.mask, client.request.id)
        session.refused(client.request, error)
        refusal = Refusal.UNAVAILABLE if unavailable(error) is not None else Refusal.OPERATION
        refuse(client, [describe(error, session.format_error)], refusal)

    def _execute(self, asked: PreparedOperation, client: Client, session: Session) -> Eager[None]:
        call = partial(_execute_shallowly, self._executor(asked, session), asked)
        if self._blocks(asked, session):
            yield from self._execute_in_thread(asked, client, session, call)
        else:
            started = time.monotonic()
            yield from self._answer(asked, client, session, call(), started)

    def _execute_in_thread(
        self,
        asked: PreparedOperation,
        client: Client,
        session: Session,
        call: Callable[[], Any],
    ) -> Eager[None]:
        with ExitStack() as held:
            # Kept until the place is released: others who ask for it get the same one.
            its_owner = owner()
            client.postponed()
            places = its_owner.in_threads(OPERATIONS.share)
            yield places.acquire()
            held.callback(places.release)
            # All of a connection wait here, perhaps for long.
            if (look_up := session.look_up_again()) is not None:
                yield look_up
            started = time.monotonic()
            result = yield self._in_thread(call, asked, client)
            # Threads are faster than a connection is at taking results; but what goes on outside
            # of the thread may wait for anything, and over HTTP each client waits by itself.
            if known_owner() is None or is_awaitable(result):
                held.close()
            yield from self._answer(asked, client, session, result, started)

    def _answer(
        self,
        asked: PreparedOperation,
        client: Client,
        session: Session,
        result: Any,
        started: float,
    ) -> Eager[None]:
        """Wait for the result, if need be, and send it."""
        request = asked.request
        while is_awaitable(result):
            result = yield result
        limit, seconds = self.settings.warn_operation_timeout, time.monotonic() - started
        if limit is not None and seconds >= limit:
            _warn_of_slow(request, seconds)
        while (waiting := client.room()) is not None:
            yield waiting
        answer: ExecutionResult = result
        if answer.errors:
            what = request.operation_name or "an operation"
            log_errors(answer.errors, what, request.id, self.settings.mask)
        _count(asked.operation, answer)
        limit = self.settings.rules.max_result_size
        text: Any = encode_answer(answer, session.format_error, limit)
        if is_awaitable(text):
            text = yield text
            # Others were encoded meanwhile.
            while (waiting := client.room()) is not None:
                yield waiting
        client.next(text)
        client.completed()

    def _in_thread(self, call: Callable[[], Any], asked: PreparedOperation, client: Client) -> Any:
        option = self.settings.atomic_mutations
        if option is not False and asked.operation.operation is OperationType.MUTATION:
            call = partial(in_transactions, call, atomic_databases(option), asked.context)
        # There may be less room than when it began to wait for a thread.
        return in_thread(call, starting=client.starting)

    def _blocks(self, asked: PreparedOperation, session: Session) -> bool:
        """Return whether to execute an operation in a thread, as a whole."""
        hops = self._middleware
        if not isinstance(hops, Hops):
            return False
        own = session.executor()
        if own is not None:
            return not runs_on_loop(own)
        return starts_in_thread(asked.schema, asked.document, asked.operation, hops)

    def _executor(self, asked: PreparedOperation, session: Session) -> Callable[..., Any]:
        """Return what executes it: the function of the user, the compiler, or graphql-core."""
        own = session.executor()
        if own is None and self.settings.compile_operations:
            plan = compiled(asked.schema, asked.document, asked.operation, self._middleware)
            if plan is not None:
                return plan.execute
        arguments: dict[str, Any] = {
            "schema": asked.schema,
            "document": asked.document.ast,
            "operation_name": asked.request.operation_name,
            "middleware": self._middleware,
        }
        if own is not None:
            return partial(guarded(own), **arguments)
        hides = asked.document.hides_suggestions
        limits = asked.document.limits
        return partial(execute, limits=limits, hide_suggestions=hides, **arguments)


async def _coerce_ahead(
    request: Subscribe,
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    session: Session,
) -> None:
    hides = document.hides_suggestions
    sender = session.parsing_share()
    request.variables = await coerced_in_thread(
        schema, operation, request.variables, sender, hide_suggestions=hides
    )


def _warn_of_slow(request: Subscribe, seconds: float) -> None:
    log.warning(
        "Operation %s (id %s) took %.3f seconds", request.operation_name, request.id, seconds
    )
    kinds = {name: type(value).__name__ for name, value in request.variables.items()}
    log.debug("It was: %s with variables of the types %s", without_values(request.query), kinds)


def _execute_shallowly(execute: Callable[..., Any], asked: PreparedOperation) -> Any:
    """Execute; variables that are nested too deeply are an error of the client's.

    The last releases of graphql-core 3.2 count, the first ones run out of stack.
    """
    try:
        return execute(
            root_value=asked.root,
            context_value=asked.context,
            variable_values=copied(asked.request.variables),
        )
    except RecursionError:
        error = GraphQLError("The operation is nested too deeply.")
        return ExecutionResult(None, [error])


def _count(operation: OperationDefinitionNode, answer: ExecutionResult) -> None:
    type = "query" if operation.operation is _QUERY else "mutation"
    name = operation.name
    operations.add(type, name.value if name else None, failed=bool(answer.errors))
    if tracing.tracer is not None:
        tracing.tracer.executed(answer.errors)


def _name(operation: OperationDefinitionNode) -> str | None:
    return None if operation.name is None else operation.name.value


def _operation(document: Document, request: Subscribe) -> OperationDefinitionNode:
    try:
        operation = document.operation(request.operation_name)
    except GraphQLError as error:
        raise RequestError(error) from error
    if tracing.tracer is not None:
        tracing.tracer.began(operation.operation.value, _name(operation))
    return operation
