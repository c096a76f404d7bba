"""The engine of a consumer or view, shared by all whose attributes are the same."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from graphql import GraphQLSchema

from .destinations import look_again
from .execution import Engine, Settings
from .options import check_values, core_schema

_attributes = attrgetter(
    "middleware",
    "resolve_sync_in_threads",
    "compile_operations",
    "group_name_prefix",
    "confirm_subscriptions",
    "subscription_confirmation_message",
    "subscription_notification_queue_limit",
    "warn_operation_timeout",
    "max_depth",
    "max_tokens",
    "introspection",
    "parse_document",
    "validate_document",
    "mask_errors",
    "masked_error_message",
)
"""What an engine is made of, but for `validation_rules`, which may be a list that grows, and
`schema`, which may carry another one later."""


MOST_KEPT = 8
"""Engines of one class: its instances may have attributes of their own, for example a schema
for each tenant."""


def engine_of(endpoint: Any) -> Engine:
    """Give the engine that all instances with the same attributes share.

    Args:
        endpoint: a consumer or view. Its attributes count, wherever they were set.

    Raises:
        TypeError: it has no `schema`.
        ValueError, TypeError: a value makes no sense, see `check_values`.
    """
    schema = core_schema(endpoint.schema)
    attributes = schema, *_attributes(endpoint), *endpoint.validation_rules
    cls = type(endpoint)
    known: list[tuple[Any, Engine]] = cls.__dict__.get("_engines") or []
    for values, engine in known:
        if values == attributes:
            return engine
    check_values(endpoint)
    look_again()
    engine = Engine(_settings(endpoint, schema))
    # Another list: instances in other threads may be reading this one.
    cls._engines = [(attributes, engine), *known[: MOST_KEPT - 1]]
    return engine


def _settings(endpoint: Any, schema: GraphQLSchema) -> Settings:
    return Settings(
        schema=schema,
        middleware=endpoint.middleware,
        sync_in_thread=endpoint.resolve_sync_in_threads,
        compile_operations=endpoint.compile_operations,
        group_name_prefix=endpoint.group_name_prefix,
        confirm_subscriptions=endpoint.confirm_subscriptions,
        confirmation_message=endpoint.subscription_confirmation_message,
        queue_limit=endpoint.subscription_notification_queue_limit,
        warn_operation_timeout=endpoint.warn_operation_timeout,
        rules=endpoint.document_rules(),
        mask=endpoint.mask(),
    )
