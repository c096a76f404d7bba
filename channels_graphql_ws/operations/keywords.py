"""Options as keyword arguments: for type checkers, and written by `.ci/keywords.py`.

The attributes are the declarations; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypedDict

from graphql import ASTValidationRule, MiddlewareManager

from channels_graphql_ws.operations.transactions import AtomicMutations
from channels_graphql_ws.subscription.declaration import GapPolicy


class CommonKeywords(TypedDict, total=False):
    """Options of all consumers and views."""

    allowed_origins: Sequence[str] | None
    atomic_mutations: AtomicMutations
    channel_layer_alias: str
    compile_operations: bool
    complete_at_shutdown: bool
    confirm_subscriptions: bool
    data_loaders: Mapping[str, Callable[[], Any]]
    disconnect_timeout: float | None
    event_timeout: float | None
    gap_policy: GapPolicy
    good_faith_introspection: bool
    group_name_prefix: str
    introspection: bool | None
    mask_errors: bool | Callable[[Exception], bool] | None
    masked_error_message: str
    max_aliases: int | None
    max_depth: int | None
    max_directives: int | None
    max_field_comparisons: int | None
    max_fields_executed: int | None
    max_introspection_depth: int | None
    max_operations_per_connection: int | None
    max_queued_bytes: int | None
    max_result_size: int | None
    max_root_fields: int | None
    max_subscriptions_per_address: int | None
    max_subscriptions_per_user: int | None
    max_tokens: int | None
    max_unsent_bytes_per_address: int | None
    max_unsent_bytes_per_process: int | None
    max_unsent_bytes_per_user: int | None
    max_waiting_documents: int | None
    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None
    operation_timeout: float | None
    own_names: Collection[str]
    resolve_sync_in_threads: bool | None
    revalidate_every: float | None
    revalidate_operations_every: float | None
    safety: str | None
    subscription_confirmation_message: Mapping[str, Any]
    subscription_notification_queue_limit: int
    trusted_proxies: Sequence[str]
    uses_graphene_settings: bool
    validation_rules: Sequence[type[ASTValidationRule]]
    warn_operation_timeout: float | None


class OwnWebSocketKeywords(CommonKeywords, total=False):
    """Options of WebSocket consumers, without the schema."""

    answer_complete: bool
    connection_init_wait_timeout: float | None
    idle_timeout: float | None
    listen_to_channel_layer: bool | None
    max_bytes_in_flight: int | None
    max_connection_age: float | None
    max_connections_per_address: int | None
    max_connections_per_user: int | None
    max_message_size: int | None
    max_message_size_before_ack: int | None
    max_messages_per_second: float | None
    max_operations_in_flight: int | None
    max_ping_size: int | None
    max_unsent_bytes: int | None
    on_connect_timeout: float | None
    ping_payload: Mapping[str, Any] | Callable[[Any], Mapping[str, Any] | None] | None
    pong_timeout: float | None
    send_ping_every: float | None
    strict_ordering: bool
    subprotocols: Sequence[str]


class OwnHttpKeywords(CommonKeywords, total=False):
    """Options of what serves HTTP, without the schema."""

    allow_queries_via_get: bool
    body_timeout: float | None
    event_streams_enabled: bool
    graphiql: bool | None
    max_batch_size: int
    max_body_size: int | None
    max_event_streams: int
    max_event_streams_per_address: int | None
    max_event_streams_per_user: int | None
    max_upload_size: int | None
    multipart_subscriptions_enabled: bool
    multipart_uploads_enabled: bool
    reservation_timeout: float
    send_heartbeat_every: float | None
    single_connection_enabled: bool
    stalled_reader_timeout: float | None


class RouterKeywords(OwnWebSocketKeywords, OwnHttpKeywords, total=False):
    """Options that the router hands on."""


class WebSocketKeywords(OwnWebSocketKeywords, total=False):
    """What `GraphqlWsConsumer.as_asgi()` takes."""

    schema: Any


class HttpKeywords(OwnHttpKeywords, total=False):
    """What `GraphqlHttpConsumer.as_asgi()` and `GraphqlView.as_view()` take."""

    schema: Any
