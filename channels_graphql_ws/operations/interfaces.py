"""Start operations: one engine serves all connections of a consumer class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from graphql import GraphQLSchema, MiddlewareManager, OperationDefinitionNode, OperationType

from channels_graphql_ws.client_log import LogFields
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import Formatter
from channels_graphql_ws.execution.masking import NO_MASK, Mask
from channels_graphql_ws.execution.parser_queue import Sender
from channels_graphql_ws.execution.request import JsonObject, Refusal, Subscribe
from channels_graphql_ws.execution.rules import NO_RULES, Rules
from channels_graphql_ws.operations.listing import ListedSubscription
from channels_graphql_ws.operations.transactions import AtomicMutations
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.signals import ClientSignal
from channels_graphql_ws.subscription.declaration import GapPolicy
from channels_graphql_ws.subscription.queue import QueuedBytes
from channels_graphql_ws.subscription.replays import Replays
from channels_graphql_ws.subscription.runs import Lease, Run, RunOwner
from channels_graphql_ws.subscription.signals import SubscriptionSignals
from channels_graphql_ws.subscription.single import Member


class ActiveSubscription(ListedSubscription, Protocol):
    """A subscription that came to be."""

    def tell(self, signals: SubscriptionSignals) -> None:
        """Tell receivers of signals what becomes of it; to be called before `open`."""
        ...

    def open(self) -> None:
        """Begin to send events."""
        ...

    def end(self) -> Eager[None]:
        """Stop what is under way and clean up, once, however often this is called."""
        ...


class Client(Member, Protocol):
    """The operation of a client, as the engine sees it."""

    @property
    def is_stopping(self) -> bool:
        """Whether the client itself ends the operation."""
        ...

    @property
    def request(self) -> Subscribe:
        """What the client asked for."""
        ...

    def keep(self, document: Document) -> None:
        """Count a document that is not small as long as the operation lasts.

        Raises:
            FullError: there is too much already.
        """
        ...

    def began(self, type: OperationType) -> Awaitable[None] | None:
        """Learn what kind of operation this is; return something to wait for, if need be."""
        ...

    def starting(self) -> Awaitable[None] | None:
        """Return something to wait for before it is executed; `None`: it is, from now on."""
        ...

    def postponed(self) -> None:
        """It is not executed yet, after all: it waits for a thread, and asks `starting` then."""

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before the result, while the client reads nothing."""
        ...

    def subscribed(self, live: ActiveSubscription) -> None:
        """A subscription has begun: what ends the operation must `end` it."""
        ...

    def confirmed(self, result: str) -> None:
        """Tell the client that its subscription is live."""
        ...

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Tell the client that the operation could not be executed."""
        ...


class Session(Protocol):
    """What the engine asks of a connection's consumer.

    Attributes:
        queued: counts the bytes of events that wait for the client.
        replays: those that it has missed, and that wait to be sent.
    """

    queued: QueuedBytes
    replays: Replays

    def hub(self) -> Hub:
        """Return the hub.

        Raises:
            ChannelLayerError: there is no channel layer.
        """
        ...

    def before_operation(self, request: Subscribe) -> Any:
        """Call the user's hook; it may refuse by raising. May be awaitable.

        What it gives may replace something of the operation, see `replaced`.
        """
        ...

    def parsing_share(self) -> Sender:
        """Return the sender of documents."""
        ...

    def operation_context(self, request: Subscribe) -> Any:
        """Make the `info.context` of one operation. May be awaitable, and may refuse."""
        ...

    def look_up_again(self) -> Awaitable[None] | None:
        """Return something to wait for if the user was looked up too long ago to execute now."""
        ...

    def get_root_value(self, context: Any) -> Any:
        """Return the root value of a query or mutation. May be awaitable, and may refuse."""
        ...

    def executor(self) -> Callable[..., Any] | None:
        """Return the user's own way to execute, called as `graphql.execute`, if there is one."""
        ...

    def send_away(self) -> None:
        """Close the connection, so that its client comes again."""
        ...

    def run_owner(self) -> RunOwner:
        """Return who begins a run, or wants to watch one."""
        ...

    def lend_to(self, run: Run, context: Any) -> Lease:
        """Lend a run what it keeps when the connection has gone; its context is its own then."""
        ...

    def log_about(self, request: Subscribe) -> LogFields:
        """Have the records of the running code be about an operation."""
        ...

    def send_signal(self, signal: ClientSignal, **arguments: Any) -> None:
        """Send a Django signal about the client."""

    def refused(self, request: Subscribe, error: Exception, name: str | None = None) -> None:
        """Tell receivers of signals that an operation was refused.

        Args:
            request: what the client asked for.
            error: why.
            name: that of the operation, where the request names none.
        """

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell a client of an error."""
        ...

    @property
    def formatter(self) -> Formatter:
        """Return what does so, for those who keep it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Options that decide on execution: each field is the option of its name."""

    schema: GraphQLSchema
    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None = None
    resolve_sync_in_threads: bool | None = False
    atomic_mutations: AtomicMutations = False
    data_loaders: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    compile_operations: bool = True
    group_name_prefix: str = "GQLWS"
    confirm_subscriptions: bool = False
    subscription_confirmation_message: Mapping[str, Any] = field(default_factory=dict)
    subscription_notification_queue_limit: int = 1024
    gap_policy: GapPolicy = "tell"
    event_timeout: float | None = 30.0
    warn_operation_timeout: float | None = 1
    rules: Rules = NO_RULES
    """Made of the options that its own fields are named after, like `mask`."""
    mask: Mask = NO_MASK


class PreparedOperation(NamedTuple):
    """One operation, as the hooks have left it."""

    request: Subscribe
    schema: GraphQLSchema
    document: Document
    operation: OperationDefinitionNode
    context: Any
    root: Any

    @property
    def name(self) -> str | None:
        """The name of the operation, as the request or else the document has it."""
        name = self.operation.name
        return self.request.operation_name or (None if name is None else name.value)
