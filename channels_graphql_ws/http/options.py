"""Options and hooks of `GraphqlHttpConsumer` and `GraphqlView`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, cast

from channels_graphql_ws.graphiql import GraphiqlConfig
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.json_text import dumps, loads_from_client
from channels_graphql_ws.operations.class_checks import check_names
from channels_graphql_ws.operations.defaults import ByDebug, FromSettings, Open
from channels_graphql_ws.operations.engine import Engine
from channels_graphql_ws.operations.option_values import (
    NOT_NEGATIVE,
    check_options,
    option_names,
    with_options,
)
from channels_graphql_ws.operations.options import OperationOptions
from channels_graphql_ws.operations.overrides import default
from channels_graphql_ws.operations.transactions import AtomicMutations
from channels_graphql_ws.pubsub.layers import register_endpoint


class GraphqlHttpEndpoint(OperationOptions):
    """The options and hooks that `GraphqlHttpConsumer` and `GraphqlView` have in common.

    Options that `GraphqlWsConsumer` has, too, mean the same here.
    """

    allowed_origins: Sequence[str] | None = None
    """Origins whose pages may send requests and read the answers (CORS), besides those of the
    host itself: "https://example.com", "http://localhost:5173", "https://*.example.com".
    `None`: origins in CSRF_TRUSTED_ORIGINS, and, without CORS, pages of ALLOWED_HOSTS that
    have the port which the request was sent to. "*" allows any, and lets those that send no
    cookies read. Requests of other pages are refused with 403."""

    resolve_sync_in_threads: bool | None = None
    """Run synchronous resolvers and hooks in threads, where Django's ORM works and code may
    block: `True`, or `False` for the event loop. `None`: in threads, but hooks and resolvers of
    events move to the event loop when they were seen to need no thread."""

    uses_graphene_settings: bool = True
    """Take MIDDLEWARE and ATOMIC_MUTATIONS of the setting GRAPHENE as defaults, as
    graphene-django's own view does. Its SCHEMA is a default everywhere."""

    atomic_mutations: AtomicMutations = None
    """Execute each mutation in a database transaction, which a result with errors rolls back.
    `None`: where ATOMIC_REQUESTS or ATOMIC_MUTATIONS is on in DATABASES, or ATOMIC_MUTATIONS in
    GRAPHENE. `True`: of the default database; a sequence: of the databases with these aliases.
    Code that is `async def` is outside of it."""

    allow_queries_via_get: bool = True
    """Execute queries that come in a query string. Mutations never do."""

    max_batch_size: Annotated[int, NOT_NEGATIVE] = 0
    """Operations that one request may have, as a JSON array; 0 refuses arrays."""

    multipart_uploads_enabled: bool = False
    """Take files (GraphQL multipart request specification), see the scalar `Upload`."""

    max_body_size: Annotated[int | None, NOT_NEGATIVE] = cast(
        "int | None", FromSettings("DATA_UPLOAD_MAX_MEMORY_SIZE")
    )
    """Longest body in bytes, and longest query string; a longer one is answered with 413 or
    414. `None`: no limit. Without a word it is Django's DATA_UPLOAD_MAX_MEMORY_SIZE, 2.5 MiB
    by default."""

    max_upload_size: Annotated[int | None, NOT_NEGATIVE] = 10_000_000
    """Longest body in bytes if it is a form, all files together. A user, or an address without
    one, may have as much as ten of them on the disk at a time. `None`: no limit."""

    body_timeout: Annotated[float | None, NOT_NEGATIVE, Open(None)] = 60.0
    """Seconds in which a body must arrive, or the request is answered with 408. `None`: any
    time. In `GraphqlView`, Django reads bodies, and has no such limit."""

    event_streams_enabled: bool = True
    """Serve operations as server-sent events to clients that accept `text/event-stream`."""

    multipart_subscriptions_enabled: bool = True
    """Serve subscriptions in Apollo's multipart form to clients that accept it."""

    single_connection_enabled: bool = False
    """Let clients reserve one event stream for many operations (`graphql-sse`, single
    connection mode). All requests of a client must reach the same process."""

    max_event_streams: Annotated[int, NOT_NEGATIVE] = 1000
    """Event streams that may be reserved in one process; one more is answered with 503."""

    max_event_streams_per_user: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 100
    """Event streams, reserved ones included, that one user may have in one process; one more
    is answered with 429. `None`: no limit."""

    max_event_streams_per_address: Annotated[int | None, NOT_NEGATIVE, Open(None)] = 250
    """The same for all clients of one address; see `trusted_proxies`. Of IPv6, 64 bits are
    one address."""

    reservation_timeout: Annotated[float, NOT_NEGATIVE] = 10.0
    """Seconds until a reserved event stream that is not opened is given up."""

    send_heartbeat_every: Annotated[float | None, NOT_NEGATIVE] = 5.0
    """Seconds between signs of life on a silent stream; `None` sends none."""

    stalled_reader_timeout: Annotated[float | None, NOT_NEGATIVE] = 60.0
    """Seconds after which an answer whose client reads nothing is given up; for streams, it
    needs heartbeats. `None`: never."""

    graphiql: Annotated[
        bool | None, Open(value=True), ByDebug(on=True, off=False, otherwise=True)
    ] = None
    """Answer browsers that ask for a page with GraphiQL. `None`: with DEBUG only."""

    _engines: ClassVar[list[tuple[Any, Engine]]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the names of the class, and let broadcasts reach its groups."""
        super().__init_subclass__(**options)
        check_names(cls)
        register_endpoint(cls)

    @classmethod
    def _with_options(cls, **options: Any) -> type[Self]:
        """Return a class with these options.

        Raises:
            TypeError: there is no such option.
        """
        check_options(options, option_names(cls), cls.__qualname__)
        return with_options(cls, options)

    @default
    def on_operation(self, op_id: Any, payload: Mapping[str, Any]) -> Any:
        """Decide about an operation before it is executed; raise anything to refuse it.

        May be `async`.

        Args:
            op_id: a number, which the log shows, too.
            payload: `query`, `variables`, `operationName`, … as the client sent them; `query`
                is empty if it only names a document in another way.

        Returns:
            What to execute instead: any of `query`, `variables`, `operation_name` and
            `schema`. `None` changes nothing.
        """

    @default
    def process_result(self, request: HttpRequest, result: Any) -> Any:
        """Return what to send instead of `result`, a dictionary. May be `async`."""
        del request
        return result

    @default
    def encode_json(self, content: Any) -> Any:
        """Return a result, a dictionary or list, as JSON text. May be `async`."""
        return dumps(content)

    @default
    def decode_json(self, text: str) -> Any:
        """Decode the JSON text of a body; raise `ValueError` if it is not JSON. May be `async`."""
        return loads_from_client(text)

    @default
    def graphiql_config(self, request: HttpRequest) -> GraphiqlConfig:
        """Return the settings of GraphiQL."""
        del request
        return GraphiqlConfig()

    @default
    def render_graphiql(self, request: HttpRequest) -> Any:
        """Return another page than GraphiQL: a Django `HttpResponse`, or `None` for GraphiQL.

        May be `async`.
        """
        del request
