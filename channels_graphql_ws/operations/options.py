"""Options and hooks that all consumers and views have, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import graphql
from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    MiddlewareManager,
)

from channels_graphql_ws.execution import documents
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.operations.defaults import ByDebug, Open
from channels_graphql_ws.operations.option_values import NOT_NEGATIVE
from channels_graphql_ws.operations.overrides import default
from channels_graphql_ws.operations.transactions import AtomicMutations
from channels_graphql_ws.subscription.declaration import GapPolicy


class OperationOptions:
    """What decides on an operation, whichever transport it came by."""

    safety: str | None = None
    """With `"compatible"`, each option that protects against strangers, and that is not set,
    has the value which allows what django-channels-graphql-ws 1.0.0rc7 allowed. `"safe"`:
    its own default. `None`: what the Django setting `CHANNELS_GRAPHQL_WS["SAFETY"]` says,
    "safe" without one."""

    schema: Any
    """A `graphene.Schema`, a `graphql.GraphQLSchema`, or an object that has one."""

    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None = None
    """Called as `middleware(next, root, info, **arguments)` for each field of queries,
    mutations and events; the first one is the closest to the resolver."""

    resolve_sync_in_threads: bool | None = False
    """Run synchronous resolvers and hooks in threads, where Django's ORM works and code may
    block: `True`, or `False` for the event loop. `None`: in threads, but hooks and resolvers of
    events move to the event loop when they were seen to need no thread; this is the default of
    the router, of `GraphqlHttpConsumer` and of `GraphqlView`."""

    uses_graphene_settings: bool = False
    """Take MIDDLEWARE and ATOMIC_MUTATIONS of the setting GRAPHENE as defaults, as
    graphene-django's own view does; on by default on the router, on `GraphqlHttpConsumer` and
    on `GraphqlView`. Its SCHEMA is a default everywhere."""

    atomic_mutations: AtomicMutations = False
    """Execute each mutation in a database transaction, which a result with errors rolls back.
    `True`: of the default database; a sequence: of the databases with these aliases. `None`:
    where ATOMIC_REQUESTS or ATOMIC_MUTATIONS is on in DATABASES, or ATOMIC_MUTATIONS in GRAPHENE;
    this is the default on the router, on `GraphqlHttpConsumer` and on `GraphqlView`. Code that is
    `async def` is outside of it."""

    data_loaders: Mapping[str, Callable[[], Any]] = MappingProxyType({})
    """What makes data loaders, by name: `{"authors": AuthorLoader}` is
    `info.context.data_loaders.authors`. Each is made without arguments when it is first asked
    for, and anew for each event; shared executions have loaders, too."""

    validation_rules: Sequence[type[ASTValidationRule]] = ()
    """Rules (`graphql.ValidationRule`) that documents must keep besides GraphQL's own.
    They are applied to documents that are valid otherwise, once for each document."""

    max_depth: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 50
    """Deepest nesting of an operation, counted as `graphene.validation.depth_limit_validator`
    does: `{ a { b } }` has 1, fields of introspection do not count. `None`: no limit. This
    and the limits that follow are counted through fragments, each time one is spread, and
    before a document is validated."""

    max_aliases: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 1_000
    """Most aliases in an operation. `None`: no limit."""

    max_root_fields: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 500
    """Most fields on the outermost level of an operation. `None`: no limit."""

    max_directives: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 500
    """Most directives in an operation. `None`: no limit."""

    max_introspection_depth: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 20
    """Deepest nesting of fields below `__schema` and `__type`; GraphiQL's query has 14.
    `None`: no limit."""

    good_faith_introspection: Annotated[bool, Open(value=False)] = True
    """Refuse introspection that asks for more than there is to know: `__schema` or `__type`
    more than once in an operation, a list of theirs again inside itself or under a second
    name, or more than 500 fields. What GraphiQL and generators of code ask for passes."""

    max_tokens: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 15_000
    """Most words, punctuators and comments that a document may have. `None`: no limit."""

    max_field_comparisons: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 250_000
    """Most steps that comparing the fields of a document takes, which GraphQL asks for where
    fields of one level, or fragments spread together, have the same response names: two for each
    pair of fields, and twelve and more for each pair of selections or fragments. `None`, and where
    that is lower: graphql-core's own limit for the process, `MAX_COMPLEXITY_BUDGET`."""

    max_waiting_documents: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 32
    """Most large documents of one WebSocket connection that may wait to be parsed: those with
    more than 8,192 characters or 400 names. Two threads parse them, for each user or address
    one at a time, its connections in turn. One more is refused, and the connection stays.
    `None`, and of a user or address over HTTP: 100; of a user or address in all: 250."""

    max_fields_executed: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 100_000
    """Most fields that one query, mutation or event executes: those of each object of a list
    count again. An error counts as 20, and a list or an object that is written out as an
    argument by its parts. `None`: no limit. What asks for nothing but the schema may execute
    as many as that has need of. Not for an `execute_operation` of your own."""

    max_result_size: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 16_777_216
    """Most bytes of the result of one query, mutation or event, as JSON. `None`: no limit."""

    introspection: Annotated[
        bool | None, Open(value=True), ByDebug(on=True, off=False, otherwise=True)
    ] = None
    """Answer questions about the schema (`__schema`, `__type`), and suggest names in errors
    ("Did you mean …?"). `None`: with DEBUG only, over HTTP and on the router; a
    `GraphqlWsConsumer` that is mounted by hand answers always."""

    compile_operations: bool = True
    """Compile what operations select, once for each document. Results are those of
    graphql-core, which executes everything that the compiler does not know, and with
    `False` everything."""

    mask_errors: Annotated[
        bool | Callable[[Exception], bool] | None,
        Open(value=False),
        ByDebug(on=False, off=True, otherwise=False),
    ] = None
    """Show clients `masked_error_message` in place of unexpected errors. `GraphQLError`s that
    are raised on purpose, and what is wrong in a request, stay. Or a function that takes an
    error and returns whether to hide it. The log has it in any case. `None`: without DEBUG
    only, over HTTP and on the router; a `GraphqlWsConsumer` that is mounted by hand hides
    none."""

    masked_error_message: str = "Unexpected error."
    """What clients read in place of an error that is hidden."""

    operation_timeout: Annotated[float | None, NOT_NEGATIVE] = None
    """Seconds after which a query or mutation is cancelled: over HTTP it is answered with 504,
    over WebSocket with an error. `None`: never. What runs on the event loop without waiting is
    not interrupted."""

    warn_operation_timeout: Annotated[float | None, NOT_NEGATIVE] = 1
    """Seconds after which the execution of a query or mutation is logged as a warning.
    `None`: never."""

    event_timeout: Annotated[float | None, NOT_NEGATIVE] = 30.0
    """Seconds that an event may wait in hooks and resolvers of a subscription. Then its client
    gets an error in its place, and the stream goes on. So long may each hook about results,
    pings and pongs take, too. `None`: no limit."""

    disconnect_timeout: Annotated[float | None, NOT_NEGATIVE] = 30.0
    """Seconds that mutations and `unsubscribed` hooks may go on after the client has gone,
    before they are cancelled."""

    max_operations_per_connection: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 100
    """Subscriptions that a WebSocket may have at a time, or operations that a reserved event
    stream may have; one more gets an error. Queries and mutations over WebSocket are not
    counted. `None`: no limit."""

    max_subscriptions_per_user: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 2_000
    """Subscriptions that all WebSockets and event streams of one user may have at a time in one
    process; one more gets an error, over HTTP with 429. `None`: no limit."""

    max_subscriptions_per_address: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 5_000
    """The same for all clients of one address; see `trusted_proxies`. Of IPv6, 64 bits are
    one address."""

    revalidate_every: Annotated[float | None, NOT_NEGATIVE] = 60.0
    """Seconds between two look-ups whether the users of connections and event streams, and the
    sessions that they came by, are still there: what ends without a signal of Django's is found
    by it. One query each for all in a process. 0 or `None`: never."""

    revalidate_operations_every: Annotated[float | None, NOT_NEGATIVE] = 0.0
    """Seconds that such a look-up counts for operations over the same WebSocket; then the next
    operation waits for another. 0: each operation does. `None`: none does."""

    trusted_proxies: Sequence[str] = ()
    """Addresses and networks ("10.0.0.0/8") of proxies whose `X-Forwarded-For` is believed
    when clients are counted by address. A client whose own address is not known, because it
    comes through another proxy in a private network, is not counted by it."""

    confirm_subscriptions: bool = False
    """Send `subscription_confirmation_message` as the first result of each subscription,
    when all of its groups are joined."""

    subscription_confirmation_message: ClassVar[Mapping[str, Any]] = {
        "data": None,
        "errors": None,
    }
    """`data`: any JSON value; `errors`: a list of exceptions."""

    subscription_notification_queue_limit: Annotated[int, NOT_NEGATIVE] = 1024
    """Notifications that may wait for one subscription, see also
    `Subscription.notification_queue_limit`."""

    max_queued_bytes: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 16_777_216
    """Bytes of notifications, or of results that are shared, that may wait for all
    subscriptions of one WebSocket, or of one operation over HTTP. Beyond that, the
    `notification_queue_policy` decides as it does when a queue is full; one that is alone may
    be larger. `None`: no limit."""

    max_unsent_bytes_per_user: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 67_108_864
    """Bytes of results of more than 64 KiB that may have been made for all clients of one user
    in one process, and not been taken by them. Then what would make another of their results
    waits, but for the only one; and a client that takes nothing is closed sooner, where its
    user's others wait for it: see `pong_timeout`. `None`: no limit."""

    max_unsent_bytes_per_address: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 134_217_728
    """The same for all clients of one address; see `trusted_proxies`. A user that has nothing
    unsent need not wait for others."""

    max_unsent_bytes_per_process: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 268_435_456
    """The same for all clients of one process. Who has nothing unsent need not wait: a user, an
    address without a user, or all clients together that have neither."""

    gap_policy: GapPolicy = "tell"
    """What becomes of subscriptions some of whose events were lost for good, unless their
    class has a `gap_policy` of its own: "tell", "end", "close" or "ignore"."""

    group_name_prefix: str = "GQLWS"
    """Begins the names of all groups on the channel layer. To keep two projects on one Redis
    apart, set `CHANNELS_GRAPHQL_WS["GROUP_NAME_PREFIX"]`, which wins. Without it, broadcasts
    go to the groups of each prefix that classes in the sending process have."""

    channel_layer_alias: str = "default"
    """Which of CHANNEL_LAYERS carries broadcasts."""

    complete_at_shutdown: bool = False
    """Send `complete` for each subscription when the server shuts down. A client that
    connects again by itself takes that for the end, and does not subscribe again."""

    _follows_debug: ClassVar[bool] = True
    """Whether options that are `None` follow DEBUG."""

    own_names: Collection[str] = ()
    """Names of attributes and methods of a subclass that look like misspelt ones of the
    library, and are meant as they are."""

    @default
    def get_context(self, context: OperationContext) -> Any:
        """Return the `info.context` of an operation: this one, or another.

        Raise anything to refuse the operation. May be `async`.
        """
        return context

    @default
    def get_root_value(self, context: Any) -> Any:
        """Return the root value of a query or mutation. May be `async`.

        Raise anything to refuse the operation.

        Args:
            context: what `get_context` returned.
        """

    @classmethod
    @default
    def parse_document(cls, text: str) -> DocumentNode:
        """Parse a document; raise a `GraphQLError` for one that is wrong.

        The result is kept, and may be used for other clients: it must depend on nothing but
        the text. May be called in a thread.
        """
        return documents.parse_document(text, max_tokens=cls.max_tokens)

    @classmethod
    @default
    def validate_document(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        rules: Sequence[type[ASTValidationRule]],
    ) -> Sequence[GraphQLError]:
        """Return what is wrong with a document; kept like the result of `parse_document`.

        Args:
            schema: what the document is about.
            document: as `parse_document` returned it.
            rules: those that documents of this class must keep besides GraphQL's own.
        """
        return documents.validate_document(schema, document, rules)

    @default
    def execute_operation(self, **arguments: Any) -> Any:
        """Execute a query or mutation. May be `async`, and may raise a `GraphQLError`.

        Args:
            arguments: those of `graphql.execute`: `schema`, `document`, `root_value`,
                `context_value`, `variable_values`, `operation_name`, `middleware`.

        Returns:
            A `graphql.ExecutionResult`.
        """
        return graphql.execute(**arguments)

    @staticmethod
    @default
    def _format_error(error: Exception) -> dict[str, Any]:
        """Return what clients are told of an error; override it to tell more, or less."""
        return format_error(error)
