"""Stand-ins for what execution talks to: a client, its session, a hub."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

import graphene
from graphql import GraphQLSchema, OperationType

from channels_graphql_ws import Subscription
from channels_graphql_ws.client_log import LogFields
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.execution.parser_queue import Sender
from channels_graphql_ws.execution.request import Refusal, Subscribe
from channels_graphql_ws.operations.engine import Engine
from channels_graphql_ws.operations.interfaces import EngineSettings
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.subscription.queue import QueuedBytes
from channels_graphql_ws.subscription.replays import Replays
from support import wait_until


def here() -> int:
    """Tell the thread."""
    return threading.get_ident()


def notification(payload: object = None, serial: int = 0) -> Notification:
    return Notification(Serializer.serialize(payload), serial)


class FakeHub:
    """A hub of one process without a channel layer: turns are taken at once."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Any]] = {}
        self.joining: Awaitable[None] | None = None
        self.received = 0

    def listen(self, listener: Any, groups: Sequence[str]) -> bool:
        for group in groups:
            known = self.listeners.setdefault(group, [])
            if listener not in known:
                known.append(listener)
        return self.joining is not None

    def name_groups(self, names: dict[str, str]) -> None:
        """Take the names for the log, which nobody reads."""

    async def joined(self, groups: Sequence[str]) -> None:
        assert self.joining is not None
        await self.joining

    def leave(self, listener: Any, groups: Sequence[str]) -> None:
        for group in groups:
            if listener in self.listeners.get(group, []):
                self.listeners[group].remove(listener)

    def call(self, listener: Any) -> None:
        asyncio.get_running_loop().call_soon(self._give_turns, listener, context=Context())

    def _give_turns(self, listener: Any) -> None:
        while listener.run_next():
            pass

    def all_listeners(self) -> set[Any]:
        return {one for listeners in self.listeners.values() for one in listeners}

    def broadcast(self, payload: object = None) -> None:
        self.received += 1
        for listener in self.all_listeners():
            if listener.offer(notification(payload, self.received)):
                self._give_turns(listener)

    def unsubscribe(self) -> None:
        for listener in self.all_listeners():
            if listener.finish():
                self._give_turns(listener)


class FakeClient:
    """One operation of a client: keeps what it is told, in order."""

    def __init__(self, request: Subscribe) -> None:
        self.request = request
        self.type: OperationType | None = None
        self.cohort: Any = None
        self.waiting: Awaitable[None] | None = None
        self.heard: list[tuple[str, Any]] = []
        self.refusal: Refusal | None = None

    def ready(self) -> Awaitable[None] | None:
        return self.waiting

    def keep(self, document: Document) -> None:
        pass

    def began(self, type: OperationType) -> None:
        self.type = type

    def room(self) -> None:
        pass

    def starting(self) -> None:
        pass

    def postponed(self) -> None:
        pass

    def subscribed(self, cohort: Any) -> None:
        self.cohort = cohort

    def confirmed(self, result: str) -> None:
        self.heard.append(("confirmed", json.loads(result)))

    def next(self, result: str) -> None:
        self.heard.append(("next", json.loads(result)))

    def next_at_once(self, result: str) -> bool:
        if self.waiting is not None:
            return False
        self.next(result)
        return True

    def completed(self) -> None:
        self.heard.append(("completed", None))

    def revoke(self, reason: str) -> None:
        self.heard.append(("revoked", reason))

    def failed(self, errors: Sequence[Any], refusal: Refusal) -> None:
        self.refusal = refusal
        self.heard.append(("failed", json.loads(json.dumps(errors))))

    @property
    def results(self) -> list[Any]:
        return [content for name, content in self.heard if name == "next"]

    @property
    def data(self) -> list[Any]:
        """What one field of each result was."""
        return [next(iter(result["data"].values())) for result in self.results]

    @property
    def errors(self) -> list[Any]:
        """The errors because of which the operation failed."""
        [(name, errors)] = self.heard
        assert name == "failed"
        return list(errors)

    async def hears(self, number: int) -> list[Any]:
        await wait_until(lambda: len(self.results) >= number)
        return self.results


