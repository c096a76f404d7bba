"""Settings and hooks of everything that serves GraphQL over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from graphql import MiddlewareManager

from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.graphiql import GraphiqlConfig
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.operations.engine import Engine, engine_of
from channels_graphql_ws.operations.options import (
    OperationOptions,
    check_options,
    option_names,
    with_options,
)
from channels_graphql_ws.operations.overrides import default, overridden
from channels_graphql_ws.pubsub.layers import register_endpoint


class GraphqlHttpEndpoint(OperationOptions):
    """What `GraphqlHttpConsumer` and `GraphqlView` have in common.

    Attributes that `GraphqlWsConsumer` has, too, mean the same here.
    """

    schema: Any = None
    """A `graphene.Schema`, a `graphql.GraphQLSchema`, or something that has one."""

    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None = None
    """Called as `middleware(next, root, info, **arguments)` for each field."""

    resolve_sync_in_threads: bool = False
    """Run synchronous resolvers and hooks of subscriptions in threads, where they may use
    Django's ORM and may block. Off: they run on the event loop."""

    allow_queries_via_get: bool = True
    """Execute queries that come in a query string. Mutations never do."""

    max_batch_size: int = 0
    """Operations that one request may have, as a JSON array; 0 refuses arrays."""

    multipart_uploads_enabled: bool = False
    """Take files (GraphQL multipart request specification), see the scalar `Upload`."""

    max_body_size: int | None = 1_000_000
    """Longest body in bytes; a longer one is answered with 413. `None`: any."""

    max_upload_size: int | None = 10_000_000
    """Longest body in bytes if it is a form, all files together. `None`: any."""

    operation_timeout: float | None = None
    """Seconds after which a query or mutation is cancelled and answered with 504."""

    warn_operation_timeout: float | None = 1
    """Seconds after which the execution of a query or mutation is worth a warning."""

    disconnect_timeout: float = 30.0
    """Seconds that mutations and `unsubscribed` hooks may go on after the client has gone,
    before they are cancelled."""

    event_streams_enabled: bool = True
    """Serve operations as server-sent events to who accepts `text/event-stream`."""

    multipart_subscriptions_enabled: bool = True
    """Serve subscriptions in Apollo's multipart form to who accepts it."""

    single_connection_enabled: bool = False
    """Let clients reserve one event stream for many operations (`graphql-sse`, single
    connection mode). All requests of a client must reach the same process."""

    max_event_streams: int = 1000
    """Event streams that may be reserved in one process."""

    reservation_timeout: float = 10.0
    """Seconds until a reserved event stream that nobody opens is given up."""

    max_operations_per_connection: int | None = 100
    """Operations that one reserved event stream may have at a time. `None`: any number."""

    send_heartbeat_every: float | None = 5.0
    """Seconds between signs of life on a silent stream; `None` sends none."""

    stalled_reader_timeout: float | None = 60.0
    """Seconds after which a stream whose client reads nothing is ended; needs heartbeats."""

    confirm_subscriptions: bool = False
    """Send `subscription_confirmation_message` as the first result of each subscription,
    when all of its groups are joined."""

    subscription_confirmation_message: ClassVar[Mapping[str, Any]] = {
        "data": None,
        "errors": None,
    }
    """`data`: any JSON value; `errors`: a list of exceptions."""

    subscription_notification_queue_limit: int = 1024
    """Notifications that may wait for one subscription, see also
    `Subscription.notification_queue_limit`."""

    group_name_prefix: str = "GQLWS"
    """Begins the names of all groups on the channel layer."""

    channel_layer_alias: str = "default"
    """Which of CHANNEL_LAYERS carries broadcasts."""

    graphiql: bool = True
    """Answer browsers that ask for a page with GraphiQL."""

    _engines: ClassVar[list[tuple[Any, Engine]]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let broadcasts reach the groups of this class."""
        super().__init_subclass__(**options)
        register_endpoint(cls)

    @classmethod
    def with_options(cls, **options: Any) -> type[Self]:
        """Give a class with these attributes.

        Raises:
            TypeError: there is no such attribute.
        """
        check_options(options, option_names(cls), cls.__qualname__)
        return with_options(cls, options)

    @default
    def on_operation(self, op_id: Any, payload: Mapping[str, Any]) -> Any:
        """Decide on an operation before it is looked at; raise anything to refuse it.

        May be `async`.

        Args:
            op_id: a number that the log has, too.
            payload: `query`, `variables`, `operationName`, … as the client sent them; `query`
                is empty if it only names a document in another way.

        Returns:
            What is to be executed instead: any of `query`, `variables`, `operation_name`
            and `schema`. `None` changes nothing.
        """

    @default
    def process_result(self, request: HttpRequest, result: Any) -> Any:
        """Give what is sent instead of `result`, a dictionary. May be `async`."""
        del request
        return result

    @default
    def encode_json(self, content: Any) -> Any:
        """Write a result, a dictionary or list, as JSON text. May be `async`."""
        return dumps(content)

    @default
    def decode_json(self, text: str) -> Any:
        """Read the JSON text of a body; `ValueError` says that it is none. May be `async`."""
        return loads(text)

    @default
    def graphiql_config(self, request: HttpRequest) -> GraphiqlConfig:
        """Give the settings of GraphiQL."""
        del request
        return GraphiqlConfig()

    @default
    def render_graphiql(self, request: HttpRequest) -> Any:
        """Give another page than GraphiQL: a Django `HttpResponse`, or `None` for GraphiQL.

        May be `async`.
        """
        del request

    @staticmethod
    def _format_error(error: Exception) -> dict[str, Any]:
        """Tell clients of an error; override it to tell more, or less."""
        return format_error(error)

    def engine(self) -> Engine:
        """Give the engine that all requests to this class share.

        Raises:
            TypeError: there is no `schema`.
        """
        return engine_of(self)

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell a client of an error."""
        return self._format_error(self.mask()(error))

    @property
    def looks_documents_up(self) -> bool:
        """Whether `on_operation` may give a document to who sends none."""
        return overridden(self, "on_operation")

    def result_hook(self) -> Callable[[HttpRequest, Any], Any] | None:
        """Give `process_result`, if it does anything."""
        return self.process_result if overridden(self, "process_result") else None

    def json_encoder(self) -> Callable[[Any], Any] | None:
        """Give `encode_json`, if it is the user's."""
        return self.encode_json if overridden(self, "encode_json") else None

    def json_decoder(self) -> Callable[[str], Any] | None:
        """Give `decode_json`, if it is the user's."""
        return self.decode_json if overridden(self, "decode_json") else None