class FakeSession:
    """What the engine asks of a connection's consumer."""

    def __init__(self) -> None:
        self.the_hub = FakeHub()
        self.queued = QueuedBytes(2**24)
        self.replays = Replays(2**24)
        self.before: Callable[[Subscribe], Any] = lambda request: None
        self.formatter: Callable[[Exception], Any] = format_error
        self.own_executor: Callable[..., Any] | None = None
        self.contexts: list[OperationContext] = []
        self.refusals: list[Exception] = []

    def hub(self) -> FakeHub:
        return self.the_hub

    def before_operation(self, request: Subscribe) -> Any:
        return self.before(request)

    def look_up_again(self) -> None:
        pass

    def parsing_share(self) -> Sender:
        return Sender(self)

    def operation_context(self, request: Subscribe) -> OperationContext:
        self.contexts.append(OperationContext({"channels_scope": {}, "id": request.id}))
        return self.contexts[-1]

    def get_root_value(self, context: OperationContext) -> Any:
        return None

    def executor(self) -> Callable[..., Any] | None:
        return self.own_executor

    def log_about(self, request: Subscribe) -> LogFields:
        return LogFields(self, lambda _: ("fake", None), request.id)

    def send_signal(self, signal: Any, **arguments: Any) -> None:
        """Send no signal."""

    def refused(self, request: Subscribe, error: Exception, name: str | None = None) -> None:
        self.refusals.append(error)

    def format_error(self, error: Exception) -> Any:
        return self.formatter(error)


class Query(graphene.ObjectType):
    """A query for schemas that need one."""

    ok = graphene.Boolean(default_value=True)


def schema_of(
    subscription: type[Subscription] | None = None,
    *,
    query: type[graphene.ObjectType] = Query,
    mutation: type[graphene.ObjectType] | None = None,
    required: bool = False,
) -> GraphQLSchema:
    """Give a schema; the subscription, if there is one, is mounted as `event`."""
    root = None
    if subscription is not None:
        fields = {"event": subscription.Field(required=required)}
        root = type("SubscriptionRoot", (graphene.ObjectType,), fields)
    schema = graphene.Schema(query=query, mutation=mutation, subscription=root)
    core: GraphQLSchema = schema.graphql_schema
    return core


class Rig:
    """An engine over fakes."""

    def __init__(self, schema: GraphQLSchema, **settings: Any) -> None:
        # On a busy machine anything may be slow, and a line of the log more.
        settings.setdefault("warn_operation_timeout", None)
        self.engine = Engine(EngineSettings(schema=schema, **settings))
        self.session = FakeSession()
        self.hub = self.session.the_hub

    def begin(
        self, query: str, *, id: str = "1", name: str | None = None, **variables: Any
    ) -> tuple[FakeClient, Any]:
        """Start an operation; give the client and what is left to wait for, if anything."""
        client = FakeClient(Subscribe(id, query, variables, name))
        return client, eager.start(self.engine.start(client, self.session))  # type: ignore[arg-type]

    async def run(self, query: str, **arguments: Any) -> FakeClient:
        """Start an operation and wait until that is done."""
        client, rest = self.begin(query, **arguments)
        if rest is not None:
            await rest
        return client

    async def answer(self, query: str, **arguments: Any) -> Any:
        """Give the result of a query or mutation."""
        client = await self.run(query, **arguments)
        [(_, result), end] = client.heard
        assert end == ("completed", None)
        return result

    async def subscribe(self, query: str = "subscription { event { ok } }", **more: Any) -> Any:
        """Give the client of a subscription that is live."""
        client = await self.run(query, **more)
        assert client.cohort is not None, client.heard
        return client

    async def end(self, client: FakeClient) -> None:
        """End a subscription, as a connection does."""
        rest = eager.start(client.cohort.end())
        if rest is not None:
            await rest


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.wait([task])


class Gate:
    """Lets a `publish` wait until the test says so."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.open = asyncio.Event()

    async def __call__(self, payload: int) -> dict[str, int]:
        self.entered.append(payload)
        await self.open.wait()
        return {"number": payload}
